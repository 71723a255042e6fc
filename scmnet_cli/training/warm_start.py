"""Weights of a smaller model as the start of a larger one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_READ_MAPS = ("generator.draw.", "pose_encoder.layers.0.")
_LAST_LAYER = "generator.to_rgb."


def zero_new_inputs(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit weights to a network that reads more maps, or also predicts masks.

    Inputs that the smaller network does not know, the ground, structure maps or the part warp, get weight zero, so
    that at first they change nothing. The rows of its last layer that predict masks keep their fresh weights.

    Args:
        state: of the model without these inputs.
        wanted: freshly initialised tensors of the larger network.
    """
    fitted = dict(state)
    for name, tensor in state.items():
        fresh = wanted.get(name)
        if fresh is None or tensor.shape == fresh.shape or tensor.ndim != fresh.ndim:
            continue
        if name.startswith(_READ_MAPS) and tensor.ndim == 4 and tensor.shape[1] < fresh.shape[1]:
            widened = fresh.new_zeros(tensor.shape[0], *fresh.shape[1:])
            widened[:, : tensor.shape[1]] = tensor
            fitted[name] = widened
        elif name.startswith(_LAST_LAYER) and tensor.shape[0] < fresh.shape[0]:
            widened = fresh.clone()
            widened[: tensor.shape[0]] = tensor
            fitted[name] = widened
    return fitted
