"""Features for FD-VGG16, a Fréchet distance without Inception weights; it is not comparable with FID."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from scmnet_cli.losses.vgg import VGGFeatures

FEATURES = 512
_LAYER = "relu5_3"


class Vgg16Features(nn.Module):
    """Activations of VGG16's last convolution, averaged over the image; images are not resized.

    Args:
        weights_dir: folder with the weight file, see :func:`scmnet_cli.weights.find_backbone`.

    Raises:
        ScmError: if the weights are absent or wrong.
    """

    def __init__(self, weights_dir: Path | None = None) -> None:
        super().__init__()
        self.vgg = VGGFeatures("vgg16", [_LAYER], weights_dir)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Return the features.

        Shape:
            image: (B, 3, H, W) in [-1, 1], at least 16x16; result: (B, 512).
        """
        with torch.autocast(image.device.type, enabled=False):
            activations: Tensor = self.vgg(image.float())[_LAYER]
        return activations.mean((2, 3))
