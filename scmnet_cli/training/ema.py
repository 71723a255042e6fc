"""Exponential moving average of weights; a run saves it as its model."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_RAMP_UP = 0.05


class MovingAverage(Generic[M]):
    """Exponential moving average of a module's weights, with a half-life in images.

    The half-life is at most 5 % of the images seen so far, so the average soon forgets the initial weights.
    """

    def __init__(self, module: M, half_life: int) -> None:
        """Start from a copy of ``module``; ``half_life`` 0 keeps the average equal to the module."""
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, module: nn.Module, images: int, batch: int) -> None:
        """Update the average after a step of ``batch`` images; ``images`` were seen before the step."""
        half_life = min(float(self.half_life), images * _RAMP_UP)
        kept = 0.5 ** (batch / half_life) if half_life > 0 else 0.0
        averages: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(module.parameters())
        torch._foreach_lerp_(averages, current, 1 - kept)
        for average, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
