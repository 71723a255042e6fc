"""Functions that work on tensors and on arrays alike; importing this imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

ValuesT = TypeVar("ValuesT", "Tensor", npt.NDArray[Any])


def namespace(values: Any) -> Any:
    """Return the module that computes with values: NumPy for arrays, torch for tensors."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def constant(values: Sequence[float], like: ValuesT) -> ValuesT:
    """Return numbers as an array or a tensor of another one's type, on its device."""
    if isinstance(like, np.ndarray):
        return np.array(values, like.dtype)
    return like.new_tensor(values)


def norm(vectors: ValuesT) -> ValuesT:
    """Return the lengths of vectors along the last axis."""
    if isinstance(vectors, np.ndarray):
        return np.asarray(np.linalg.norm(vectors, axis=-1), vectors.dtype)
    lengths: Tensor = vectors.norm(dim=-1)
    return lengths


def unstacked(values: ValuesT) -> list[ValuesT]:
    """Return the slices along the second axis; in a graph these are fewer nodes than single ones."""
    if isinstance(values, np.ndarray):
        return list(np.moveaxis(values, 1, 0))
    return list(values.unbind(1))


def length_of(x: Tensor, y: Tensor) -> Tensor:
    """Return sqrt(x^2 + y^2) of tensors; torch.hypot has no ONNX export."""
    length: Tensor = x.square().addcmul(y, y).sqrt_()
    return length
