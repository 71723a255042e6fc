"""Training objectives: the generator's weighted sum of losses (Eq. 9), and the discriminators' losses (Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.config import Config, LossConfig
from scmnet_cli.data.dataset import TrainingBatch
from scmnet_cli.losses import adversarial
from scmnet_cli.losses.body_structure import body_structure_loss
from scmnet_cli.losses.correspondence import field_colour_loss, field_region_loss, findable
from scmnet_cli.losses.edges import edge_loss
from scmnet_cli.losses.perceptual import feature_scale, perceptual_loss
from scmnet_cli.losses.reconstruction import reconstruction_loss
from scmnet_cli.losses.region_colours import region_colour_loss
from scmnet_cli.losses.style import STYLE_LAYERS, style_loss
from scmnet_cli.losses.vgg import VGGFeatures
from scmnet_cli.models.choices import GANKind
from scmnet_cli.models.correlation import Field
from scmnet_cli.models.discriminators import Discriminators, FeatureDiscriminator
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.layers import split_rows
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, one_hot

View = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class JudgedFeatures:
    """VGG features of real and generated images, each layer divided by the mean feature of the target.

    Shape:
        real[l]: (B, C_l, H_l, W_l); generated[l]: the same, followed by the crossed images, B/2 or none.
    """

    real: dict[str, Tensor]
    generated: dict[str, Tensor]

    def detached(self) -> JudgedFeatures:
        """Return the same features without a graph."""
        return JudgedFeatures(self.real, {layer: feature.detach() for layer, feature in self.generated.items()})


Judge = Callable[[JudgedFeatures], Mapping[str, Tensor]]
"""Returns the logits of the generated images, (B, 1, H_l, W_l) for each layer."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of the networks for a training batch.

    Shape:
        maps: (B, M, H, W), M = 19 for joints or 2 for edges; target: (B, 3, H, W); target_masks: (B, 8, H, W);
        style_image: (B, 3, H, W); style_masks: (B, 8, H, W); warp: the source warped to the target's pose, or None;
        sure: (B, 1, H, W), weight of each pixel of the target in the losses; None: all weigh the same;
        alignment: (B, 2, 3), alignment of the source's face, see :class:`~scmnet_cli.data.dataset.TrainingBatch`.
    """

    maps: Tensor
    target: Tensor
    target_masks: Tensor
    style_image: Tensor
    style_masks: Tensor
    warp: PartWarp | None = None
    sure: Tensor | None = None
    alignment: Tensor | None = None

    @classmethod
    def of(cls, batch: TrainingBatch, *, part_warp: bool = False) -> Inputs:
        """Draw the structure maps and masks of a batch, and warp its source."""
        target, source = batch.target, batch.source
        masks = one_hot(source.labels)
        return cls(
            maps=target.maps(),
            target=target.image,
            target_masks=one_hot(target.labels),
            style_image=source.image,
            style_masks=masks,
            warp=warp_parts(source.image, masks, source.structure, target.structure) if part_warp else None,
            sure=batch.sure,
            alignment=batch.alignment,
        )


@dataclass(frozen=True)
class GeneratorOutput:
    """Output of one pass of the generator.

    Shape:
        rendering: the image and its masks; moved_regions: (B, 8, H/8, W/8), the source's region shares moved through
        the field; moved_colours: (B, 3, H/8, W/8), the source's colours moved likewise; crossed_image: (B/2, 3, H, W),
        the first half of the targets in the style of the second half's sources; crossed_regions: (B/2, 8, H/8, W/8),
        those sources' region shares moved likewise; both are None without crossed pairs.
    """

    rendering: Rendering
    moved_regions: Tensor
    moved_colours: Tensor
    field: Field
    crossed_image: Tensor | None = None
    crossed_regions: Tensor | None = None

    @property
    def image(self) -> Tensor:
        """The generated image, (B, 3, H, W) in [-1, 1]."""
        return self.rendering.image

    @property
    def judged(self) -> Tensor:
        """The images that the discriminators see: crossed ones take the place of as many pairs."""
        crossed = self.crossed_image
        return self.image if crossed is None else torch.cat([crossed, self.image[len(crossed) :]])


class GeneratorPass(nn.Module):
    """Forward pass of the generator for training: also moves region shares and colours through the field."""

    def __init__(self, net: SCMNet, *, cross: bool = False) -> None:
        super().__init__()
        self.net = net
        self.cross = cross
        """Whether a training batch also has crossed pairs; an odd image out is left alone."""

    def forward(self, inputs: Inputs) -> GeneratorOutput:
        """Generate the image, and move region shares and colours through the correlation field."""
        guides = self.net.guides(inputs.maps, inputs.warp)
        seen = (inputs.maps, inputs.warp) if guides is None else (guides, None)
        pose_features = self.net.encode_pose(*seen)
        style = self.net.encode_style(inputs.style_image, inputs.style_masks)
        size = (style.features.shape[2], style.features.shape[3])
        carried = F.interpolate(torch.cat([inputs.style_masks, inputs.style_image], dim=1), size=size, mode="area")
        maps, alignment = inputs.maps, inputs.alignment
        num, half = len(maps), len(maps) // 2 if self.cross and self.training else 0
        if half:  # one batch, so that batch norm sees pairs and crossed pairs alike
            pose_features, maps = _and_first(pose_features, half), _and_first(maps, half)
            style = style.like([_and_last(tensor, half) for tensor in style.given])
            carried = _and_last(carried, half)
            alignment = None if alignment is None else _and_last(alignment, half)
        field = self.net.field(pose_features, style, inputs.warp, alignment)
        rearranged, moved = self.net.rearrange(field, style, carried)
        if moved is None:
            raise AssertionError("rearrange dropped the carried maps")
        rendering = self.net.translate(rearranged, maps, inputs.warp, guides)
        rendering = replace(rendering, image=rendering.image.float())
        regions, colours = moved[:, :NUM_REGIONS], moved[:, NUM_REGIONS:]
        if not half:
            return GeneratorOutput(rendering, regions, colours, field)
        pairs = replace(rendering, image=rendering.image[:num])
        return GeneratorOutput(pairs, regions[:num], colours[:num], field, rendering.image[num:], regions[num:])


def _and_first(tensor: Tensor, count: int) -> Tensor:
    return torch.cat([tensor, tensor[:count]])


def _and_last(tensor: Tensor, count: int) -> Tensor:
    return torch.cat([tensor, tensor[-count:]])


class GeneratorObjective:
    """The generator's objective: Eq. 9 plus the correspondence losses; every term is a mean over images."""

    def __init__(self, config: Config, weights_dir: Path | None, device: torch.device) -> None:
        """Load VGG if a loss of this config needs it.

        Raises:
            ScmError: if a loss needs VGG weights that are not found; the message says how to get them.
        """
        self.weights: LossConfig = config.loss
        weights = self.weights
        self.style_layers = weights.style_layers or list(STYLE_LAYERS[weights.vgg])
        wanted = [
            *(weights.perceptual_layers if weights.perceptual else []),
            *(self.style_layers if weights.style else []),
            *([weights.bsr_layer] if weights.bsr else []),
            *(weights.cross_layers if weights.cross and weights.perceptual else []),
            *(weights.feature_layers if weights.feature_adversarial else []),
        ]
        self.channels_last = config.train.channels_last
        self.vgg: VGGFeatures | None = None
        if wanted:
            self.vgg = VGGFeatures(weights.vgg, list(dict.fromkeys(wanted)), weights_dir).to(device)
            if config.train.channels_last:
                self.vgg = self.vgg.to(memory_format=torch.channels_last)

    def __call__(
        self,
        output: GeneratorOutput,
        inputs: Inputs,
        logits: tuple[Tensor, Tensor] | None,
        *,
        with_vgg: bool = True,
        band: slice | None = None,
        halved: bool = False,
        judge: Judge | None = None,
    ) -> dict[str, Tensor]:
        """Return the unweighted terms by the name of their weight; terms of weight 0 are left out.

        Args:
            output: the generator's output.
            inputs: the batch.
            logits: the discriminators' logits of the generated image; None without an adversarial loss.
            with_vgg: whether to compute the losses of VGG features.
            band: the rows on which to compute them; None for all.
            halved: whether to compute them on the whole image at half the size instead.
            judge: the discriminator of VGG features; None without its adversarial loss.
        """
        weights, terms = self.weights, {}
        image = output.image if inputs.sure is None else torch.lerp(inputs.target, output.image, inputs.sure)
        if weights.adversarial and logits is not None:
            style, pose = (adversarial.generator_loss(weights.gan, part.float()) for part in logits)
            terms["adversarial"] = (style + pose) / 2
        terms |= self._terms_without_features(output.rendering, image, inputs)
        if self.vgg is not None and with_vgg:
            view = _view(band, halved=halved)
            target, features = self._features(self.vgg, image, output.crossed_image, inputs, view)
            terms |= self._vgg_terms(target, features, inputs, view)
            if judge is not None:
                terms["feature_adversarial"] = self._judged(judge, target, features)
        if output.crossed_image is not None and output.crossed_regions is not None:
            known = self._crossed(output.crossed_image, output.crossed_regions, inputs)
            terms["cross"] = known + terms.pop("content", torch.zeros_like(known))
        if weights.field_regions:
            terms["field_regions"] = field_region_loss(output.moved_regions, inputs.target_masks, inputs.style_masks)
        if weights.field_colours:
            size = (output.moved_colours.shape[2], output.moved_colours.shape[3])
            weight = findable(inputs.target_masks, inputs.style_masks, size)
            terms["field_colours"] = field_colour_loss(output.moved_colours, inputs.target, weight)
        return terms

    def of_rendering(self, rendering: Rendering, inputs: Inputs, view: View) -> dict[str, Tensor]:
        """Return the unweighted terms of a rendering alone, without adversarial and correspondence losses.

        Args:
            rendering: the image and its masks.
            inputs: the batch; its maps and its source are not read.
            view: cuts out of images what the losses of VGG features see.
        """
        image = rendering.image if inputs.sure is None else torch.lerp(inputs.target, rendering.image, inputs.sure)
        terms = self._terms_without_features(rendering, image, inputs)
        if self.vgg is not None:
            target, features = self._features(self.vgg, image, None, inputs, view)
            terms |= self._vgg_terms(target, features, inputs, view)
        return terms

    def _terms_without_features(self, rendering: Rendering, image: Tensor, inputs: Inputs) -> dict[str, Tensor]:
        """Return the terms that need no VGG; unsure pixels of ``image`` are the target's."""
        weights, terms = self.weights, {}
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        if weights.reconstruction:
            terms["reconstruction"] = reconstruction_loss(image, inputs.target, person, weights.person_weight)
        if weights.edges:
            terms["edges"] = edge_loss(image, inputs.target, weights.edge_weight)
        if rendering.foreground is not None and weights.foreground:
            terms["foreground"] = F.binary_cross_entropy_with_logits(rendering.foreground.float(), person, inputs.sure)
        return terms

    def _crossed(self, image: Tensor, moved_regions: Tensor, inputs: Inputs) -> Tensor:
        """Return what is known of crossed pairs without a true image: edges, regions, and the regions' colours."""
        weights, num = self.weights, len(image)
        masks, source_masks = inputs.target_masks[:num], inputs.style_masks[-num:]
        total = weights.field_regions * field_region_loss(moved_regions, masks, source_masks)
        total = total + weights.edges * edge_loss(image, inputs.target[:num], weights.edge_weight)
        return total + weights.field_colours * region_colour_loss(image, masks, inputs.style_image[-num:], source_masks)

    def _features(
        self, vgg: VGGFeatures, image: Tensor, crossed: Tensor | None, inputs: Inputs, view: View
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the features of the targets, and those of the generated images followed by the crossed ones."""
        both = image if crossed is None else torch.cat([image, crossed])
        with torch.no_grad():
            target = vgg(self._in_format(view(inputs.target)))
        return target, vgg(self._in_format(view(both)))

    def _vgg_terms(
        self, target: dict[str, Tensor], features: dict[str, Tensor], inputs: Inputs, view: View
    ) -> dict[str, Tensor]:
        weights, terms, num = self.weights, {}, len(inputs.target)
        generated = features
        num_crossed = len(next(iter(features.values()))) - num
        if num_crossed:
            halves = {layer: split_rows(feature, num) for layer, feature in features.items()}
            generated = {layer: pairs for layer, (pairs, _) in halves.items()}
            if weights.perceptual:
                content = {layer: halves[layer][1] for layer in weights.cross_layers}
                wanted = {layer: target[layer][:num_crossed] for layer in weights.cross_layers}
                terms["content"] = weights.perceptual * perceptual_loss(
                    content, wanted, weights.cross_layers, scaled=weights.perceptual_scaled
                )
                if weights.style_energy:
                    kept = style_loss(content, wanted, weights.cross_layers, energy=True)
                    terms["content"] = terms["content"] + weights.style * kept
        if weights.perceptual:
            terms["perceptual"] = perceptual_loss(
                generated, target, weights.perceptual_layers, scaled=weights.perceptual_scaled
            )
        if weights.style:
            terms["style"] = style_loss(generated, target, self.style_layers, energy=weights.style_energy)
        if weights.bsr:
            layer = weights.bsr_layer
            terms["bsr"] = body_structure_loss(generated[layer], target[layer], view(inputs.target_masks))
        return terms

    def _judged(self, judge: Judge, target: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> Tensor:
        """Return the generator's hinge loss on the discriminator of VGG features, a mean over images and layers."""
        real, generated = {}, {}
        for layer in self.weights.feature_layers:
            wanted, drawn = target[layer], features[layer]
            scale = feature_scale(wanted)
            real[layer] = wanted / scale
            generated[layer] = drawn / torch.cat([scale, scale[: len(drawn) - len(wanted)]])
        logits = judge(JudgedFeatures(real, generated))
        return torch.stack([adversarial.generator_loss("hinge", logits[layer]) for layer in real]).mean()

    def _in_format(self, image: Tensor) -> Tensor:
        return image.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of the terms (Eq. 9)."""
        return torch.stack([getattr(self.weights, name) * term.float() for name, term in terms.items()]).sum()


def _view(band: slice | None, *, halved: bool) -> View:
    """Return what the VGG losses see of an image: some rows of it, or all of it at half the size."""
    if halved:
        return partial(F.interpolate, scale_factor=0.5, mode="bicubic", antialias=True)
    return lambda image: image[:, :, band or slice(None)]


def discriminator_terms(
    discriminators: nn.Module | Discriminators, gan: GANKind, image: Tensor, inputs: Inputs
) -> dict[str, Tensor]:
    """Return the loss of each discriminator; real and generated images share one pass.

    Shape:
        image: (B, 3, H, W), generated; detached here.
    """
    both = torch.cat([inputs.target, image.detach()])
    logits = discriminators(both, torch.cat([inputs.maps, inputs.maps]))
    terms = {}
    for name, part in zip(("discriminator_style", "discriminator_pose"), logits, strict=True):
        real, fake = part.float().chunk(2)
        terms[name] = adversarial.discriminator_loss(gan, real, fake)
    return terms


def feature_discriminator_terms(
    discriminator: nn.Module | FeatureDiscriminator, features: JudgedFeatures
) -> dict[str, Tensor]:
    """Return the hinge loss of the discriminator of VGG features, a mean over layers; one pass sees all images."""
    logits = discriminator(
        {layer: torch.cat([real, features.generated[layer]]) for layer, real in features.real.items()}
    )
    terms = []
    for layer, real in features.real.items():
        of_real, of_generated = logits[layer][: len(real)], logits[layer][len(real) :]
        terms.append(adversarial.discriminator_loss("hinge", of_real, of_generated))
    return {"discriminator_features": torch.stack(terms).mean()}
