"""Colours at the outline of a person who is cut out of a photo.

Pixels at the outline mix the person with the background of the photo, and the region map is off by a pixel or two. Over
another background, or over the person's own clothes when an arm moves, they show as a dark or a pale line. So they take
the colours of the person just inside, and these colours continue a little beyond the outline, where resampling reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.models.neighbourhoods import averaged, dilated
from scmnet_cli.regions import BACKGROUND, region_id

_RIM = 400
"""The rim that is replaced is as wide as one of this many parts of the height."""

_BARE_ARMS, _GARMENTS = region_id("arms"), [region_id(name) for name in ("pants", "skirt", "upper")]

_BEYOND = 2
"""Pixels by which the colours continue beyond the outline."""


def clean_outline(image: Tensor, masks: Tensor) -> Tensor:
    """Return an image in which the colours of the person's interior continue over the outline.

    So do the colours of bare arms at garments beside them, whose shadow moved along with the arm. A part that is
    thinner than two rims keeps its own pixels.

    Shape:
        image, result: (B, 3, H, W); masks: (B, 8, H, W).
    """
    rim = max(round(image.shape[2] / _RIM), 1)
    background = masks[:, BACKGROUND, None] > 0.5
    image = _continued(image, _inside(~background, background, rim), rim + _BEYOND)
    arms, garments = masks[:, _BARE_ARMS, None] > 0.5, masks[:, _GARMENTS].sum(1, keepdim=True) > 0.5
    return torch.where(arms, _continued(image, _inside(arms, garments, rim), rim), image)


def _inside(part: Tensor, other: Tensor, rim: int) -> Tensor:
    """Return the pixels of a part away from another one, and those of its thin places, (B, 1, H, W) bool."""
    inside = part & ~dilated(other, rim)
    return inside | part & ~dilated(inside, rim)


def _continued(image: Tensor, known: Tensor, steps: int) -> Tensor:
    """Continue the colours of known pixels by some pixels.

    Shape:
        image, result: (B, 3, H, W); known: (B, 1, H, W) bool.
    """
    found = known.to(image.dtype)
    colours = image * found
    for _ in range(steps):
        sums = averaged(torch.cat([colours, found], dim=1), 1)
        near = sums[:, 3:] > 1e-3
        mean = torch.where(near, sums[:, :3] / sums[:, 3:].clamp(min=1e-3), colours)
        fresh = near & (found < 0.5)
        colours = torch.where(fresh, mean, colours)
        found = torch.maximum(found, fresh.to(found.dtype))
    return torch.where(found > 0.5, colours, image)
