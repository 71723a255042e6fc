"""Output at the photo's resolution: the network's maps are upsampled, the photo is warped at full resolution.

image = alpha (c warped + (1 - c) drawn) + (1 - alpha) background, where c, alpha and the drawn image are upsampled from
the network's canvas, and the part warp samples the photo at its own resolution (docs/design.md, any resolution). Hands,
feet and the outlines of limbs are the warp's own, and where the warp shows the person it needs less trust to be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.inference.composition.debris import attached, slivers
from scmnet_cli.inference.composition.drawn_legs import fading, like_trousers
from scmnet_cli.inference.composition.extremities import Extremities
from scmnet_cli.models.arrays import is_traced
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PartWarp

_LEAST_COVERED = 0.05
_SURE, _SURE_ON_PERSON = (0.15, 0.65), (0.0, 0.25)
"""Values of c between which warped pixels fade in: anywhere, and where they show the person. A garment that the network
draws is blurred, the photo's own pixels are not."""
_PERSON_SHARE = 0.8  # warped pixels with a smaller share of the person are a grey veil

_EDGE, _EDGE_ON_PERSON, _CONTRAST = 0.62, 0.35, 3.0
"""Values of the upsampled foreground mask at the edge of the person, anywhere and where the warp shows the person, and
the factor by which the edge is steepened: the network's mask is soft, and wider than the person."""
_NOTHING = 0.1  # value of that mask up to which the outline of warped pixels is debris


@dataclass(frozen=True)
class Enlarged:
    """A picture at the photo's resolution, and its foreground mask.

    Shape:
        image: (B, 3, H', W') in [-1, 1]; alpha: (B, 1, H', W') in [0, 1], None where the background is drawn.
    """

    image: Tensor
    alpha: Tensor | None = None

    @classmethod
    def joined(cls, rows: Sequence[Enlarged]) -> Enlarged:
        """Return pictures of one size as one batch."""
        alphas = [row.alpha for row in rows if row.alpha is not None]
        return cls(torch.cat([row.image for row in rows]), torch.cat(alphas) if alphas else None)


def enlarge(rendering: Rendering, warp: PartWarp, joints: Tensor, background: float | None) -> Enlarged:
    """Composite the picture at the resolution of a part warp.

    Args:
        rendering: output of the network on its canvas.
        warp: the same source in the same pose, at the larger size.
        joints: the pose, in pixels of the larger size.
        background: level of the plain background in [-1, 1]; None if the network draws the background.

    Shape:
        rendering: (B, ..., H, W); warp: (B, ..., H', W'); joints: (B, 18, 3).

    Raises:
        ValueError: if the network reads no part warp.
    """
    if rendering.blend is None or rendering.drawn is None:
        raise ValueError("a network without part warp has no blend map to enlarge")
    size, canvas = ((image.shape[2], image.shape[3]) for image in (warp.image, rendering.image))
    mask = None if rendering.alpha is None else _enlarged(rendering.alpha, size)
    shapes = PartShapes.of(complete_joints(joints.float()))
    ends = Extremities.of(shapes, warp, mask)
    blend = torch.maximum(_sure(_enlarged(rendering.blend, size), warp), ends.shown) * (warp.coverage > _LEAST_COVERED)
    blend = blend * (1 - ends.holes)
    drawn = _enlarged(rendering.drawn, size).clamp(-1, 1)
    if is_traced(drawn) or ends.legs.any():
        blend = blend * fading(warp, ends.legs)
        drawn = like_trousers(drawn, warp, ends.legs, ends.inner, shapes.size)
    image = blend * warp.image + (1 - blend) * drawn
    if mask is None or background is None:
        return Enlarged(image.clamp(-1, 1))
    alpha = torch.minimum(torch.maximum(_sharpened(mask, warp, blend, canvas), ends.shown), ends.outline)
    alpha = alpha * attached(shapes, alpha) * (1 - slivers(alpha, warp))
    return Enlarged((alpha * image + (1 - alpha) * background).clamp(-1, 1), alpha)


def _sure(blend: Tensor, warp: PartWarp) -> Tensor:
    """Return the share of the warped pixels in the picture, before coverage.

    Shape:
        blend: (B, 1, H', W'), the upsampled c; result: likewise, in [0, 1].
    """
    anywhere, on_person = (((blend - low) / (high - low)).clamp(0, 1) for low, high in (_SURE, _SURE_ON_PERSON))
    person = warp.regions[:, 1:].sum(1, keepdim=True)
    return torch.lerp(anywhere, on_person, ((person - _PERSON_SHARE) / (1 - _PERSON_SHARE)).clamp(0, 1))


def _sharpened(alpha: Tensor, warp: PartWarp, blend: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Steepen an upsampled foreground mask; where the network relies on the warp, its edge is the warped silhouette's.

    Args:
        alpha: the upsampled mask.
        warp: the part warp.
        blend: the enlarged c.
        canvas: height and width of the mask before it was upsampled.

    Shape:
        alpha, blend, result: (B, 1, H', W') in [0, 1].
    """
    person = (1 - warp.regions[:, :1]) * (warp.coverage > _LEAST_COVERED)
    person = 1 - dilated(1 - dilated(person, 1), 1)  # seams between parts are no edges
    edge = torch.lerp(alpha.new_tensor(_EDGE), alpha.new_tensor(_EDGE_ON_PERSON), person * warp.coverage)
    steep = ((alpha - edge) * _CONTRAST + 0.5).clamp(0, 1)
    size = (person.shape[2], person.shape[3])
    if size == canvas:
        return steep
    detail = person - _enlarged(F.interpolate(person, size=canvas, mode="area"), size)
    seen = ((alpha - _NOTHING) / _NOTHING).clamp(0, 1)
    return (steep + blend * warp.coverage * torch.minimum(detail, seen)).clamp(0, 1)


def _enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    if (values.shape[2], values.shape[3]) == size:  # bicubic interpolation would change nothing
        return values.float()
    return F.interpolate(values.float(), size=size, mode="bicubic")
