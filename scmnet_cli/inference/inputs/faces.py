"""Read a photo as a face on a canvas, with the region map next to it or by a face finder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scmnet_cli.analyser.windows import AlignedFace, Window
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.data.face_edges import with_parts, with_regions
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, CropBox, read_label_map, read_photo, whole_box
from scmnet_cli.inference.inputs.framed_face import FramedFace
from scmnet_cli.regions import BACKGROUND, CELEBAMASK_PARTS, FACE_REGIONS
from scmnet_cli.types import NO_JOINTS, Canvas, Person, UInt8Array

FaceFinder = Callable[[Path, UInt8Array, Canvas], AlignedFace]
"""Finds the most prominent face of a photo and aligns it on the canvas."""


def no_face_finder(photo: Path, image: UInt8Array, canvas: Canvas) -> AlignedFace:
    """Raise an error, since there is no face parser.

    Raises:
        ScmError: always, with the remedies.
    """
    from scmnet_cli.analyser.subjects import FACES

    del image, canvas
    looked_for = ", ".join(str(path.relative_to(photo.parent)) for path in _maps(photo))
    raise ScmError(
        f"has no region map of its face beside it (looked for {looked_for}); give one, an entry of a prepared "
        f"folder of faces, or a face parser: --face-parser {FACES.file} of '{FACES.trained_by}'"
    )


def read_framed_face(
    photo: Path, canvas: Canvas, background: str = "keep", find: FaceFinder = no_face_finder, largest: int = 0
) -> FramedFace:
    """Read a photo of a face with its map, and put it on a canvas at full height.

    The map of ``NAME.jpg`` is ``NAME.regions.png`` or ``regions/NAME.png`` with ids of the eight face regions, or
    ``masks/NAME.png`` with ids of CelebAMask-HQ's parts; the folders may also be in the parent folder. Without a map,
    ``find`` finds the face.

    Args:
        photo: the photo.
        canvas: size of the result.
        background: ``plain`` paints it light grey, ``keep`` keeps it.
        find: finds the face of a photo without a map.
        largest: height up to which the photo keeps its own; 0: it is scaled to the canvas.

    Raises:
        ScmError: naming the photo and the problem.
    """
    try:
        image = read_photo(photo)
        times = max(1, min(largest, image.shape[0]) // canvas.height)
        canvas = Canvas(canvas.height * times, canvas.width * times)
        region_map = next((path for path in _maps(photo) if path.is_file()), None)
        if region_map is None:
            found = find(photo, image, canvas)
            picture = found.image
            if background == "plain":
                picture = np.where(found.regions[..., None] == BACKGROUND, np.uint8(PLAIN_GREY), picture)
            face = with_regions(Person(photo.stem, picture, found.regions, NO_JOINTS))
            return FramedFace(image, face, found.window)
        labels = read_label_map(region_map)
        if labels.shape != image.shape[:2]:
            have, want = ("x".join(map(str, array.shape[:2])) for array in (labels, image))
            raise ScmError(f"{region_map}: is {have}, the photo is {want}; make the map at the photo's size")
        has_parts = region_map.parent.name == "masks"
        num_ids = len(CELEBAMASK_PARTS if has_parts else FACE_REGIONS)
        if labels.max() >= num_ids:
            raise ScmError(f"{region_map}: holds id {labels.max()}, beyond 0-{num_ids - 1}")
        whole = whole_box(labels.shape[1], labels.shape[0], canvas)
        face, _ = crop_person(Person(photo.stem, image, labels, NO_JOINTS), canvas, background, whole)
        return FramedFace(image, with_parts(face) if has_parts else with_regions(face), _upright(whole))
    except ScmError as error:
        raise error if str(error).startswith(str(photo)) else ScmError(f"{photo}: {error}") from error


def _upright(box: CropBox) -> Window:
    """Return the window that shows the same as a crop."""
    stretch = box.width / box.canvas.width / (box.height / box.canvas.height)
    return Window(box.left + box.width / 2, box.top + box.height / 2, float(box.height), stretch)


def _maps(photo: Path) -> list[Path]:
    own = photo.with_name(f"{photo.stem}.regions.png")
    return [own, *(photo.parent / up / f"{photo.stem}.png" for up in ("regions", "../regions", "masks", "../masks"))]
