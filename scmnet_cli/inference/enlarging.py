"""Output at the photo's resolution: the network's maps are upsampled, the photo is warped at full resolution.

image = alpha (c warped + (1 - c) drawn) + (1 - alpha) background, where c, alpha and the drawn image are upsampled from
the network's canvas, and the part warp samples the photo at its own resolution (docs/design.md, any resolution). Hands,
feet and the outlines of limbs are the warp's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.inference.extremities import Extremities
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp

_LEAST_COVERED = 0.05
_SURE = (0.15, 0.65)
"""Values of c between which warped pixels fade in: an upsampled blend is blurred, the photo's own pixels are not."""

_EDGE, _CONTRAST = 0.62, 3.0
"""Value of the upsampled foreground mask at the edge of the person, and the factor by which the edge is steepened: the
network's mask is soft, and wider than the person."""


@dataclass(frozen=True)
class Enlarged:
    """A picture at the photo's resolution, and its foreground mask.

    Shape:
        image: (B, 3, H', W') in [-1, 1]; alpha: (B, 1, H', W') in [0, 1], None where the background is drawn.
    """

    image: Tensor
    alpha: Tensor | None = None


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
    ends = Extremities.of(joints, warp, mask)
    sure = (_enlarged(rendering.blend, size) - _SURE[0]) / (_SURE[1] - _SURE[0])
    blend = torch.maximum(sure.clamp(0, 1), ends.shown) * (warp.coverage > _LEAST_COVERED)
    image = blend * warp.image + (1 - blend) * _enlarged(rendering.drawn, size).clamp(-1, 1)
    if mask is None or background is None:
        return Enlarged(image.clamp(-1, 1))
    alpha = torch.minimum(torch.maximum(_sharpened(mask, warp, blend, canvas), ends.shown), ends.outline)
    return Enlarged((alpha * image + (1 - alpha) * background).clamp(-1, 1), alpha)


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
    steep = ((alpha - _EDGE) * _CONTRAST + 0.5).clamp(0, 1)
    person = (1 - warp.regions[:, :1]) * (warp.coverage > _LEAST_COVERED)
    coarse = F.interpolate(person, size=canvas, mode="area")
    detail = person - _enlarged(coarse, (person.shape[2], person.shape[3]))
    return (steep + blend * warp.coverage * detail).clamp(0, 1)


def _enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(values.float(), size=size, mode="bicubic")
