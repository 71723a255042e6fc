"""Source spread: how much the outputs for one pose vary with the source (docs/design.md, section 7)."""

from __future__ import annotations

from torch import Tensor

from scmnet_cli.metrics.masked import masked_mean


def source_spread(outputs: Tensor, sources: Tensor, mask: Tensor) -> Tensor:
    """Return how much the outputs for one pose vary with the source, relative to the sources' own variation.

    The variation is the standard deviation over S images at each pixel and channel, averaged over channels and the
    target's person. The spread is the outputs' variation divided by the sources' at the same pixels. 0: every source
    gives the same image; 1: the outputs vary as the sources do, for example if they are the sources. NaN if the mask is
    empty or all sources are equal, as a single one is.

    The sources have other poses, so some show background at a pixel of the target's person. A plain light background
    makes the sources' variation slightly larger and the spread slightly smaller (docs/lab/losses.md has the number).

    Shape:
        outputs, sources: (S, 3, H, W) in [-1, 1]; mask: (1, 1, H, W), the target's person; result: a scalar.
    """
    deviations = [images.float().std(0, correction=0)[None] for images in (outputs, sources)]  # (1, 3, H, W)
    output_variation, source_variation = (masked_mean(deviation, mask)[0] for deviation in deviations)
    return output_variation / source_variation
