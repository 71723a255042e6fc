"""Features of a frozen VGG, shared by the perceptual, style and body structure losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.weights import VGG_BLOCKS, VGG_CHANNELS, load_backbone

VGGName = Literal["vgg19", "vgg16"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def layer_names(name: VGGName) -> list[str]:
    """Return the layer names of a VGG, shallow to deep: ``relu1_1`` ... ``relu5_4``.

    Raises:
        ScmError: if there is no such VGG.
    """
    if name not in VGG_BLOCKS:
        raise ScmError(f"VGG '{name}' is not one of {', '.join(VGG_BLOCKS)}{nearest(name, VGG_BLOCKS)}")
    return [f"relu{block}_{conv + 1}" for block, count in enumerate(VGG_BLOCKS[name], 1) for conv in range(count)]


class VGGFeatures(nn.Module):
    """The activations of a pretrained VGG at named layers (phi^l of the paper's Eq. 6 and 7).

    The network is always frozen and in eval mode, even inside a module that trains. Gradients flow to the image only.
    Layers deeper than the deepest requested one are not built.

    Args:
        name: ``vgg19`` or ``vgg16``.
        layers: names such as ``relu3_1``; duplicates count once.
        weights_dir: folder with the weight file, see :func:`scmnet_cli.weights.find_backbone`.

    Raises:
        ScmError: if the VGG or a layer is unknown, or the weights are absent or wrong.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: VGGName, layers: Sequence[str], weights_dir: Path | None = None) -> None:
        super().__init__()
        known = layer_names(name)
        for layer in layers:
            if layer not in known:
                hint = nearest(layer, known) or f"; known: {', '.join(known)}"
                raise ScmError(f"{name} has no layer '{layer}'{hint}")
        if not layers:
            raise ScmError(f"{name}: no layer asked for; known: {', '.join(known)}")
        self.layers = [layer for layer in known if layer in layers]

        # On the meta device: all weights must come from the file, and torch's random state does not change.
        with torch.device("meta"):
            self.features, self._places = _convolutions(name, self.layers)
        needed = [f"features.{key}" for key in self.features.state_dict()]
        state = load_backbone(name, weights_dir, needed)
        self.load_state_dict(state, strict=True, assign=True)

        # (image / 2 + 1/2 - mean) / std in one step, for an image in [-1, 1].
        std = torch.tensor(IMAGENET_STD)[None, :, None, None]
        mean = torch.tensor(IMAGENET_MEAN)[None, :, None, None]
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the activations of the requested layers.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; each result: (B, C_l, H_l, W_l), at block b: H_l = H // 2^(b-1).
        """
        x = image * self.scale + self.shift
        found = {}
        for place, module in enumerate(self.features):
            x = module(x)
            if place in self._places:
                found[self._places[place]] = x
        return found


def _convolutions(name: VGGName, layers: Sequence[str]) -> tuple[nn.Sequential, dict[int, str]]:
    """Build torchvision's ``features`` down to the last of ``layers``, and return the index of each layer in it."""
    modules: list[nn.Module] = []
    places: dict[int, str] = {}
    channels_in = 3
    for block, (num_convs, channels) in enumerate(zip(VGG_BLOCKS[name], VGG_CHANNELS, strict=True), 1):
        for conv in range(1, num_convs + 1):
            # In place is safe: the ReLU works on the convolution's output, which nothing else reads.
            modules += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(inplace=True)]
            channels_in = channels
            if f"relu{block}_{conv}" in layers:
                places[len(modules) - 1] = f"relu{block}_{conv}"
                if len(places) == len(layers):
                    return nn.Sequential(*modules), places
        modules.append(nn.MaxPool2d(2, 2))
    raise AssertionError(f"{layers} are not all layers of {name}")
