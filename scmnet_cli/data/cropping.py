"""Crop or resize a person to a canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from scmnet_cli.domains import DOMAINS
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, CropBox, crop_around
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_STRIP_PIXELS = 1_000_000


def crop_person(person: Person, canvas: Canvas, background: str, box: CropBox | None = None) -> tuple[Person, CropBox]:
    """Crop a person of a photo to the canvas, centred on the foreground of the region map.

    Joints beyond the canvas become missing.

    Args:
        person: a person in pixels of the photo.
        canvas: size of the result.
        background: ``plain`` paints it light grey, ``keep`` keeps it.
        box: the part of the photo to crop; None to compute it from the region map.

    Raises:
        ScmError: if the map is all background.
    """
    rows = np.flatnonzero(person.regions.any(axis=1))
    columns = np.flatnonzero(person.regions.any(axis=0))
    if not len(rows):
        raise ScmError("the region map is all background")
    if box is None:
        box = crop_around((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), canvas)
    cropped = _crop_on_plain_grey(person, box) if background == "plain" else box.crop_image(person.image, None)
    joints = joints_on_canvas(person.joints, box)
    carried = None if person.carried is None else box.crop_labels(person.carried.astype(np.uint8)) > 0
    return Person(person.name, cropped, box.crop_labels(person.regions), joints, carried=carried), box


def _crop_on_plain_grey(person: Person, box: CropBox) -> UInt8Array:
    """Crop the box with a grey background; only what lies in it is painted, in strips, since photos may be large."""
    height, width = person.regions.shape
    top, bottom = max(0, box.top), min(height, box.top + box.height)
    left, right = max(0, box.left), min(width, box.left + box.width)
    if bottom <= top or right <= left:
        return box.crop_image(person.image, PLAIN_GREY)
    image = person.image[top:bottom, left:right].copy()
    regions = person.regions[top:bottom, left:right]
    num = max(1, _STRIP_PIXELS // image.shape[1])
    for first in range(0, len(image), num):
        rows = slice(first, first + num)
        np.copyto(image[rows], np.uint8(PLAIN_GREY), where=(regions[rows] == BACKGROUND)[..., None])
    return replace(box, left=box.left - left, top=box.top - top).crop_image(image, PLAIN_GREY)


def resized(person: Person, canvas: Canvas) -> Person:
    """Resize a person or face to another canvas of the same aspect: the image by Lanczos, labels by nearest.

    Raises:
        ScmError: if the aspects of the canvases differ by over 1 %.
    """
    if person.canvas == canvas:
        return person
    have = person.canvas
    if not have.has_shape_of(canvas):
        raise ScmError(
            f"{person.name}: its canvas {have} does not have the aspect ratio of the model's {canvas}; "
            f"prepare the photos with --canvas {canvas}"
        )
    size = (canvas.width, canvas.height)
    image = np.asarray(Image.fromarray(person.image).resize(size, Image.Resampling.LANCZOS))
    regions = np.asarray(Image.fromarray(person.regions).resize(size, Image.Resampling.NEAREST))
    structure = DOMAINS[person.domain].rescale(person.structure, have, canvas)
    if person.edges is None:
        carried = person.carried
        if carried is not None:
            carried = np.asarray(Image.fromarray(carried).resize(size, Image.Resampling.NEAREST))
        return Person(person.name, image, regions, structure, carried=carried)
    return replace(person, image=image, regions=regions, edges=structure)


def joints_on_canvas(joints: FloatArray, box: CropBox) -> FloatArray:
    """Convert joints from pixels of the photo to pixels of the canvas; those beyond it become missing.

    Shape:
        joints, result: (18, 3).
    """
    moved = joints.copy()
    moved[:, :2] = box.to_canvas(joints[:, :2])
    limit = np.array([box.canvas.width, box.canvas.height])
    within = ((moved[:, :2] >= 0) & (moved[:, :2] <= limit - 1)).all(axis=1) & (joints[:, 2] > 0)
    moved[~within] = 0
    return moved
