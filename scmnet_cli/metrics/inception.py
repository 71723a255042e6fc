"""The Inception network of pytorch-fid, used for FID and IS (docs/design.md, section 7)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scmnet_cli.errors import ScmError
from scmnet_cli.weights import fetch_command, find_backbone, read_state

FEATURES = 2048
CLASSES = 1008
_SIDE = 299


class Inception(nn.Module):
    """Inception features and class probabilities of images, as pytorch-fid computes them.

    Images are resized to 299x299 by bilinear interpolation without antialiasing, as in pytorch-fid.

    Args:
        weights_dir: folder with the weight file, see :func:`scmnet_cli.weights.find_backbone`.

    Raises:
        ScmError: if the weights are absent or of another network.
    """

    def __init__(self, weights_dir: Path | None = None) -> None:
        super().__init__()
        path = find_backbone("inception", weights_dir)
        state = dict(read_state(path, "inception"))
        with torch.device("meta"):
            network = _architecture()
        expected = network.state_dict()
        for key in expected:
            # Old files lack these counters, which nothing reads in eval mode.
            if key.endswith("num_batches_tracked"):
                state.setdefault(key, torch.zeros((), dtype=torch.long))
            found, wanted = tuple(state[key].shape) if key in state else "absent", tuple(expected[key].shape)
            if found != wanted:
                raise ScmError(
                    f"{path}: is not pytorch-fid's Inception ({key} is {found}, expected {wanted}); "
                    f"delete it and download the right one with: {fetch_command('inception')}"
                )
        network.load_state_dict({key: state[key] for key in expected}, strict=True, assign=True)
        self.classifier = network.fc
        network.fc = nn.Identity()
        self.network = network.float()
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Return the features after the last average pooling.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; result: (B, 2048).
        """
        with torch.autocast(image.device.type, enabled=False):
            resized = F.interpolate(image.float(), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
            features: Tensor = self.network(resized)
        return features

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:
        """Return the class probabilities for the Inception Score.

        The classifier's bias is left out, as in the score's original code.

        Shape:
            features: (B, 2048); result: (B, 1008).
        """
        logits: Tensor = features @ self.classifier.weight.T
        return logits.softmax(1)


def _architecture() -> Any:
    """Build the network of pytorch_fid.inception, without the download of its own builder."""
    from pytorch_fid import inception as parts
    from torchvision.models import inception_v3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = inception_v3(num_classes=CLASSES, aux_logits=False, weights=None, init_weights=False)
    network.Mixed_5b = parts.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = parts.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = parts.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = parts.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = parts.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = parts.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = parts.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = parts.FIDInceptionE_1(1280)
    network.Mixed_7c = parts.FIDInceptionE_2(2048)
    return network


def inception_layout() -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return shape and type of every tensor of the weight file by key."""
    with torch.device("meta"):
        return {key: (tuple(value.shape), value.dtype) for key, value in _architecture().state_dict().items()}
