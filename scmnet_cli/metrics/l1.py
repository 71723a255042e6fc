"""Mean absolute difference of images, over all pixels or a mask."""

from __future__ import annotations

from torch import Tensor

from scmnet_cli.metrics.masked import masked_mean


def l1(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of each pair of images, from 0 (equal) to 2; NaN if the mask is empty.

    Shape:
        a, b: (B, 3, H, W) in [-1, 1]; mask: (B or 1, 1, H, W), for example the person; result: (B,).
    """
    return masked_mean((a.float() - b.float()).abs(), mask)
