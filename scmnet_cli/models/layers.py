"""Layers that several networks share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.positions import STRIDE


def pool_positions(*maps: Tensor, stride: int = STRIDE) -> Tensor:
    """Average-pool maps to the resolution of the correlation field.

    Shape:
        maps: (B, C_i, H, W) each; result: (B, sum of C_i, H/stride, W/stride).
    """
    return F.avg_pool2d(torch.cat(maps, dim=1), stride)


def halved_edges(maps: Tensor) -> Tensor:
    """Return edge maps at half the size: a pixel is an edge if any pixel under it is, at the least distance of these.

    Shape:
        maps: (B, 2, H, W), edges and distances to them; result: (B, 2, H/2, W/2).
    """
    edges, distances = maps[:, :1], maps[:, 1:]
    return torch.cat([F.max_pool2d(edges, 2), -F.max_pool2d(-distances, 2)], dim=1)


def in_format_of(features: Tensor, values: Tensor) -> Tensor:
    """Return values in the memory format of features: joining both formats and convolving the result takes longer.

    Shape:
        features: (B, C, h, w), contiguous or channels-last; values, result: (B, K, H, W).
    """
    return values if features.is_contiguous() else values.contiguous(memory_format=torch.channels_last)


def split_rows(features: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return the first ``num`` images of a batch and the others; gradients keep the memory format.

    The gradient of a slice is contiguous, and the layers before it are slow if their features are channels-last.

    Shape:
        features: (B, C, h, w); results: (num, C, h, w) and (B - num, C, h, w).
    """
    first, others = _SplitRows.apply(features, num)
    return first, others


class _SplitRows(torch.autograd.Function):
    """Split a batch in two; an unused part has gradient 0."""

    @staticmethod
    def forward(context: Any, features: Tensor, num: int) -> tuple[Tensor, Tensor]:
        context.set_materialize_grads(False)
        context.save_for_backward(features)
        context.sizes = [num, len(features) - num]
        return features[:num], features[num:]

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        (features,) = context.saved_tensors
        of_features = torch.zeros_like(features)
        for part, gradient in zip(torch.split(of_features, context.sizes), gradients, strict=True):
            if gradient is not None:
                part.copy_(gradient)
        return of_features, None


class InstanceNorm(nn.Module):
    """Instance norm with learnt scale and shift, computed by the fastest equivalent kernel (docs/lab/speed.md).

    Group norm with one channel per group is the same equation and usually the fastest. Its channels-last CPU kernel is
    slow, above all backward; there each image goes through batch norm alone, which is the same equation again.

    Shape:
        input, output: (B, channels, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of each image over its positions."""
        if features.device.type != "cpu" or features.is_contiguous():
            # torch.group_norm, not F.group_norm: that one rejects a 1x1 map, which normalises to the shift.
            return torch.group_norm(features, features.shape[1], self.weight, self.bias)
        images = [
            F.batch_norm(image, None, None, self.weight, self.bias, training=True)
            for image in features.chunk(len(features))
        ]
        return images[0] if len(images) == 1 else torch.cat(images)


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes; its gradient is summed over them too."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the images of all processes, so that the number of processes changes nothing.

    In a single process or in eval mode it is plain batch norm. On several GPUs, training converts it to torch's
    SyncBatchNorm, which is fused but does not run on a CPU.

    Shape:
        input, output: (B, channels, H, W); every process has the same shape.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel over images and positions, and keep the running mean and variance."""
        if not (self.training and dist.is_available() and dist.is_initialized()):
            normalised: Tensor = super().forward(features)
            return normalised
        with torch.autocast(features.device.type, enabled=False):
            values = features.float()
            count = dist.get_world_size() * values.numel() // values.shape[1]
            mean = _sum_over_processes(values) / count
            centred = values - mean[:, None, None]
            variance = _sum_over_processes(centred.square()) / count
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
            scale = self.weight * (variance + self.eps).rsqrt()
            return (centred * scale[:, None, None] + self.bias[:, None, None]).to(features.dtype)


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values.sum((0, 2, 3)))
    return total


def norm_layer(norm: NormName, channels: int) -> nn.Module:
    """Return a normalisation layer with learnt scale and shift."""
    if norm == "instance":
        return InstanceNorm(channels)
    if norm == "batch":
        return BatchNorm(channels)
    if norm == "group":
        return nn.GroupNorm(max(1, channels // 16), channels)
    return nn.Identity()


class ConvBlock(nn.Sequential):
    """Convolution, normalisation, ReLU; the size is kept, or halved at stride 2.

    Shape:
        input: (B, in_channels, H, W); output: (B, out_channels, H / stride, W / stride).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, norm: NormName = "none"
    ) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=norm == "none"),
            norm_layer(norm, out_channels),
            nn.ReLU(inplace=True),  # nothing else reads its input
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an identity skip.

    Shape:
        input, output: (B, channels, H, W).
    """

    def __init__(self, channels: int, norm: NormName) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels, channels, 3, norm=norm),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"),
            norm_layer(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features + body(features)."""
        out: Tensor = features + self.body(features)
        return out
