"""Show the style features of a model as colours and strengths (the paper's figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scmnet_cli.inference.pipeline import EncodedSource, Pipeline
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class FeatureMaps:
    """Style features of the source in one model (the paper's figure 3).

    Attributes:
        model: the model file.
        decomposed: whether the model has the DSE; without it one encoder reads the whole image.
        region_strengths: (h, w) for each region of the source, mean absolute F_s^i over channels; empty without DSE.
        strength: (h, w), mean absolute F_s over channels.
        variation: standard deviation of ``strength`` over positions divided by its mean; 0 is uniform.
        colours: (h, w, 3), F_s along its three principal axes as red, green and blue.
    """

    model: str
    decomposed: bool
    region_strengths: dict[str, FloatArray]
    strength: FloatArray
    variation: float
    colours: UInt8Array


def compute_feature_maps(pipeline: Pipeline, encoded: EncodedSource) -> FeatureMaps:
    """Compute the style features of a source and describe them."""
    model = pipeline.model
    parts = encoded.region_features[0, :, : model.style_encoder.part_features]  # without the carried colours
    fused = encoded.style.features[0]
    strengths = parts.abs().mean(1).cpu().numpy()
    strength: FloatArray = fused.abs().mean(0).cpu().numpy()
    return FeatureMaps(
        model=str(pipeline.path),
        decomposed=model.has_regions,
        region_strengths={
            pipeline.domain.regions[region]: strengths[region]
            for region in range(NUM_REGIONS)
            if model.has_regions and (encoded.person.regions == region).any()
        },
        strength=strength,
        variation=float(strength.std() / max(float(strength.mean()), 1e-12)),
        colours=in_colours(fused, principal_axes(fused), fused),
    )


def principal_axes(features: Tensor) -> Tensor:
    """Return the first three principal axes of the features over positions.

    Shape:
        features: (C, h, w); result: (C, 3).
    """
    tokens = features.flatten(1).double()
    tokens = tokens - tokens.mean(1, keepdim=True)
    axes = torch.linalg.eigh(tokens @ tokens.T).eigenvectors[:, -3:].flip(1)
    largest = axes.abs().argmax(0)
    signed: Tensor = axes * axes.gather(0, largest[None]).sign()
    return signed  # a fixed sign, since the sign of an axis is arbitrary


def in_colours(features: Tensor, axes: Tensor, scale_of: Tensor) -> UInt8Array:
    """Project features on the axes as colours, scaled from the 2nd to the 98th percentile of ``scale_of``."""
    mean = scale_of.flatten(1).double().mean(1)
    reference = (scale_of.flatten(1).double() - mean[:, None]).T @ axes  # (N, 3)
    low, high = reference.quantile(0.02, dim=0), reference.quantile(0.98, dim=0)
    along = (features.flatten(1).double() - mean[:, None]).T @ axes
    levels = ((along - low) / (high - low).clamp(min=1e-12)).clamp(0, 1) * 255
    colours: UInt8Array = levels.round().to(torch.uint8).view(*features.shape[1:], 3).cpu().numpy()
    return colours
