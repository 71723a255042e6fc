"""What each network minimises: the generator the weighted sum of Eq. 9, each discriminator its side of Eq. 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.config import Config, LossConfig
from scmnet_cli.data.dataset import TrainingBatch
from scmnet_cli.losses import adversarial
from scmnet_cli.losses.body_structure import body_structure_loss
from scmnet_cli.losses.correspondence import field_colour_loss, field_region_loss, findable
from scmnet_cli.losses.perceptual import perceptual_loss
from scmnet_cli.losses.reconstruction import reconstruction_loss
from scmnet_cli.losses.style import STYLE_LAYERS, style_loss
from scmnet_cli.losses.vgg import VGGFeatures
from scmnet_cli.models.choices import GANKind
from scmnet_cli.models.discriminators import Discriminators
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import NUM_REGIONS, one_hot


@dataclass(frozen=True)
class Inputs:
    """A training batch as the networks read it.

    Shape:
        maps: (B, M, H, W), 19 of joints or 2 of edges; target: (B, 3, H, W); target_masks: (B, 8, H, W); style_image:
        (B, 3, H, W); style_masks: (B, 8, H, W).
    """

    maps: Tensor
    target: Tensor
    target_masks: Tensor
    style_image: Tensor
    style_masks: Tensor

    @classmethod
    def of(cls, batch: TrainingBatch) -> Inputs:
        """Draw the structure maps and masks of a batch."""
        return cls(
            maps=batch.target.maps(),
            target=batch.target.image,
            target_masks=one_hot(batch.target.labels),
            style_image=batch.style_image,
            style_masks=one_hot(batch.style_labels),
        )


@dataclass(frozen=True)
class GeneratorOutput:
    """What one pass of the generator gives.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; moved_regions: (B, 8, H/8, W/8), the source's region shares moved through the
        field; moved_colours: (B, 3, H/8, W/8), the source's colours moved likewise; pose_features, style_features:
        (B, C, H/8, W/8).
    """

    image: Tensor
    moved_regions: Tensor
    moved_colours: Tensor
    pose_features: Tensor
    style_features: Tensor


class GeneratorPass(nn.Module):
    """One pass of the generator as training needs it: the image, and what the field carries beside the style.

    Shape:
        maps: (B, M, H, W); style_image: (B, 3, H, W); style_masks: (B, 8, H, W); output: the fields of
        :class:`GeneratorOutput`.
    """

    def __init__(self, net: SCMNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, maps: Tensor, style_image: Tensor, style_masks: Tensor) -> tuple[Tensor, ...]:
        """Draw, carrying region shares and colours through the correlation field."""
        pose_features = self.net.encode_pose(maps)
        style_features = self.net.encode_style(style_image, style_masks)
        size = (style_features.shape[2], style_features.shape[3])
        carried = F.interpolate(torch.cat([style_masks, style_image], dim=1), size=size, mode="area")
        rearranged, moved = self.net.rearrange(pose_features, style_features, carried)
        if moved is None:
            raise AssertionError("rearrange returned nothing for what it was given to carry")
        image = self.net.translate(rearranged, maps).float()
        return image, moved[:, :NUM_REGIONS], moved[:, NUM_REGIONS:], pose_features, style_features


class GeneratorObjective:
    """The weighted sum of Eq. 9 and the correspondence losses; every term a mean over images."""

    def __init__(self, config: Config, weights_dir: Path | None, device: torch.device) -> None:
        """Load VGG if a loss of this config needs it.

        Raises:
            ScmError: if a loss needs VGG weights that are not found; the text says where from to get them.
        """
        self.weights: LossConfig = config.loss
        weights = self.weights
        self.style_layers = weights.style_layers or list(STYLE_LAYERS[weights.vgg])
        wanted = [
            *(weights.perceptual_layers if weights.perceptual else []),
            *(self.style_layers if weights.style else []),
            *([weights.bsr_layer] if weights.bsr else []),
        ]
        self.vgg: VGGFeatures | None = None
        if wanted:
            self.vgg = VGGFeatures(weights.vgg, list(dict.fromkeys(wanted)), weights_dir).to(device)
            if config.train.channels_last:
                self.vgg = self.vgg.to(memory_format=torch.channels_last)

    def __call__(
        self, drawn: GeneratorOutput, inputs: Inputs, logits: tuple[Tensor, Tensor] | None, *, with_vgg: bool = True
    ) -> dict[str, Tensor]:
        """Return each term unweighted, by the name of its weight; terms of weight 0 are left out.

        Args:
            drawn: what the generator gave.
            inputs: the batch.
            logits: the discriminators' logits of the drawn image; None while they take no part.
            with_vgg: whether perceptual, style and BSR losses take part.
        """
        weights, terms = self.weights, {}
        if weights.adversarial and logits is not None:
            style, pose = (adversarial.generator_loss(weights.gan, part.float()) for part in logits)
            terms["adversarial"] = (style + pose) / 2
        if weights.reconstruction:
            terms["reconstruction"] = reconstruction_loss(drawn.image, inputs.target)
        if self.vgg is not None and with_vgg:
            terms |= self._vgg_terms(self.vgg, drawn.image, inputs)
        if weights.field_regions:
            terms["field_regions"] = field_region_loss(drawn.moved_regions, inputs.target_masks, inputs.style_masks)
        if weights.field_colours:
            size = (drawn.moved_colours.shape[2], drawn.moved_colours.shape[3])
            seen = findable(inputs.target_masks, inputs.style_masks, size)
            terms["field_colours"] = field_colour_loss(drawn.moved_colours, inputs.target, seen)
        return terms

    def _vgg_terms(self, vgg: VGGFeatures, image: Tensor, inputs: Inputs) -> dict[str, Tensor]:
        weights, terms = self.weights, {}
        with torch.no_grad():
            target = vgg(inputs.target)
        generated = vgg(image)
        if weights.perceptual:
            terms["perceptual"] = perceptual_loss(generated, target, weights.perceptual_layers)
        if weights.style:
            terms["style"] = style_loss(generated, target, self.style_layers)
        if weights.bsr:
            layer = weights.bsr_layer
            terms["bsr"] = body_structure_loss(generated[layer], target[layer], inputs.target_masks)
        return terms

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Weigh and add the terms (Eq. 9)."""
        return torch.stack([getattr(self.weights, name) * term.float() for name, term in terms.items()]).sum()


def discriminator_terms(
    discriminators: nn.Module | Discriminators, gan: GANKind, image: Tensor, inputs: Inputs
) -> dict[str, Tensor]:
    """Return the loss of each discriminator on real and drawn images, judged in one pass.

    Shape:
        image: (B, 3, H, W), drawn, detached here.
    """
    both = torch.cat([inputs.target, image.detach()])
    logits = discriminators(both, torch.cat([inputs.maps, inputs.maps]))
    terms = {}
    for name, part in zip(("discriminator_style", "discriminator_pose"), logits, strict=True):
        real, fake = part.float().chunk(2)
        terms[name] = adversarial.discriminator_loss(gan, real, fake)
    return terms
