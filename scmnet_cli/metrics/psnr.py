"""Peak signal-to-noise ratio in float; a public script subtracts uint8, which wraps around and adds about 10 dB."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scmnet_cli.metrics.masked import masked_mean

_PEAK = 2.0  # of images in [-1, 1]


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return 10 log10(peak^2 / mean squared difference) of each pair in dB.

    Infinite for equal images; NaN if the mask is empty.

    Shape:
        a, b: (B, 3, H, W) in [-1, 1]; mask: (B or 1, 1, H, W), for example the person; result: (B,).
    """
    error = masked_mean((a.float() - b.float()).square(), mask)
    return 20 * math.log10(_PEAK) - 10 * torch.log10(error)
