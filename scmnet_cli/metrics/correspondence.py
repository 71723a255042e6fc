"""Region accuracy: whether the correlation field takes style from the right region."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from scmnet_cli.regions import BACKGROUND


def region_accuracy(moved_regions: Tensor, target_masks: Tensor, source_masks: Tensor) -> Tensor:
    """Return the share of the person's positions, 0 to 1, that take their style from the right region.

    A position is right if the most likely moved region is the region that covers most of the position in the target.
    Only positions on the target's person (not background) whose region the source shows are counted. NaN if there are
    none.

    Shape:
        moved_regions: (B, R, h, w), the source's region maps moved through the field; target_masks: (B, R, H, W) and
        source_masks: (B, R, H', W') one-hot; result: (B,).
    """
    shares = F.interpolate(target_masks.float(), size=moved_regions.shape[2:], mode="area")
    wanted = shares.argmax(1)  # (B, h, w)
    shown = source_masks.flatten(2).any(2)  # (B, R)
    counted = (wanted != BACKGROUND) & shown.gather(1, wanted.flatten(1)).view_as(wanted)
    right = (moved_regions.argmax(1) == wanted) & counted
    return right.sum((1, 2)).float() / counted.sum((1, 2))
