"""Forward passes of a loaded model: encode the style, warp, paint, and composite at the photo's resolution."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import collate
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.composition.enlarging import Enlarged, enlarge
from scmnet_cli.inference.composition.outlines import clean_outline
from scmnet_cli.inference.drawing_model import DrawingModel, Pictures
from scmnet_cli.inference.limbs.bags import complete_at_bags
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp
from scmnet_cli.inference.limbs.leg_owners import leg_owners
from scmnet_cli.inference.limbs.unseen_limbs import NUM_REPLACED, absent_joints, replaced_limbs
from scmnet_cli.inference.values import EncodedSource, ReadySource, Result
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.layers import pool_positions
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.parts import LIMB_PARTS
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.several_photos import Photo, best_photo, part_scores, warp_photos
from scmnet_cli.models.style import Style
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

_UNSEEN_COUNTS = 0.2
"""Share of an unseen limb's pixels that counts, so that it comes from another photo that shows it."""


@dataclass(frozen=True)
class Painted:
    """Output of the network for one source in a batch of poses.

    Shape:
        rendering: (B, ..., H, W); moved: (B, 8 + 3, H/8, W/8), the source's region shares and colours, warped by the
        correlation field; entropy: (B,), entropy of the field, relative to its maximum.
    """

    rendering: Rendering
    moved: Tensor
    entropy: Tensor
    warp: PartWarp | None = None

    @classmethod
    def joined(cls, rows: Sequence[Painted]) -> Painted:
        """Concatenate single outputs to a batch."""
        rendering = Rendering.joined([row.rendering for row in rows])
        warps = [row.warp for row in rows if row.warp is not None]
        warp = PartWarp.joined(warps) if len(warps) == len(rows) else None
        return cls(rendering, torch.cat([row.moved for row in rows]), torch.cat([row.entropy for row in rows]), warp)


class Synthesis(DrawingModel):
    """Forward passes of a loaded network; base class of :class:`scmnet_cli.inference.pipeline.Pipeline`.

    Attributes:
        model: the network, in eval mode and without gradients.
    """

    model: SCMNet
    device: torch.device

    def __init__(self, model: SCMNet, saved: SavedModel, device: torch.device) -> None:
        self._describe(saved, device)
        self.model = model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)

    def _draw(self, encoded: ReadySource, poses: list[Pose], canvas: Canvas) -> list[Result]:
        assert isinstance(encoded, EncodedSource)
        start = time.perf_counter()
        num = len(poses)
        with torch.inference_mode():
            structure = self.structure(encoded, poses)
            painted = self._painted(structure, encoded)
            entropies = painted.entropy.tolist()
            if canvas == self.canvas:
                drawn = self._composed(painted, structure)
            else:
                drawn = self._enlarged(painted, encoded, structure, canvas)
        moved = painted.moved
        labels = moved[:, :NUM_REGIONS].argmax(1).to(torch.uint8).cpu().numpy()  # (B, H/8, W/8)
        colours = F.interpolate(moved[:, NUM_REGIONS:], scale_factor=self.model.stride, mode="nearest")
        pictures = Pictures(
            [to_uint8(image) for image in drawn.image],
            _levels(drawn.alpha, num),
            labels.repeat(self.model.stride, axis=1).repeat(self.model.stride, axis=2),
            [to_uint8(colour) for colour in colours],
            entropies,
        )
        self._finish()
        return self._results(encoded, poses, canvas, pictures, (time.perf_counter() - start) / num)

    def _painted(self, structure: Tensor, encoded: EncodedSource) -> Painted:
        """Draw on the model's canvas; with several photos pose by pose, each from the best photos."""
        photos = self._photos(encoded, self.canvas)
        if not encoded.others:
            return self.paint(structure, encoded.style, photos[0])
        rows = []
        for row in range(len(structure)):
            pose = structure[row : row + 1]
            scores = part_scores(photos, pose)
            main = best_photo(scores)
            rows.append(self.paint(pose, encoded.photos[main].style, photos[main], warp_photos(photos, pose, scores)))
        return Painted.joined(rows)

    def compose(self, encoded: EncodedSource, structure: Tensor) -> Enlarged:
        """Draw a source in poses on the model's canvas.

        Shape:
            structure: (B, 18, 3) joints of people or (B, H, W) edges of faces.
        """
        with torch.inference_mode():
            return self._composed(self._painted(structure, encoded), structure)

    def _composed(self, painted: Painted, structure: Tensor) -> Enlarged:
        """Return the picture on the model's canvas; with a part warp by the rules for larger pictures."""
        rendering, warp = painted.rendering, painted.warp
        if rendering.blend is None or warp is None:
            return Enlarged(rendering.image, rendering.alpha)
        return enlarge(rendering, warp, structure.float(), self.background_level)

    def _photos(self, encoded: EncodedSource, canvas: Canvas) -> list[SourcePhoto]:
        """Return all photos of a person on a canvas; they are kept in the encoded sources."""
        kind = (canvas, self.mirrored_limbs)
        for each in encoded.photos:
            if kind not in each.on_canvas:
                person = each.person if canvas == self.canvas else each.largest
                is_cut_out = canvas != self.canvas and self.has_plain_background
                photo = photo_of(person, canvas, self.device, is_cut_out=is_cut_out)
                detail = each.largest.canvas.height / self.canvas.height
                owners = owners_of(each.largest, canvas, self.device) if self.config.model.part_warp else None
                replaced = self._replaced_limbs(each)
                each.on_canvas[kind] = replace(photo, detail=detail, replaced=replaced, owners=owners)
        return [each.on_canvas[kind] for each in encoded.photos]

    def photo(self, encoded: EncodedSource) -> SourcePhoto:
        """Return the first photo of a person on the model's canvas."""
        return self._photos(encoded, self.canvas)[0]

    def structure(self, encoded: EncodedSource, poses: Sequence[Pose]) -> Tensor:
        """Return poses on the model's canvas as a batch, without the limbs that are not to be drawn.

        Shape:
            result: (B, 18, 3) joints of people or (B, H, W) edges of faces.
        """
        structure = torch.from_numpy(np.stack([pose.structure for pose in poses])).to(self.device)
        if self.mirrored_limbs:
            return structure
        people = collate([photo.person for photo in encoded.photos], self.device)
        left_out = absent_joints(one_hot(people.labels), people.structure).all(0)  # (18,)
        return structure.masked_fill(left_out[:, None], 0)

    def _replaced_limbs(self, encoded: EncodedSource) -> Tensor | None:
        """Return a person's unseen limbs and hidden hands on the model's canvas; None without a part warp."""
        if not self.config.model.part_warp:
            return None
        if not self.mirrored_limbs:
            return torch.zeros(1, NUM_REPLACED, dtype=torch.bool, device=self.device)
        person = collate([encoded.person], self.device)
        return replaced_limbs(one_hot(person.labels), person.structure)

    def _enlarged(self, painted: Painted, encoded: EncodedSource, structure: Tensor, canvas: Canvas) -> Enlarged:
        """Draw at the photo's resolution."""
        scale = structure.new_tensor([canvas.width / self.canvas.width, canvas.height / self.canvas.height, 1.0])
        larger = structure * scale
        photos, small = self._photos(encoded, canvas), self._photos(encoded, self.canvas)
        if not encoded.others:
            return enlarge_rows(painted.rendering, photos[0], larger, plain=self.has_plain_background)
        rows = []
        for row, joints in enumerate(larger):
            warp = warp_photos(photos, joints[None], part_scores(small, structure[row : row + 1]))
            rows.append(enlarge(painted.rendering.row(row), warp, joints[None], self.background_level))
        return Enlarged.joined(rows)

    @property
    def background_level(self) -> float | None:
        """Level of the plain background in [-1, 1]; None if the model draws backgrounds."""
        return PLAIN_BACKGROUND if self.has_plain_background else None

    def read_style(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Style]:
        """Return the features of the regions and the fused style, as in :class:`EncodedSource`.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W).
        """
        region_features = self.model.encode_regions(image, masks)
        return region_features, self.model.fuse(region_features)

    def paint(self, structure: Tensor, style: Style, source: SourcePhoto, warp: PartWarp | None = None) -> Painted:
        """Draw one source in a batch of poses, on the model's canvas.

        Args:
            structure: the poses.
            style: style of the source.
            source: the source on the canvas.
            warp: the source warped into the poses; None: it is computed here.

        Shape:
            structure: (B, 18, 3) joints of people or (B, H, W) edges of faces; style: (1, ...).
        """
        num = len(structure)
        maps = self.domain.maps(structure, self.canvas)
        warp = self.warp(structure, source) if warp is None else warp
        style = style.expand(num)
        field = self.model.field(self.model.encode_pose(maps, warp), style, warp)
        carried = F.avg_pool2d(source.carried, self.model.stride // STRIDE)
        rearranged, moved = self.model.rearrange(field, style, carried.expand(num, -1, -1, -1))
        assert moved is not None
        entropies = field.entropy().flatten(1)  # (B, N)
        entropy = entropies.mean(1) / math.log(entropies.shape[1])
        return Painted(self.model.translate(rearranged, maps, warp), moved, entropy, warp)

    def warp(self, structure: Tensor, source: SourcePhoto) -> PartWarp | None:
        """Warp the source into a batch of poses, on the canvas; return None if the model has no part warp."""
        return source.person.warp(structure) if self.config.model.part_warp else None

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class SourcePhoto(Photo):
    """A source on one canvas, with what all its poses share; of a face, the joints are its edges.

    Attributes:
        replaced: its unseen limbs and hidden hands, see :class:`~scmnet_cli.inference.limbs.crossed_arms.PersonToWarp`.
        owners: the part that each pixel of its legs belongs to, likewise.
    """

    replaced: Tensor | None = None
    owners: Tensor | None = None

    @cached_property
    def person(self) -> PersonToWarp:
        """The person, ready to be warped into poses."""
        return PersonToWarp(self.image, self.masks, self.joints, replaced=self.replaced, owners=self.owners)

    def warp(self, pose: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp the person, or some parts, into a pose, as one photo is: arms that move away do not stay.

        Shape:
            pose: (1, 18, 3); parts: (1, 10) in {0, 1}, None: all.
        """
        return self.person.warp(pose, parts)

    @cached_property
    def visible(self) -> Tensor:
        """Sum of each part's weights on the person, (10,), in torso lengths squared; less for unseen limbs."""
        counts = torch.ones_like(super().visible)
        for limb, parts in enumerate(LIMB_PARTS):
            if self.replaced is not None and self.replaced[0, limb]:
                counts[list(parts)] = _UNSEEN_COUNTS
        return super().visible * counts

    @cached_property
    def carried(self) -> Tensor:
        """Masks and image at the resolution of the correlation field, (1, 8 + 3, H/8, W/8)."""
        return pool_positions(self.masks, self.image)


def photo_of(person: Person, canvas: Canvas, device: torch.device, *, is_cut_out: bool = False) -> SourcePhoto:
    """Return a person on a canvas as a photo to warp.

    Args:
        person: the person.
        canvas: size of the photo.
        device: device of the tensors.
        is_cut_out: whether the background was replaced, so that the outline must be cleaned of it.
    """
    batch = collate([resized(complete_at_bags(person), canvas)], device)
    masks = one_hot(batch.labels)
    image = clean_outline(batch.image, masks) if is_cut_out else batch.image
    return SourcePhoto(image, masks, batch.structure)


def owners_of(person: Person, canvas: Canvas, device: torch.device) -> Tensor:
    """Return the part that each pixel of a person's legs belongs to on a canvas, (1, H, W), see :func:`leg_owners`."""
    return torch.from_numpy(leg_owners(complete_at_bags(person), canvas))[None].to(device)


def enlarge_rows(rendering: Rendering, photo: SourcePhoto, joints: Tensor, *, plain: bool) -> Enlarged:
    """Composite pictures at the photo's resolution, one pose at a time to save memory.

    Args:
        rendering: output of the network on its canvas.
        photo: the source at the larger size.
        joints: the poses, in pixels of the larger size.
        plain: whether the background is plain.

    Shape:
        rendering: (B, ..., H, W); joints: (B, 18, 3).
    """
    rows = []
    for row in range(len(joints)):
        pose = joints[row : row + 1]
        warp = photo.person.warp(pose)
        rows.append(enlarge(rendering.row(row), warp, pose, PLAIN_BACKGROUND if plain else None))
    return Enlarged.joined(rows)


def _levels(alpha: Tensor | None, num: int) -> list[UInt8Array | None]:
    """Convert a batch of foreground masks to bytes, (H, W) each; without a mask return ``num`` times None."""
    if alpha is None:
        return [None] * num
    levels = (alpha[:, 0].float() * 255).round().to(torch.uint8).cpu().numpy()
    return list(levels)
