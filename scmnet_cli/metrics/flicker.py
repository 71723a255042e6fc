"""Flicker and jitter of a video: the distance of each frame from the midpoint of its two neighbours.

    flicker = mean |I_t - (I_t-1 + I_t+1) / 2|      over frames and pixels
    jitter  = mean ||p_t - (p_t-1 + p_t+1) / 2|| / h  over frames and joints, h the person's height

Uniform motion and linear change score 0, oscillation scores its full amplitude: a still video and a linear fade have
flicker 0, frames that alternate between black and white have 2, the range of the values.
"""

from __future__ import annotations

import torch
from torch import Tensor


def flicker(images: Tensor) -> Tensor:
    """Return the mean distance of frames from the midpoints of their neighbours; 0 is steady.

    Shape:
        images: (T, 3, H, W) in [-1, 1], T at least 3; result: scalar, 0 to 2.
    """
    return _from_midpoints(images).abs().mean()


def jitter(joints: Tensor) -> Tensor:
    """Return the mean distance of joints from the midpoints of their neighbours in time, as a share of the height.

    A joint counts in a frame if it is known in this frame, the one before and the one after. The height is the median
    height of the joints' bounding boxes. NaN if no joint counts.

    Shape:
        joints: (T, 18, 3), x, y in pixels of the frame and a score, 0 if missing; result: scalar.
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
