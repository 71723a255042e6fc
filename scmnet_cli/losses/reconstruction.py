"""Reconstruction loss (Eq. 5)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of the drawn image and the target (Eq. 5: L_rec = ||I_g - I_t||_1).

    Shape:
        drawn, target: (B, 3, H, W) in [-1, 1]; result: scalar.
    """
    return F.l1_loss(drawn, target)
