"""Source spread: how much pictures of one pose differ from source to source (docs/design.md, section 7)."""

from __future__ import annotations

from torch import Tensor

from scmnet_cli.metrics.masked import masked_mean


def source_spread(outputs: Tensor, sources: Tensor, mask: Tensor) -> Tensor:
    """Return how much the outputs for one pose differ from source to source, relative to the sources themselves.

    The statistic is the standard deviation over the S pictures at each pixel and channel, averaged over channels and
    the target's person. It is taken of the outputs and, at the same pixels, of the sources; the spread is their ratio.
    0: every source gives one and the same person; 1: outputs differ as the sources do, which is what returning the
    sources scores. NaN if the mask is empty or the sources are all alike, as a single one is.

    The sources stand differently, so some show background at a pixel of the target's person. On a plain light
    background that makes their own deviation a little larger than it is among their persons alone, and the spread that
    much stricter (docs/lab/losses.md has the number).

    Shape:
        outputs, sources: (S, 3, H, W) in [-1, 1]; mask: (1, 1, H, W), the target's person; result: a scalar.
    """
    deviations = [pictures.float().std(0, correction=0)[None] for pictures in (outputs, sources)]  # (1, 3, H, W)
    of_outputs, of_sources = (masked_mean(deviation, mask)[0] for deviation in deviations)
    return of_outputs / of_sources
