"""Copy score: whether the output copies the source in place (docs/design.md, section 7)."""

from __future__ import annotations

from torch import Tensor

from scmnet_cli.metrics.l1 import l1


def copy_score(output: Tensor, source: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return 1 - d(output, source) / d(reference, source), with d the L1 over the mask.

    1: the output equals the source. 0: it is as far from the source as the reference is. Below 0: it is farther, so
    nothing is copied. The reference is the true target if it is known, else the source moved through the field; scores
    with different references cannot be compared. NaN if reference and source are equal on the mask.

    Shape:
        output, source, reference: (B, 3, H, W) in [-1, 1]; mask: (B or 1, 1, H, W); result: (B,), at most 1.
    """
    return 1 - l1(output, source, mask) / l1(reference, source, mask)
