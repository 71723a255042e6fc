"""Colours at the outline of a person who is cut out of a photo.

Pixels at the outline mix the person with the background of the photo, and the region map is off by a pixel or two. Over
another background, or over the person's own clothes when an arm moves, they show as a dark or a pale line. So they take
the colours of the person just inside, and these colours continue a little beyond the outline, where resampling reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.models.neighbourhoods import averaged, dilated
from scmnet_cli.regions import BACKGROUND

_RIM = 400
"""The rim that is replaced is as wide as one of this many parts of the height."""

_BEYOND = 2
"""Pixels by which the colours continue beyond the outline."""


def clean_outline(image: Tensor, masks: Tensor) -> Tensor:
    """Return an image in which the colours of the person's interior continue over the outline.

    A part that is thinner than two rims keeps its own pixels.

    Shape:
        image, result: (B, 3, H, W); masks: (B, 8, H, W).
    """
    rim = max(round(image.shape[2] / _RIM), 1)
    background = masks[:, BACKGROUND, None] > 0.5
    inside = ~dilated(background, rim)
    thin = ~background & ~dilated(inside, rim)
    known = (inside | thin).to(image.dtype)
    colours = image * known
    for _ in range(rim + _BEYOND):
        sums = averaged(torch.cat([colours, known], dim=1), 1)
        near = sums[:, 3:] > 1e-3
        found = torch.where(near, sums[:, :3] / sums[:, 3:].clamp(min=1e-3), colours)
        fresh = near & (known < 0.5)
        colours = torch.where(fresh, found, colours)
        known = torch.maximum(known, fresh.to(known.dtype))
    return torch.where(known > 0.5, colours, image)
