"""Flicker and jitter of a video: the distance of each frame from the midpoint of its two neighbours.

    flicker = mean |I_t - (I_t-1 + I_t+1) / 2|      over frames and pixels
    jitter  = mean ||p_t - (p_t-1 + p_t+1) / 2|| / h  over frames and joints, h the person's height

Even motion and even change count nothing; change to and fro counts fully. A still video and an even fade have 0,
frames that are black and white in turn have 2, the range of the values.
"""

from __future__ import annotations

import torch
from torch import Tensor


def flicker(images: Tensor) -> Tensor:
    """Return how far frames lie from the midpoints of their neighbours, on the scale of the values; 0 is steady.

    Shape:
        images: (T, 3, H, W) in [-1, 1], T at least 3; result: scalar, 0 to 2.
    """
    return _from_midpoints(images).abs().mean()


def jitter(joints: Tensor) -> Tensor:
    """Return how far joints lie from the midpoints of where they are before and after, as a share of the height.

    Frames count in which a joint is known before, now and after; the height is the median one of the joints' boxes.
    NaN where there are none.

    Shape:
        joints: (T, 18, 3), x, y in pixels of one frame and a score, 0 where missing; result: scalar.
    """
    known = joints[..., 2] > 0  # (T, 18)
    y = joints[..., 1]
    heights = torch.where(known, y, -torch.inf).amax(1) - torch.where(known, y, torch.inf).amin(1)
    height = heights[known.any(1)].median()
    counted = known[:-2] & known[1:-1] & known[2:]
    share: Tensor = (_from_midpoints(joints[..., :2]).norm(dim=-1)[counted] / height).mean()
    return share


def _from_midpoints(values: Tensor) -> Tensor:
    return values[1:-1] - (values[:-2] + values[2:]) / 2
