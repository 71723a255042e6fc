"""Inception Score: confident classes for each image, many classes over all images (Salimans et al. 2016)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scmnet_cli.errors import ScmError

SPLITS = 10


class InceptionScore:
    """Streaming Inception Score over splits of consecutive images.

    Args:
        count: number of images that will be added.
        splits: number of splits; the score is the mean over them.

    Raises:
        ScmError: if there are fewer images than splits.
    """

    def __init__(self, count: int, splits: int = SPLITS) -> None:
        if count < splits:
            raise ScmError(f"an Inception Score in {splits} splits needs {splits} images or more, not {count}")
        self._ends = [(split + 1) * count // splits for split in range(splits)]
        self._sums: list[Tensor | None] = [None] * splits
        self._negative_entropies = [0.0] * splits
        self._seen = 0

    def add(self, probabilities: Tensor) -> None:
        """Add the next images.

        Shape:
            probabilities: (B, K), each row sums to 1.
        """
        for row in probabilities.detach().double().cpu():
            split = next(place for place, end in enumerate(self._ends) if self._seen < end)
            total = self._sums[split]
            self._sums[split] = row if total is None else total + row
            self._negative_entropies[split] += float(torch.xlogy(row, row).sum())
            self._seen += 1

    def result(self) -> tuple[float, float]:
        """Return mean and standard deviation over splits of exp(mean KL(p(y|x) || p(y))), 1 to the class count."""
        assert self._seen == self._ends[-1], "fewer images added than announced"
        scores, start = [], 0
        for end, total, negative_entropy in zip(self._ends, self._sums, self._negative_entropies, strict=True):
            assert total is not None
            mean = total / (end - start)
            scores.append(math.exp(negative_entropy / (end - start) - float(torch.xlogy(mean, mean).sum())))
            start = end
        deviations = torch.tensor(scores, dtype=torch.float64)
        return float(deviations.mean()), float(deviations.std(correction=0))
