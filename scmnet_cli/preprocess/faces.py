"""One photo as a face on a canvas, by the region map beside it or by whoever finds faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from scmnet_cli.data.dataset import PLAIN_GREY
from scmnet_cli.edges import face_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo, whole_box
from scmnet_cli.preprocess.run import crop_person
from scmnet_cli.preprocess.subjects import FACES
from scmnet_cli.regions import BACKGROUND, CELEBAMASK19, CELEBAMASK_PARTS, FACE_REGIONS, to_regions
from scmnet_cli.types import NO_JOINTS, Canvas, Person, UInt8Array

FaceFinder = Callable[[Path, UInt8Array, Canvas], tuple[UInt8Array, UInt8Array]]
"""Finds the most prominent face of a photo: its picture on the canvas, and that picture's region map."""

# Inside of these no edges of pores, beard and shadows are wanted; glasses, a part of its own, keep theirs.
_INNER_PARTS = ("skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip")
_INNER_REGIONS = ("skin", "brows", "eyes", "nose", "mouth")


def no_face_finder(photo: Path, image: UInt8Array, canvas: Canvas) -> tuple[UInt8Array, UInt8Array]:
    """Find no face: there is no face parser.

    Raises:
        ScmError: always, with what to give instead.
    """
    del image, canvas
    looked_for = ", ".join(str(path.relative_to(photo.parent)) for path in _maps(photo))
    raise ScmError(
        f"has no map of its face's regions beside it (looked for {looked_for}); give one, an entry of a prepared "
        f"folder of faces, or what finds faces: --face-parser {FACES.file} of '{FACES.trained_by}'"
    )


def read_face(photo: Path, canvas: Canvas, background: str = "keep", find: FaceFinder = no_face_finder) -> Person:
    """Read a photo of a face, and the map that belongs to it, and put it on a canvas, equally high.

    Beside ``NAME.jpg`` either ``NAME.regions.png`` or ``regions/NAME.png`` holds ids of the eight face regions, or
    ``masks/NAME.png`` those of CelebAMask-HQ's parts; the folders may also lie one higher. A photo with none of them is
    given to ``find``.

    Args:
        photo: the photo.
        canvas: size of the picture wanted.
        background: ``plain`` paints it light grey, ``keep`` keeps it.
        find: finds the face if need be.

    Raises:
        ScmError: naming the photo, and what is missing or does not fit.
    """
    try:
        image = read_photo(photo)
        region_map = next((path for path in _maps(photo) if path.is_file()), None)
        if region_map is None:
            picture, regions = find(photo, image, canvas)
            if background == "plain":
                picture = np.where(regions[..., None] == BACKGROUND, np.uint8(PLAIN_GREY), picture)
            return with_regions(Person(photo.stem, picture, regions, NO_JOINTS))
        labels = read_label_map(region_map)
        if labels.shape != image.shape[:2]:
            have, want = ("x".join(map(str, array.shape[:2])) for array in (labels, image))
            raise ScmError(f"{region_map}: is {have}, the photo is {want}; make the map of the photo as it is")
        has_parts = region_map.parent.name == "masks"
        num_ids = len(CELEBAMASK_PARTS if has_parts else FACE_REGIONS)
        if labels.max() >= num_ids:
            raise ScmError(f"{region_map}: holds id {labels.max()}, beyond 0-{num_ids - 1}")
        whole = whole_box(labels.shape[1], labels.shape[0], canvas)
        face, _ = crop_person(Person(photo.stem, image, labels, NO_JOINTS), canvas, background, whole)
        return with_parts(face) if has_parts else with_regions(face)
    except ScmError as error:
        raise error if str(error).startswith(str(photo)) else ScmError(f"{photo}: {error}") from error


def with_parts(face: Person) -> Person:
    """Return a face on its canvas, whose map holds CelebAMask-HQ's parts, with regions, and edges by those parts."""
    inner = [CELEBAMASK_PARTS.index(part) for part in _INNER_PARTS]
    edges = face_edges(face.image, face.regions, inner)
    return replace(face, regions=to_regions(face.regions, CELEBAMASK19, FACE_REGIONS), edges=edges)


def with_regions(face: Person) -> Person:
    """Return a face on its canvas with edges by its regions: coarser than by parts, which know the lips apart."""
    inner = [FACE_REGIONS.index(region) for region in _INNER_REGIONS]
    return replace(face, edges=face_edges(face.image, np.asarray(face.regions), inner))


def _maps(photo: Path) -> list[Path]:
    own = photo.with_name(f"{photo.stem}.regions.png")
    return [own, *(photo.parent / up / f"{photo.stem}.png" for up in ("regions", "../regions", "masks", "../masks"))]
