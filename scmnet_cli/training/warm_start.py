"""Weights of a smaller model as the start of a larger one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_SEEING = "generator.draw."


def blind_to_ground(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit a model of ``carry_detail`` 1 to a network that sees the colours it draws on.

    The inputs that its upsamplings do not know get weight zero, so that at first they change nothing.

    Args:
        state: of the model without these inputs.
        wanted: tensors of the larger network, for their shapes.
    """
    fitted = dict(state)
    for name, tensor in state.items():
        if not name.startswith(_SEEING) or name not in wanted or tensor.shape == wanted[name].shape:
            continue
        widened = wanted[name].new_zeros(wanted[name].shape)
        widened[:, : tensor.shape[1]] = tensor
        fitted[name] = widened
    return fitted
