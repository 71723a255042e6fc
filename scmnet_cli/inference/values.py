"""Inputs and outputs of a model: encoded sources, results, and people from arrays; importing them imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

    from scmnet_cli.inference.edits.editing import Edit
    from scmnet_cli.inference.synthesis import SourcePhoto
    from scmnet_cli.models.style import Style


@dataclass(frozen=True)
class ReadySource:
    """A source that is read and encoded, once for any number of poses; each kind of model adds its own features.

    Attributes:
        person: the source on the model's canvas; after an edit, with the exchanged regions pasted in.
        removed: regions that an edit removed because they exclude a new one.
        seconds: time for encoding.
        photo: the source at its own resolution, with the canvas's aspect ratio, if larger than the canvas.
        edit: edit of the photo, for models with a part warp and for faces.
    """

    person: Person
    removed: tuple[str, ...]
    seconds: float
    photo: Person | None = None
    edit: Edit | None = None

    @property
    def largest(self) -> Person:
        """The source at the highest available resolution."""
        return self.photo or self.person

    def is_in(self, pose: Pose) -> bool:
        """Return whether a pose on the model's canvas is the source's own."""
        if self.person.edges is not None:
            return pose.edges is not None and bool(np.array_equal(pose.edges, self.person.edges))
        return pose.joints.shape == self.person.joints.shape and bool(np.allclose(pose.joints, self.person.joints))


@dataclass(frozen=True, kw_only=True)
class EncodedSource(ReadySource):
    """Source encoded by the network itself.

    Attributes:
        region_features: F_s^i, (1, 8, C/8, H/8, W/8); in a model without the DSE (1, 1, C, H/8, W/8).
        style: F_s and the colours that are warped with it.
        others: further photos of the same person; each body part is taken from the photo that shows it best.
        on_canvas: the source as tensors on each canvas it was drawn on, with mirrored limbs or without, for further
            poses.
    """

    region_features: Tensor
    style: Style
    others: tuple[EncodedSource, ...] = ()
    on_canvas: dict[tuple[Canvas, bool], SourcePhoto] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def photos(self) -> tuple[EncodedSource, ...]:
        """All photos of the person, this one first."""
        return (self, *self.others)


@dataclass(frozen=True)
class Result:
    """One drawn picture.

    Attributes:
        image: the picture, RGB, of the size of :meth:`Pipeline.output_canvas`.
        source: name of the source.
        pose: name of the pose.
        joints: (18, 3), the pose on the model's canvas; (0, 3) for a face.
        edges: (H, W) uint8 bits, the edge map of a face on the model's canvas.
        alpha: (H, W) uint8, opacity of the person in ``image``; None if the model predicts no foreground mask.
        moved_regions: (H, W) uint8, the source region that each position takes its style from, in steps of 8 or 16
            pixels.
        moved_source: the source's colours warped by the correlation field.
        entropy: mean entropy of the correlation field, from 0 (each position uses one source position) to 1 (all).
        seconds: time for this picture, as its share of a batch, without encoding the source.
    """

    image: Image.Image
    source: str
    pose: str
    joints: FloatArray
    moved_regions: UInt8Array
    moved_source: Image.Image
    entropy: float
    seconds: float
    edges: UInt8Array | None = None
    alpha: UInt8Array | None = None

    def cutout(self) -> Image.Image:
        """Return the picture without its plain background, RGBA.

        Raises:
            ScmError: if the model predicts no foreground mask.
        """
        if self.alpha is None:
            raise ScmError(f"{self.source}: the model predicts no foreground mask to cut out the person with")
        opacity = self.alpha[..., None].astype(np.float32) / 255
        colour = (np.asarray(self.image) - PLAIN_GREY * (1 - opacity)) / np.maximum(opacity, 1 / 255)
        pixels = np.concatenate([colour.round().clip(0, 255), self.alpha[..., None]], axis=-1)
        return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def make_person(
    image: Image.Image,
    regions: Image.Image | npt.ArrayLike,
    joints: npt.ArrayLike,
    name: str = "person",
) -> Person:
    """Create a person from an upright image, its region map and its joints.

    Args:
        image: image in any mode; converted to RGB.
        regions: label map of the image's size with ids 0-7 of ``scmnet_cli.regions.BODY_REGIONS``; of a palette image
            the indices are read.
        joints: (18, 3), x and y in pixels and a score, 0 for a missing joint; in OpenPose order.
        name: name in results and errors.

    Raises:
        ScmError: if sizes, ids or joints are not as above.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
    labels = np.asarray(regions)
    if labels.shape != pixels.shape[:2]:
        raise ScmError(f"{name}: the region map is {labels.shape}, the image {pixels.shape[:2]}; give equal sizes")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= NUM_REGIONS:
        raise ScmError(f"{name}: the region map holds {labels.dtype} values up to {labels.max()}; expected ids 0 to 7")
    points = np.array(joints, dtype=np.float32)
    if points.shape != (NUM_JOINTS, 3):
        raise ScmError(f"{name}: joints have shape {points.shape}; expected ({NUM_JOINTS}, 3): x, y, score")
    points[~(points[:, 2] > 0)] = 0
    if not np.isfinite(points).all():
        raise ScmError(f"{name}: a joint is not finite; give a missing joint score 0")
    return Person(name=name, image=pixels, regions=labels.astype(np.uint8), joints=points)
