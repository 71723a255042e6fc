"""Means over images, however the images are split into steps, accumulated parts and processes."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.system.processes import Team


class Means:
    """Collects per-image values by name; values that are not finite are left out of the means."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Tensor]] = {}

    def add(self, name: str, values: Tensor, images: int | None = None) -> None:
        """Add one value per image, or the mean of ``images`` images; does not synchronise with the device.

        Shape:
            values: (B,), or a scalar with ``images``.
        """
        values = values.detach().float()
        if images is not None:
            values = values.expand(images)
        finite = values.isfinite()
        self._sums.setdefault(name, []).append(torch.stack([torch.where(finite, values, 0).sum(), finite.sum()]))

    def pop(self, team: Team) -> dict[str, float]:
        """Return the means over the images of all processes, the same in each, and reset; NaN without values.

        Raises:
            ScmError: if a process is gone.
        """
        sums = {name: torch.stack(parts).double().sum(0).tolist() for name, parts in self._sums.items()}
        self._sums = {}
        total: dict[str, list[float]] = {}
        for process_sums in team.gather(sums):
            for name, (value, count) in process_sums.items():
                before = total.setdefault(name, [0.0, 0.0])
                total[name] = [before[0] + value, before[1] + count]
        return {name: value / count if count else float("nan") for name, (value, count) in total.items()}
