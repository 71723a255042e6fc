"""Functions that work on tensors and on arrays alike; importing this imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

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


def as_type(values: ValuesT, like: ValuesT) -> ValuesT:
    """Return values in the type of others, such as masks as numbers."""
    if isinstance(values, np.ndarray):
        return np.asarray(values, like.dtype)
    return values.to(like.dtype)


def zeros(like: ValuesT, *shape: int) -> ValuesT:
    """Return zeros of a shape, in the type of others and on their device."""
    return np.zeros(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_zeros(shape)


def counting(start: int, stop: int, like: ValuesT) -> ValuesT:
    """Return the numbers from ``start`` to ``stop`` - 1 in the type of other values."""
    if isinstance(like, np.ndarray):
        return np.arange(start, stop, dtype=like.dtype)
    import torch

    return torch.arange(start, stop, device=like.device, dtype=like.dtype)


def clipped(values: ValuesT, low: ValuesT | float | None, high: ValuesT | float | None) -> ValuesT:
    """Return values not below ``low`` and not above ``high``."""
    if isinstance(values, np.ndarray):
        return np.asarray(np.clip(values, low, high))
    return values.clamp(low, high)  # type: ignore[arg-type]


def clip_(values: ValuesT, low: float | None, high: float | None) -> ValuesT:
    """Clip values in place, and return them."""
    if isinstance(values, np.ndarray):
        np.clip(values, low, high, out=values)
    else:
        values.clamp_(low, high)
    return values


def exp_(values: ValuesT) -> ValuesT:
    """Take the exponential of values in place, and return them."""
    if isinstance(values, np.ndarray):
        np.exp(values, out=values)
    else:
        values.exp_()
    return values


def add_product_(total: ValuesT, a: ValuesT, b: ValuesT) -> None:
    """Add a product to a total in place; ``a`` may be overwritten."""
    if isinstance(total, np.ndarray):
        a *= b
        total += a
    else:
        total.addcmul_(a, b)


def length_of(x: ValuesT, y: ValuesT) -> ValuesT:
    """Return sqrt(x^2 + y^2); torch.hypot has no ONNX export."""
    if isinstance(x, np.ndarray):
        squares: npt.NDArray[Any] = x * x + y * y
        np.sqrt(squares, out=squares)
        return squares
    return x.square().addcmul(y, y).sqrt_()


def is_traced(values: Any) -> bool:
    """Return whether values are tensors from which torch traces a graph now."""
    if isinstance(values, np.ndarray):
        return False
    import torch

    return torch.compiler.is_compiling()


def as_tensor(values: npt.NDArray[Any]) -> Tensor:
    """Return an array itself, typed as the tensor that functions for both ask for."""
    return cast("Tensor", values)
