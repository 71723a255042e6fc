"""Means over images, however the images are cut into steps, accumulated parts and processes."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.system.processes import Team


class Means:
    """Collects values of images by name; images whose value is not finite count in no mean."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Tensor]] = {}

    def add(self, name: str, values: Tensor, images: int | None = None) -> None:
        """Take in a value an image, or the mean of ``images``; nothing waits for the device here.

        Shape:
            values: (B,), or a scalar with ``images``.
        """
        values = values.detach().float()
        if images is not None:
            values = values.expand(images)
        finite = values.isfinite()
        self._sums.setdefault(name, []).append(torch.stack([torch.where(finite, values, 0).sum(), finite.sum()]))

    def taken(self, team: Team) -> dict[str, float]:
        """Return the means over the images of all processes, alike in each, and forget them; NaN where none counted.

        Raises:
            ScmError: if a process is gone.
        """
        sums = {name: torch.stack(parts).double().sum(0).tolist() for name, parts in self._sums.items()}
        self._sums = {}
        total: dict[str, list[float]] = {}
        for of_one in team.gather(sums):
            for name, (value, count) in of_one.items():
                before = total.setdefault(name, [0.0, 0.0])
                total[name] = [before[0] + value, before[1] + count]
        return {name: value / count if count else float("nan") for name, (value, count) in total.items()}
