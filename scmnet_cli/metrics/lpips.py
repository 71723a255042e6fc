"""LPIPS 0.1 of the official package, with local backbone weights (docs/design.md, section 7)."""

from __future__ import annotations

import importlib.resources
import warnings
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from scmnet_cli.metrics.masked import masked_mean
from scmnet_cli.weights import load_backbone

_BACKBONES = {"alex": "alexnet", "vgg": "vgg16"}


class Lpips(nn.Module):
    """Learned perceptual image patch similarity: 0 for equal images, larger for less similar ones.

    Args:
        net: ``alex`` (the one usually reported) or ``vgg``.
        weights_dir: folder with the backbone's file, see :func:`scmnet_cli.weights.find_backbone`.

    Raises:
        ScmError: if the backbone's weights are absent or wrong.
    """

    def __init__(self, net: Literal["alex", "vgg"] = "alex", weights_dir: Path | None = None) -> None:
        super().__init__()
        self.model = _official_lpips(net, load_backbone(_BACKBONES[net], weights_dir))
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode: the package's network holds dropout."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the distance of each pair: the official value or, with a mask, the mean of the distance map over it.

        The map at a pixel depends on its neighbourhood, so pixels just outside the mask have some influence. The mean
        of the map over a whole image is close to the official value, but not equal. NaN if the mask is empty.

        Shape:
            a, b: (B, 3, H, W) in [-1, 1], at least 32x32; mask: (B or 1, 1, H, W); result: (B,).
        """
        if mask is not None:
            return masked_mean(self.distance_map(a, b), mask)
        return self._distance(a, b, spatial=False).flatten()

    @torch.no_grad()
    def distance_map(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance at each pixel.

        Shape:
            a, b: (B, 3, H, W) in [-1, 1]; result: (B, 1, H, W).
        """
        return self._distance(a, b, spatial=True)

    def _distance(self, a: Tensor, b: Tensor, *, spatial: bool) -> Tensor:
        self.model.spatial = spatial
        with torch.autocast(a.device.type, enabled=False):
            distance: Tensor = self.model(a.float(), b.float())
        return distance


def _official_lpips(net: str, backbone: dict[str, Tensor]) -> Any:
    """Build the package's network with our backbone: no download, no prints, no warnings of torchvision."""
    import lpips

    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # the package calls torchvision in a deprecated way
        model = lpips.LPIPS(net=net, version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    model.scaling_layer = lpips.ScalingLayer()

    heads = importlib.resources.files("lpips").joinpath("weights", "v0.1", f"{net}.pth")
    with heads.open("rb") as file:
        state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    state |= {f"lins.{key.removeprefix('lin')}": value for key, value in state.items()}
    state |= {f"scaling_layer.{key}": value for key, value in model.scaling_layer.state_dict().items()}
    for key in model.net.state_dict():  # slice2.3.weight is torchvision's features.3.weight
        state[f"net.{key}"] = backbone[f"features.{key.partition('.')[2]}"]
    model.load_state_dict(state, strict=True, assign=True)
    return model.requires_grad_(False).eval()
