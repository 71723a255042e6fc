"""Wardrobe: cut-outs of garments and hair that any model of people can put on a person.

>>> wardrobe = Wardrobe.read(path)
>>> result = pipeline.edit(person, {"upper": wardrobe.reference("denim-jacket", pipeline)})
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from scmnet_cli.checkpoint import load_tensors, save_tensors
from scmnet_cli.data.cropping import resized
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.files import parse_json
from scmnet_cli.images import PLAIN_GREY, contact_sheet
from scmnet_cli.inference.drawing_model import DrawingModel
from scmnet_cli.inference.edits.places import CUT_OUT
from scmnet_cli.inference.edits.putting_on import regions_taken
from scmnet_cli.inference.garments import KINDS
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.values import ReadySource
from scmnet_cli.models.parts import HEAD_JOINTS
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

SHIPPED_WARDROBE = Path(__file__).parents[1] / "assets" / "wardrobe.safetensors"
"""The garments that come with this package."""

KIND = "scm wardrobe"
"""Kind of file, as the header of a wardrobe states it."""

VERSION = 2
"""Version of the format: 1 had features of one model, 2 has images."""

PREFIX = CUT_OUT
"""Prefix of a garment's name on the command line."""

_REMEDY = "the file is damaged, copy it again"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_LARGEST = 448
_SHEET_SCALE = 2  # a person in a sheet of small pictures needs no more
_QUALITY = 85
_MARGIN = 20
_OPAQUE = 127
_MOST_BYTES = 2**21
_MOST_GARMENTS = 10_000


@dataclass(frozen=True)
class Garment:
    """A cut-out garment, or hair, with the joints of its wearer.

    Attributes:
        name: lower-case letters, digits and hyphens.
        kind: upper, pants, skirt, dress, hair and the like, which it replaces.
        image: (h, w, 4) uint8, red, green, blue and opacity.
        joints: (18, 3) float32, x and y in pixels of ``image`` and a score, 0 if not known.
        about: one line of description.
    """

    name: str
    kind: str
    image: UInt8Array
    joints: FloatArray
    about: str = ""

    @property
    def region(self) -> str:
        """The kind, under the name that edits use."""
        return self.kind

    @property
    def lies_flat(self) -> bool:
        """Whether the photo shows no wearer: no joint of the head is known."""
        return not (self.joints[list(HEAD_JOINTS), 2] > 0).any()

    def person(self, canvas: Canvas) -> Person:
        """Return the garment as a person on a plain background with the canvas's aspect."""
        height, width = self.image.shape[:2]
        tall = max(height + 2 * _MARGIN, round((width + 2 * _MARGIN) * canvas.height / canvas.width))
        wide = round(tall * canvas.width / canvas.height)
        top, left = (tall - height) // 2, (wide - width) // 2
        picture = np.full((tall, wide, 3), PLAIN_GREY, np.uint8)
        regions = np.zeros((tall, wide), np.uint8)
        within = (slice(top, top + height), slice(left, left + width))
        opacity = self.image[..., 3:].astype(np.float32) / 255
        mixed = self.image[..., :3] * opacity + PLAIN_GREY * (1 - opacity)
        picture[within] = mixed.round().astype(np.uint8)
        number = region_id("upper" if self.kind == "dress" else self.kind)
        regions[within] = (self.image[..., 3] > _OPAQUE) * np.uint8(number)
        joints = self.joints.copy()
        joints[joints[:, 2] > 0, :2] += (left, top)
        return Person(PREFIX + self.name, picture, regions, joints)

    def thumbnail(self, height: int = 160) -> Image.Image:
        """Return the cut-out on a plain background with a given height."""
        picture = Image.fromarray(self.image, "RGBA")
        backdrop = Image.new("RGBA", picture.size, (PLAIN_GREY, PLAIN_GREY, PLAIN_GREY, 255))
        backdrop.alpha_composite(picture)
        width = max(1, round(picture.width * height / picture.height))
        return backdrop.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")

    kind: str
    about: str = Field("", max_length=500)
    joints: list[tuple[float, float, float]] = Field(min_length=NUM_JOINTS, max_length=NUM_JOINTS)


class _Header(BaseModel):
    garments: dict[str, _Entry] = Field(max_length=_MOST_GARMENTS)


class Wardrobe:
    """A collection of garments by name."""

    def __init__(self, garments: Iterable[Garment] = (), about: str = "") -> None:
        """Collect garments; a later one replaces an earlier one of the same name. ``about`` describes their origin."""
        self.garments = {garment.name: garment for garment in garments}
        self.about = about

    @classmethod
    def read(cls, path: Path) -> Wardrobe:
        """Read a wardrobe file.

        Raises:
            ScmError: if it is absent, damaged, not a wardrobe, or in the old format with features of one model.
        """
        if not path.is_file():
            raise ScmError(f"{path}: no such wardrobe; 'scm wardrobe add' makes one")
        tensors, metadata = load_tensors(path)
        if metadata.get("kind") != KIND:
            raise ScmError(f"{path}: holds no wardrobe; give a file that 'scm wardrobe add' wrote")
        if "model" in metadata:
            raise ScmError(
                f"{path}: holds features of one model, the format of older versions; add the photos again: "
                "scm wardrobe add"
            )
        text = metadata.get("garments", "")
        header = parse_json(f'{{"garments": {text}}}', _Header, f"header of {path}", _REMEDY)
        garments = []
        for name, entry in header.garments.items():
            try:
                garments.append(_garment(name, entry, tensors[name]))
            except (KeyError, ValueError, TypeError, OSError) as error:
                raise ScmError(f"{path}: garment '{name}' is missing or not a picture; {_REMEDY}") from error
        return cls(garments, metadata.get("about", ""))

    def write(self, path: Path) -> None:
        """Write the wardrobe; replace an existing file atomically.

        Raises:
            ScmError: if the file cannot be written.
        """
        tensors, entries = {}, {}
        for garment in self.garments.values():
            tensors[garment.name] = torch.frombuffer(bytearray(_encoded(garment.image)), dtype=torch.uint8)
            joints = [[round(float(value), 1) for value in joint] for joint in garment.joints]
            entries[garment.name] = {"kind": garment.kind, "about": garment.about, "joints": joints}
        metadata = {"kind": KIND, "version": str(VERSION), "about": self.about, "garments": json.dumps(entries)}
        save_tensors(path, tensors, metadata)

    def reference(self, name: str, pipeline: DrawingModel) -> ReadySource:
        """Return a garment as a reference for :meth:`Pipeline.exchange`.

        Raises:
            ScmError: if there is no such garment.
        """
        if name not in self.garments:
            near = nearest(name, self.garments) or "; 'scm wardrobe' lists them"
            raise ScmError(f"{PREFIX}{name}: the wardrobe has no such garment{near}")
        return pipeline.encode(self.garments[name].person(pipeline.canvas))

    def by_kind(self) -> dict[str, list[Garment]]:
        """Return the garments by kind, in order of first occurrence."""
        found: dict[str, list[Garment]] = {}
        for garment in self.garments.values():
            found.setdefault(garment.kind, []).append(garment)
        return found


def check_name(name: str) -> None:
    """Check the name of a garment.

    Raises:
        ScmError: if it has other characters than lower-case letters, digits and hyphens.
    """
    if not _NAME.fullmatch(name):
        raise ScmError(f"garment '{name}': give a name of lower-case letters, digits and hyphens, such as red-skirt")


def take(person: Person, kind: str, name: str, about: str = "") -> Garment:
    """Cut a garment, or hair, out of a person's photo.

    Args:
        person: the wearer.
        kind: a region, or ``dress``.
        name: lower-case letters, digits and hyphens.
        about: one line of description.

    Raises:
        ScmError: if the person does not wear the kind, the kind is unknown, or the name is not valid.
    """
    check_name(name)
    if kind not in KINDS:
        raise ScmError(f"--region {kind}: is no kind of garment; give one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    mask = np.isin(person.regions, regions_taken(kind))
    if not mask.any():
        raise ScmError(f"{person.name}: has no {kind} to take; take another photo, or another --region")
    whole = Garment(name, kind, np.dstack([person.image, mask * np.uint8(255)]), person.joints, about)
    return cut_out(person.image, mask, person.joints, whole)


def cut_out(image: UInt8Array, mask: npt.NDArray[np.bool_], joints: FloatArray, about: Garment) -> Garment:
    """Cut a mask out of an image, downsized to at most 448 pixels on the longer side.

    Shape:
        image: (H, W, 3) uint8; mask: (H, W); joints: (18, 3) in pixels of the image.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    cut = np.dstack([image[box], mask[box].astype(np.uint8) * 255])
    scale = min(1.0, _LARGEST / max(cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    small = np.asarray(Image.fromarray(cut, "RGBA").resize(size, Image.Resampling.LANCZOS))
    moved = joints.astype(np.float32).copy()
    moved[:, 0] = (moved[:, 0] - box[1].start) * scale
    moved[:, 1] = (moved[:, 1] - box[0].start) * scale
    moved[joints[:, 2] <= 0] = 0
    return Garment(about.name, about.kind, small, moved, about.about)


def draw_worn(
    pipeline: Pipeline,
    wardrobe: Wardrobe,
    person: Person,
    pose: Person | Pose | None = None,
    columns: int = 8,
    on_progress: Callable[[int, int], object] | None = None,
) -> UInt8Array:
    """Draw one person wearing each garment, with captions, after the person unchanged.

    Args:
        pipeline: the model.
        wardrobe: the garments.
        person: who wears them; drawn at no more than twice the model's canvas.
        pose: drawn instead of the person's own.
        columns: pictures in a row.
        on_progress: called with the number of each garment, from 1, and their total.

    Shape:
        result: (H', W', 3) uint8.

    Raises:
        ScmError: if the person or pose cannot be used.
    """
    canvas = pipeline.canvas
    shown = {person.name: resized(person, canvas).image}
    person = _smaller(person, canvas.enlarged(min(len(person.image), _SHEET_SCALE * canvas.height)))
    for number, (name, garment) in enumerate(wardrobe.garments.items()):
        if on_progress is not None:
            on_progress(number + 1, len(wardrobe.garments))
        try:
            result = pipeline.edit(person, {garment.kind: wardrobe.reference(name, pipeline)}, pose)
        except ScmError:  # the photo does not show the garment's place
            continue
        shown[name] = np.asarray(result.image.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS))
    if len(shown) == 1 and wardrobe.garments:
        raise ScmError(f"{person.name}: none of the garments fits this photo; take one that shows the whole body")
    pictures = list(shown.items())
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return contact_sheet([[contact_sheet([[picture]], captions=[name]) for name, picture in row] for row in rows])


def _smaller(person: Person, canvas: Canvas) -> Person:
    """Return a person resized together with the scene, by which an edit corrects the region map."""
    if person.scene is None:
        return resized(person, canvas)
    scene = Image.fromarray(person.scene).resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
    return replace(resized(person, canvas), scene=np.asarray(scene))


def _garment(name: str, entry: _Entry, stored: torch.Tensor) -> Garment:
    if stored.dtype != torch.uint8 or stored.ndim != 1 or len(stored) > _MOST_BYTES or entry.kind not in KINDS:
        raise ValueError(name)
    picture = Image.open(io.BytesIO(stored.numpy().tobytes()), formats=("WEBP",))
    if max(picture.size) > 2 * _LARGEST:
        raise ValueError(name)
    image = np.asarray(picture.convert("RGBA"))
    joints: Any = np.array(entry.joints, np.float32)
    if not np.isfinite(joints).all():
        raise ValueError(name)
    return Garment(name, entry.kind, image, joints, entry.about)


def _encoded(image: UInt8Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image, "RGBA").save(buffer, "WEBP", quality=_QUALITY, method=6)
    return buffer.getvalue()
