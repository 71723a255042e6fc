"""The eight body regions: names, ids, colours, and the way from a label map to masks."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.errors import ScmError, nearest

BODY_REGIONS = ("background", "pants", "hair", "skirt", "face", "upper", "arms", "legs")
"""Names of the regions; a region's place in this list is its id in every label map."""

NUM_REGIONS = len(BODY_REGIONS)
BACKGROUND = 0

COLOURS = (
    (230, 230, 230), (31, 96, 180), (110, 64, 30), (190, 80, 190),
    (245, 190, 150), (220, 60, 50), (250, 160, 60), (60, 160, 80),
)  # fmt: skip
"""RGB colour in which each region is drawn."""


def region_id(name: str) -> int:
    """Return the id of a named body region.

    Raises:
        ScmError: if there is no region of that name.
    """
    if name not in BODY_REGIONS:
        raise ScmError(f"region '{name}' is not one of {', '.join(BODY_REGIONS)}{nearest(name, BODY_REGIONS)}")
    return BODY_REGIONS.index(name)


def one_hot(labels: Tensor) -> Tensor:
    """Turn label maps into one mask a region.

    Shape:
        labels: (B, H, W) integers 0-7; result: (B, 8, H, W) float32, exactly one 1 a pixel.
    """
    ids = torch.arange(NUM_REGIONS, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == ids[None, :, None, None]).float()
