"""Part warp: a piecewise affine warp of the source into a target pose, from joints alone (docs/design.md, part warp).

The body has ten parts. Each part p has an affine map M_p from target pixels to source pixels, a soft mask w_p on the
target's pixels, and a soft mask v_p on the source's pixels. With s_p(x) = v_p(M_p x), zero outside the picture,

    warped(x) = sum_p w_p(x) b_p(x) s_p(x) source(M_p x) / sum_p w_p(x) b_p(x) s_p(x)
    coverage(x) = n(x) sum_p w_p(x) s_p(x) / sum_p w_p(x)

where n(x) falls to 0 half a torso length away from all parts, and b_p(x) is 1 on the source's person and
0.03 / max(w_p, 1) on its background (0.2 around the head): an arm is in front of the torso (w_p > 1), the background
beside it is not, and what one part shows of a skirt hides what another shows of the background.

The warp has no learned parameters. Each part is evaluated only inside its bounding box, so cost and memory are linear
in the number of pixels, with about three samples per pixel instead of ten. A CPU samples large images one by one: the
boxes of one are smaller than those of a batch, and its layers stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scmnet_cli.models.leg_parts import LEG_PARTS, of_own_leg
from scmnet_cli.models.limb_ends import within_map
from scmnet_cli.models.part_composite import (
    FACE,
    FAINT,
    LEAST_SOURCE,
    NUM_SAMPLED,
    at_box,
    composite,
    with_background,
)
from scmnet_cli.models.part_joints import complete_joints, hidden_faces
from scmnet_cli.models.part_ownership import BESIDE_FOREARM, LEGS, Bone, bare_beside, garments_of, left_behind
from scmnet_cli.models.part_shapes import Box, PartShapes
from scmnet_cli.models.part_transforms import PartTransforms, part_transforms
from scmnet_cli.models.parts import ARM_PARTS, BONE_PARTS, HEAD_PART, UPPER_ARMS
from scmnet_cli.models.photo_end import within_photo
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND, WarpFields

NUM_WARP_CHANNELS = 12
"""Channels of :meth:`PartWarp.channels`: warped image (3), coverage (1), warped regions (8)."""

_ELBOW, _BARE = 0.03, 0.45  # in lengths of the bone: distance from the elbow; least bareness of an arm
_FEW_PIXELS = 2**15  # up to which a batch is warped faster at once
_OTHER_LEG, _OWNED, _BESIDE_BARE = 0.04, 0.5, 0.08
"""Membership of the pixels that a leg leaves to the other one, since it ends there; that of the other one, at least;
that of the garments beside a bare arm."""


@dataclass(frozen=True)
class PartWarp(WarpFields[Tensor]):
    """A source warped into a target pose, as tensors."""

    @classmethod
    def joined(cls, warps: Sequence[PartWarp]) -> PartWarp:
        """Return several warps as one batch."""
        parts = ([warp.image, warp.regions, warp.coverage, warp.coordinates] for warp in warps)
        return cls(*(torch.cat(rows) for rows in zip(*parts, strict=True)))

    def row(self, row: int) -> PartWarp:
        """Return the warp of one source of the batch, (1, ..., H, W)."""
        part = slice(row, row + 1)
        return PartWarp(self.image[part], self.regions[part], self.coverage[part], self.coordinates[part])

    def channels(self) -> Tensor:
        """Return the input channels of the networks: image, coverage and regions, (B, 12, H, W)."""
        return torch.cat([self.image, self.coverage, self.regions], dim=1)


def warp_parts(
    image: Tensor,
    masks: Tensor,
    source: Tensor,
    target: Tensor,
    fill: float = PLAIN_BACKGROUND,
    *,
    girth: tuple[float, float] = (1.0, 1.0),
    on_boxes: bool | None = None,
    parts: Tensor | None = None,
) -> PartWarp:
    """Warp a source into a target pose.

    Args:
        image: the source image.
        masks: region masks of the source; id 0 is background, 4 the face.
        source: joints of the source, as detected; missing ones are completed here.
        target: joints of the pose.
        fill: value of uncovered pixels.
        girth: widths of arms and of legs in the result, relative to their width in the source.
        on_boxes: evaluate each part only inside its bounding box. None: True on a CPU, False on a GPU.
        parts: weight of each part in this source; parts with weight 0 are left uncovered. None: all 1.

    Shape:
        image: (B, 3, H, W); masks: (B, 8, H, W); source, target: (B, 18, 3), x, y in pixels of the canvas and a score;
        parts: (B, 10) in [0, 1].
    """
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        boxed = _on_boxes(image) if on_boxes is None else on_boxes
        hidden = hidden_faces(source, target)
        source, target = complete_joints(torch.cat([source, target]).float()).chunk(2)
        transforms = part_transforms(source, target, girth)
        source_shapes, target_shapes = (PartShapes.of(joints, transforms.valid) for joints in (source, target))
        layers = _Layers.of(image.float() - fill, masks.float(), source_shapes, boxed=boxed)
        return _composite(layers, hidden, fill, transforms, target_shapes, boxed=boxed, parts=parts)


def part_layers(masks: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return what :func:`warp_layers` needs of a source, on the whole canvas.

    Of the target only the joints that are there count, not their places.

    Shape:
        masks: (B, 8, H, W); source, target: (B, 18, 3), as detected; results: (B, 10, H, W) and (B, 8, H, W), the
        degree to which pixels belong to each part, and where pixels of limbs belong to another one.
    """
    source, target = complete_joints(torch.cat([source, target]).float()).chunk(2)
    shapes = PartShapes.of(source, part_transforms(source, target).valid)
    layers = _Layers.of(masks[:, :3], masks.float(), shapes, boxed=False)
    own = [own for own in layers.memberships if own is not None]
    return torch.stack(own, dim=1), torch.stack([layers.other_leg[part] for part in BONE_PARTS], dim=1)


def warp_layers(
    image: Tensor, masks: Tensor, layers: tuple[Tensor, Tensor], source: Tensor, target: Tensor, parts: Tensor
) -> PartWarp:
    """Warp a source as :func:`warp_parts` does on whole canvases, with its :func:`part_layers`.

    Shape:
        image: (B, 3, H, W); masks: (B, 8, H, W); source, target: (B, 18, 3), as detected; parts: (B, 10) in [0, 1].
    """
    fill, hidden = PLAIN_BACKGROUND, hidden_faces(source, target)
    source, target = complete_joints(torch.cat([source, target]).float()).chunk(2)
    transforms = part_transforms(source, target)
    shapes = PartShapes.of(target, transforms.valid)
    boxes = shapes.boxes((image.shape[2], image.shape[3]), boxed=False)
    ends = dict(zip(BONE_PARTS, layers[1].unbind(1), strict=True))
    unpacked = _Layers(image.float() - fill, masks.float(), boxes, [*layers[0].unbind(1)], ends)
    return _composite(unpacked, hidden, fill, transforms, shapes, boxed=False, parts=parts)


def _on_boxes(image: Tensor) -> bool:
    return image.device.type == "cpu"


@dataclass(frozen=True)
class WarpSource:
    """One source to warp into any number of poses: what the poses share is computed once.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3), as detected; owners: (1, H, W), the part that
        each pixel of the legs surely belongs to, else 0.
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    fill: float = PLAIN_BACKGROUND
    owners: Tensor | None = None
    _latest: dict[tuple[bool, ...], _Layers] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of_photo(
        cls,
        image: Tensor,
        masks: Tensor,
        joints: Tensor,
        fill: float = PLAIN_BACKGROUND,
        owners: Tensor | None = None,
    ) -> WarpSource:
        """Return a source whose limbs end where its region map does, and of which nothing is known below the photo.

        See :func:`within_map` and :func:`within_photo`.
        """
        return cls(image, within_photo(masks, joints), within_map(joints, masks), fill, owners)

    @cached_property
    def completed(self) -> Tensor:
        """The completed joints, (1, 18, 3)."""
        return complete_joints(self.joints.float())

    def warp(self, poses: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp the source into poses, as :func:`warp_parts` does with the source repeated for each pose.

        Shape:
            poses: (B, 18, 3); parts: (B, 10) in [0, 1].
        """
        num = len(poses)
        with torch.no_grad(), torch.autocast(self.image.device.type, enabled=False):
            hidden = hidden_faces(self.joints.expand(num, -1, -1), poses)
            target = complete_joints(poses.float())
            transforms = part_transforms(self.completed.expand(num, -1, -1), target)
            valid = {tuple(row) for row in transforms.valid.tolist()}
            if len(valid) > 1:  # rows differ in the parts that source and pose both have
                given = [None] * num if parts is None else torch.split(parts, 1)
                return PartWarp.joined([self.warp(*pair) for pair in zip(torch.split(poses, 1), given, strict=True)])
            shapes, boxed = PartShapes.of(target, transforms.valid), _on_boxes(self.image)
            return _composite(self._layers(*valid), hidden, self.fill, transforms, shapes, boxed=boxed, parts=parts)

    def _layers(self, valid: tuple[bool, ...]) -> _Layers:
        """Return the layers of the source for a set of valid parts; those of the latest set are kept."""
        layers = self._latest.get(valid)
        if layers is None:
            shapes = PartShapes.of(self.completed, torch.tensor([valid], device=self.image.device))
            image, masks = self.image.float() - self.fill, self.masks.float()
            layers = _Layers.of(image, masks, shapes, boxed=_on_boxes(self.image)).with_owners(self.owners)
            self._latest.clear()
            self._latest[valid] = layers
        return layers


def inside_body(joints: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a soft mask of a body of typical width around the joints: 1 inside, falling to 0 around it.

    Shape:
        joints: (B, 18, 3), as detected; result: (B, 1, H, W).
    """
    joints = complete_joints(joints.float())
    shapes = PartShapes.of(joints)
    inside = joints.new_zeros(len(joints), 1, *size)
    for part, box in enumerate(shapes.boxes(size, boxed=True)):
        if box is not None:
            at = (..., *box)
            torch.maximum(inside[at], (1 - 5 * shapes.outside(part, box)[:, None]).clamp_(min=0), out=inside[at])
    return inside


@dataclass(frozen=True)
class _Layers:
    """The layers of the source that are sampled: image, regions, and each part's soft mask.

    Shape:
        image: (B, 3, H, W); masks: (B, 8, H, W); memberships: inside each part's box, the degree to which its pixels
        belong to the part, (B, h, w); other_leg: for arms and legs, 1 where pixels belong to another part and are
        background to this one, (B, h, w).
    """

    image: Tensor
    masks: Tensor
    boxes: list[Box | None]
    memberships: list[Tensor | None]
    other_leg: dict[int, Tensor]

    @classmethod
    def of(cls, image: Tensor, masks: Tensor, shapes: PartShapes, *, boxed: bool) -> _Layers:
        """Compute the soft masks of all parts in the source."""
        boxes = shapes.boxes((image.shape[2], image.shape[3]), boxed=boxed)
        near = [None if box is None else shapes.weight(part, box) for part, box in enumerate(boxes)]
        weights = [None if pair is None else pair[0] for pair in near]
        behind, other_leg = left_behind(near, boxes, _total(weights, boxes, image), masks, shapes)
        faint = {part: FAINT * weight for part in BONE_PARTS if (weight := weights[part]) is not None}
        for weight, left in zip(weights, behind, strict=True):
            if weight is not None and left is not None:
                weight.mul_(1 - left)
        strength = _of_legs(weights, boxes, image)
        total = _total(weights, boxes, image)
        beside = {
            part: _beside_arm(shapes, part, box, (faint[part], own), total, masks)
            for part in ARM_PARTS
            if (own := weights[part]) is not None and (box := boxes[part]) is not None
        }
        memberships: list[Tensor | None] = []
        for box, weight, left in zip(boxes, weights, behind, strict=True):
            own = None if box is None or weight is None else weight.div_(total[(..., *box)])
            if own is not None and left is not None:  # down to exactly 0: the minimum share is subtracted too
                own.sub_(left * (own + LEAST_SOURCE / (1 - LEAST_SOURCE)))
            memberships.append(own)
        owned = _of_legs(memberships, boxes, image)
        for part, beyond in other_leg.items():
            box, own, other = boxes[part], memberships[part], int(part in LEGS[0])
            if box is not None and own is not None:
                ground = beyond * (masks[(slice(None), 0, *box)] > 0.5)
                beyond *= (owned[other][(..., *box)] > _OWNED) & (strength[other][(..., *box)] > faint[part])
                memberships[part] = torch.maximum(own, _OTHER_LEG * torch.maximum(beyond, ground))
        for part, found in beside.items():
            if (own := memberships[part]) is not None:
                own = torch.where(found[0], _OTHER_LEG, own)
                memberships[part] = torch.where(found[1], _BESIDE_BARE, own)
                other_leg[part] = (found[0] | found[1]).to(own.dtype)
        return cls(image, masks, boxes, memberships, other_leg)

    def with_owners(self, owners: Tensor | None) -> _Layers:
        """Return the layers where owners of the pixels of legs are known, (1, H, W), see :func:`of_own_leg`."""
        if owners is None:
            return self
        memberships, other_leg = [*self.memberships], {**self.other_leg}
        whole = _of_legs(memberships, self.boxes, self.image)
        for part in LEG_PARTS:
            if (box := self.boxes[part]) is not None and (own := self.memberships[part]) is not None:
                at = (slice(None), *box)
                of_leg = whole[int(part in LEGS[1])][at]
                memberships[part], other_leg[part] = of_own_leg(part, own, other_leg[part], of_leg, owners[at])
        return _Layers(self.image, self.masks, self.boxes, memberships, other_leg)

    def rows(self, rows: slice) -> _Layers:
        """Return the layers of some rows of the batch; those of a single source are of all rows."""
        if len(self.image) == 1:
            return self
        memberships = [None if own is None else own[rows] for own in self.memberships]
        other_leg = {part: beyond[rows] for part, beyond in self.other_leg.items()}
        return _Layers(self.image[rows], self.masks[rows], self.boxes, memberships, other_leg)

    def parts(self, hidden: Tensor) -> Iterator[Tensor]:
        """Yield the 12 layers that each part samples; the same tensor is overwritten each time, but not in a graph.

        Shape:
            hidden: (B, 1, 1) in {0, 1}, 1 where the face is not warped; yielded: (B, 12, H, W).
        """
        shown = torch.cat([layer.expand(len(hidden), -1, -1, -1) for layer in (self.image, self.masks)], dim=1)
        source = torch.cat([shown, torch.zeros_like(shown[:, :1])], dim=1)
        for part, (box, own) in enumerate(zip(self.boxes, self.memberships, strict=True)):
            if box is None or own is None:
                yield source
                continue
            if part == HEAD_PART:
                own = own * (1 - self.masks[(slice(None), FACE, *box)] * hidden)
            emptied = self.other_leg.get(part)
            if torch.compiler.is_compiling():
                layers = shown if emptied is None else with_background(shown, emptied)
                yield torch.cat([layers, own[:, None].expand(len(hidden), -1, -1, -1)], dim=1)
                continue
            layers, membership = torch.split(source[(..., *box)], [NUM_SAMPLED - 1, 1], dim=1)  # views
            membership.copy_(own[:, None])
            if emptied is None or (_on_boxes(source) and not emptied.any()):  # asking a GPU takes longer than doing it
                yield source
            else:
                layers.mul_(1 - emptied[:, None])
                layers[:, 3:4] += emptied[:, None]
                yield source
                layers.copy_(shown[(..., *box)])
            membership.zero_()


def _beside_arm(
    shapes: PartShapes, part: int, box: Box, weights: tuple[Tensor, Tensor], total: Tensor, masks: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where an arm ends: at trousers, skirts and bare legs, and a bare arm at all garments that others show.

    Args:
        shapes: parts of the source.
        part: a part of an arm.
        box: bounding box of the part.
        weights: the least weight of a pixel that others show, and the weight of what the arm does not leave behind.
        total: sum of the weights of all parts.
        masks: region masks of the source.

    Shape:
        weights: (B, h, w); total: (B, H, W); masks: (B, 8, H, W); results: (B, h, w), bool.
    """
    faint, own = weights
    rest = total[(..., *box)] - own
    bone = Bone.of(shapes, part)
    u, _ = bone.local(box)
    near = faint > 0
    foreign = near & (masks[:, BESIDE_FOREARM][(..., *box)].amax(1) > 0.5)
    bare = bare_beside(bone, masks, u) * (1 - u if part in UPPER_ARMS else u).gt(_ELBOW)
    garments = bare * garments_of(masks)[(slice(None), *box)] > _BARE
    return foreign & (rest > FAINT * own), garments & near & (rest > faint.clamp(max=FAINT))


def _of_legs(values: list[Tensor | None], boxes: list[Box | None], image: Tensor) -> list[Tensor]:
    """Return the sums over the parts of each leg, (B, H, W)."""
    return [_total([values[part] for part in leg], [boxes[part] for part in leg], image) for leg in LEGS]


def _total(weights: list[Tensor | None], boxes: list[Box | None], image: Tensor) -> Tensor:
    """Return the sum of the weights of all parts, (B, H, W), at least 1e-30."""
    total = image.new_zeros(image.shape[0], *image.shape[2:])
    for box, weight in zip(boxes, weights, strict=True):
        if box is not None and weight is not None:
            total[at_box(box, image)] += weight
    return total.clamp_(min=1e-30)


def _composite(
    layers: _Layers,
    hidden: Tensor,
    fill: float,
    transforms: PartTransforms,
    target: PartShapes,
    *,
    boxed: bool,
    parts: Tensor | None = None,
) -> PartWarp:
    """Sample every part and blend by the equations of the module."""
    batch, (height, width) = len(hidden), layers.image.shape[2:]
    if boxed and batch > 1 and height * width > _FEW_PIXELS:  # one by one: boxes are smaller, and a cache holds all
        rows = [slice(row, row + 1) for row in range(batch)]
        alone = [(layers.rows(row), hidden[row], fill, transforms.rows(row), target.rows(row)) for row in rows]
        given = [None] * batch if parts is None else torch.split(parts, 1)
        return PartWarp.joined(
            [_composite(*one, boxed=True, parts=each) for one, each in zip(alone, given, strict=True)]
        )
    return PartWarp(*composite(layers, hidden, fill, transforms, target, boxed=boxed, parts=parts))
