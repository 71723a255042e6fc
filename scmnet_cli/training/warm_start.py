"""Warm start: initialise a larger model with the weights of a smaller one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_READ_MAPS = ("generator.draw.", "pose_encoder.layers.0.")
_NEW_LAYERS = ("generator.fine.", "generator.to_detail.")
_LAST_LAYER = "generator.to_rgb."


def zero_new_inputs(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Extend weights to a network with more input maps or predicted masks.

    New inputs (base colours, structure maps or the part warp) get weight zero, so they change nothing at first. Rows of
    the last layer that predict masks keep their fresh weights, and so do the layers of ``model.half_size``.

    Args:
        state: weights of the smaller model.
        wanted: freshly initialised weights of the larger model.
    """
    fitted = {name: tensor for name, tensor in wanted.items() if name.startswith(_NEW_LAYERS)} | dict(state)
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
