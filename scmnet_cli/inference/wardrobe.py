"""Garments and hair kept as region features, to be put on anybody: a wardrobe belongs to the model that encoded it.

>>> wardrobe = Wardrobe.read(path)
>>> result = pipeline.edit(person, {"upper": wardrobe.reference("denim-jacket", pipeline)})
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from scmnet_cli.checkpoint import load_tensors, save_tensors
from scmnet_cli.data.dataset import collate
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.files import parse_json
from scmnet_cli.images import PLAIN_GREY, contact_sheet, to_uint8
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline
from scmnet_cli.models.layers import STRIDE, pool_positions
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.style_encoder import DecomposedStyleEncoder, GlobalStyleEncoder
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Person, Pose, UInt8Array

SHIPPED_WARDROBE = Path(__file__).parents[1] / "assets" / "wardrobe.safetensors"
"""The garments that come with this package, of the model that does."""

KIND = "scm wardrobe"
"""What the header of a wardrobe file says it is."""

PREFIX = "wardrobe:"
"""What stands before the name of a garment to tell it from a file."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_REMEDY = "the file is damaged, copy it again"
_WORN = 0.5
_LEAST = 1e-3

_StyleEncoder = DecomposedStyleEncoder | GlobalStyleEncoder


@dataclass(frozen=True)
class Garment:
    """One region of somebody, encoded.

    Attributes:
        name: lower-case letters, digits and hyphens.
        region: the region that it replaces.
        features: F_s^R on the box of positions that the region changes, (K, h, w) float16.
        seen: the region's colours and mask, averaged over a position, on the same box, (4, h, w) float16.
        top, left: of the box, in positions.
        about: a line that describes it.
    """

    name: str
    region: str
    features: Tensor
    seen: Tensor
    top: int
    left: int
    about: str = ""


class _GarmentHeader(BaseModel):
    """What the header of a wardrobe file says of one garment."""

    region: str
    top: int = Field(ge=0)
    left: int = Field(ge=0)
    about: str = ""


class _Header(BaseModel):
    """Header of a wardrobe file."""

    garments: dict[str, _GarmentHeader]


class Wardrobe:
    """Named garments of one model."""

    def __init__(self, model: str, garments: Iterable[Garment] = ()) -> None:
        """Take garments.

        Args:
            model: fingerprint of the style encoder that encoded them, see :func:`style_fingerprint`.
            garments: by different names; a later one replaces an earlier one of its name.
        """
        self.model = model
        self.garments = {garment.name: garment for garment in garments}

    @classmethod
    def read(cls, path: Path) -> Wardrobe:
        """Read a wardrobe file.

        Raises:
            ScmError: if it is absent, damaged or none.
        """
        if not path.is_file():
            raise ScmError(f"{path}: no such wardrobe; 'scm wardrobe add' makes one")
        tensors, metadata = load_tensors(path)
        if metadata.get("kind") != KIND:
            raise ScmError(f"{path}: holds no wardrobe; give a file that 'scm wardrobe add' wrote")
        try:
            text, model = metadata["garments"], metadata["model"]
        except KeyError as error:
            raise ScmError(f"{path}: its header lacks {error}; {_REMEDY}") from error
        header = parse_json(f'{{"garments": {text}}}', _Header, f"header of {path}", _REMEDY)
        garments = []
        for name, entry in header.garments.items():
            features, seen = tensors.get(f"{name}.features"), tensors.get(f"{name}.seen")
            if features is None or seen is None or not _fit(features, seen):
                raise ScmError(f"{path}: the tensors of garment '{name}' are missing or of a wrong shape; {_REMEDY}")
            garments.append(Garment(name, entry.region, features, seen, entry.top, entry.left, entry.about))
        return cls(model, garments)

    def write(self, path: Path) -> None:
        """Write the wardrobe, replacing an older file in one step.

        Raises:
            ScmError: if the file cannot be written.
        """
        tensors = {}
        for garment in self.garments.values():
            tensors[f"{garment.name}.features"] = garment.features.contiguous()
            tensors[f"{garment.name}.seen"] = garment.seen.contiguous()
        told = {
            garment.name: {
                "region": garment.region,
                "top": garment.top,
                "left": garment.left,
                "about": garment.about,
            }
            for garment in self.garments.values()
        }
        save_tensors(path, tensors, {"kind": KIND, "model": self.model, "garments": json.dumps(told)})

    def reference(self, name: str, pipeline: Pipeline) -> EncodedSource:
        """Return a garment as something :meth:`Pipeline.exchange` takes a region from.

        Raises:
            ScmError: if there is no such garment, or another model encoded it.
        """
        if name not in self.garments:
            near = nearest(name, self.garments) or "; 'scm wardrobe' lists them"
            raise ScmError(f"{PREFIX}{name}: the wardrobe has no such garment{near}")
        if self.model != style_fingerprint(pipeline.model):
            raise ScmError(
                f"{PREFIX}{name}: was encoded by another model than {pipeline.path}; encode garments for this one: "
                "scm wardrobe add"
            )
        garment, canvas, encoder = self.garments[name], pipeline.canvas, pipeline.model.style_encoder
        region = pipeline.domain.region_id(garment.region)
        height, width = canvas.height // STRIDE, canvas.width // STRIDE
        bottom, right = garment.top + garment.features.shape[1], garment.left + garment.features.shape[2]
        if bottom > height or right > width:
            raise ScmError(f"{PREFIX}{name}: lies beyond the canvas {canvas}; {_REMEDY}")
        box = (slice(garment.top, bottom), slice(garment.left, right))
        features = torch.zeros(1, NUM_REGIONS, encoder.part_features + encoder.num_carried, height, width)
        features[0, region, :, *box] = _with_cells(garment.features.float(), encoder)

        seen = torch.zeros(1, 4, height, width)
        seen[0, :, *box] = garment.seen.float()
        seen = F.interpolate(seen, scale_factor=STRIDE, mode="bilinear")
        share = seen[0, 3]
        worn = (share >= _WORN * share.max()).numpy()
        image = np.full((canvas.height, canvas.width, 3), PLAIN_GREY, np.uint8)
        image[worn] = to_uint8(seen[0, :3] / share.clamp(min=_LEAST))[worn]
        person = Person(PREFIX + name, image, (worn * region).astype(np.uint8), np.zeros((NUM_JOINTS, 3), np.float32))
        features = features.to(pipeline.device)
        with torch.inference_mode():
            return EncodedSource(person, features, pipeline.model.fuse(features), (), 0.0)


def take(
    pipeline: Pipeline, source: Person, region: str, name: str, about: str = "", *, patterns: bool = True
) -> Garment:
    """Encode one region of a person for a wardrobe.

    Args:
        pipeline: whose features they are.
        source: who wears it.
        region: what is taken.
        name: lower-case letters, digits and hyphens.
        about: a line that describes it.
        patterns: keep what the model carries of each cell of a position; else only means over positions, of which
            no picture can be made.

    Raises:
        ScmError: if the source has no such region, or the name is none.
    """
    if not _NAME.fullmatch(name):
        raise ScmError(f"garment '{name}': give a name of lower-case letters, digits and hyphens, such as red-skirt")
    number = pipeline.domain.region_id(region)
    encoded = pipeline.encode(source)
    present = pipeline.present(encoded.person)
    if region not in present:
        raise ScmError(f"{source.name}: has no region '{region}' to take; it has {', '.join(present)}")
    if not pipeline.model.has_regions:
        raise ScmError(f"{pipeline.path}: was trained with 'style: global', which keeps no regions apart")
    batch = collate([encoded.person], torch.device("cpu"))
    mask = one_hot(batch.labels)[:, number : number + 1]
    seen = pool_positions(batch.image * mask, mask)[0]
    features = encoded.region_features[0, number].cpu()  # (K, H/8, W/8)
    top, bottom = _extent(features.abs().amax((0, 2)))
    left, right = _extent(features.abs().amax((0, 1)))
    box = (slice(None), slice(top, bottom), slice(left, right))
    if not patterns:
        features = _without_cells(features, pipeline.model.style_encoder)
    return Garment(name, region, features[box].half(), seen[box].half(), top, left, about)


def draw_worn(
    pipeline: Pipeline, wardrobe: Wardrobe, person: Person, pose: Person | Pose | None = None, columns: int = 8
) -> UInt8Array:
    """Draw each garment worn by one person, with its name; the person as drawn without any comes first.

    Shape:
        result: (H', W', 3) uint8.

    Raises:
        ScmError: if the garments are another model's, or the person or pose cannot be used.
    """
    encoded, layout = pipeline.encode(person), pose or person
    pictures = {person.name: np.asarray(pipeline.transfer(encoded, layout).image)}
    for name, garment in wardrobe.garments.items():
        reference = wardrobe.reference(name, pipeline)
        pictures[name] = np.asarray(pipeline.edit(encoded, {garment.region: reference}, layout).image)
    shown = list(pictures.items())
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    return contact_sheet([[contact_sheet([[picture]], captions=[name]) for name, picture in row] for row in rows])


def style_fingerprint(model: SCMNet) -> str:
    """Return what tells style encoders apart: a hash of the weights, rounded to float16 as files may hold them."""
    digest = hashlib.sha256()
    for name, tensor in model.style_encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _without_cells(features: Tensor, encoder: _StyleEncoder) -> Tensor:
    """Replace what is carried of each cell by its mean over a position."""
    part, cells = encoder.part_features, encoder.carried_cells
    if cells <= 1:
        return features
    return torch.cat([features[:part], torch.unflatten(features[part:], 0, (-1, cells**2)).mean(1)])


def _with_cells(features: Tensor, encoder: _StyleEncoder) -> Tensor:
    """Undo :func:`_without_cells` where it was done: each cell gets the mean."""
    part, cells = encoder.part_features, encoder.carried_cells
    if cells <= 1 or features.shape[0] == part + encoder.num_carried:
        return features
    return torch.cat([features[:part], features[part:].repeat_interleave(cells**2, dim=0)])


def _fit(features: Tensor, seen: Tensor) -> bool:
    """Say whether the two tensors of a garment have the shapes of :class:`Garment`."""
    is_whole = features.ndim == seen.ndim == 3 and features.numel() > 0 and seen.shape[0] == 4
    return (
        is_whole and features.shape[1:] == seen.shape[1:] and features.is_floating_point() and seen.is_floating_point()
    )


def _extent(line: Tensor) -> tuple[int, int]:
    """Return from where and up to where, exclusive, a line of values is not zero."""
    places = line.nonzero()
    return int(places[0]), int(places[-1]) + 1
