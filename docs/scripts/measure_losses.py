"""Measure the numbers of docs/losses.md.

``python docs/scripts/measure_losses.py PREPARED_FOLDER WEIGHTS_DIR [COUNT]``
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.losses.body_structure import body_graph, body_structure_loss
from scmnet_cli.losses.correspondence import field_colour_loss, field_region_loss
from scmnet_cli.losses.perceptual import perceptual_loss
from scmnet_cli.losses.style import STYLE_LAYERS, style_loss
from scmnet_cli.losses.vgg import VGGFeatures
from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.masked import masked_mean
from scmnet_cli.metrics.region_consistency import region_consistency
from scmnet_cli.metrics.spread import source_spread
from scmnet_cli.metrics.ssim import ssim_patn, ssim_raw
from scmnet_cli.regions import BACKGROUND, one_hot

WEIGHTS = {"L1": 1, "perceptual": 1, "style": 150, "BSR": 1, "field regions": 1, "field colours": 5}


def people(folder: PreparedFolder, count: int) -> tuple[Tensor, Tensor]:
    """Return the first people of the val list: images (B, 3, H, W) and masks (B, 8, H, W)."""
    found = [folder.load(name) for name in folder.names("val")[:count]]
    images = torch.stack([torch.from_numpy(person.image.copy()) for person in found]).permute(0, 3, 1, 2) / 127.5 - 1
    return images, one_hot(torch.stack([torch.from_numpy(person.regions.copy()) for person in found]))


def blurred(images: Tensor, factor: int) -> Tensor:
    """Return the pictures averaged over ``factor`` x ``factor`` pixels and enlarged again."""
    return F.interpolate(F.avg_pool2d(images, factor), size=images.shape[2:], mode="bilinear")


def painted(images: Tensor, masks: Tensor) -> Tensor:
    """Return the mean colour of each region painted into the region."""
    area = masks.sum((2, 3)).clamp_min(1)
    colours = torch.einsum("bchw,brhw->brc", images, masks) / area[..., None]
    return torch.einsum("brc,brhw->bchw", colours, masks)


def moved(maps: Tensor) -> Tensor:
    """Return maps on the grid of H/8 x W/8, as a perfect field would deliver them."""
    return F.interpolate(maps, size=(maps.shape[2] // 8, maps.shape[3] // 8), mode="area")


def gram_magnitudes(features: dict[str, Tensor], layers: Sequence[str]) -> str:
    """Say how far apart two people's Gram matrices are, layer by layer, with and without unit Frobenius norm."""
    normalised, plain = [], []
    for layer in layers:
        flat = features[layer].flatten(2)
        product = flat @ flat.transpose(1, 2) / flat[0].numel()
        plain.append(F.l1_loss(product, product.roll(1, 0)) * 1000)
        normalised.append(style_loss(features, {layer: features[layer].roll(1, 0)}, [layer]) * 1000)
    both = [", ".join(f"{float(value):.2f}" for value in values) for values in (normalised, plain)]
    return (
        f"Gram matrices of two people, mean difference of elements in 1/1000: normalised {both[0]}; plain {both[1]}\n"
    )


def bsr_parts(features: Tensor, masks: Tensor) -> str:
    """Say how much of the body structure loss between two people, under the masks of one, each term is."""
    target, other = body_graph(features, masks), body_graph(features.roll(1, 0), masks)
    count = target.present.sum(1)
    nodes = (other.nodes - target.nodes).abs().mean(2).sum(1) / count
    edges = (other.edges - target.edges).abs().triu(1).sum((1, 2)) / (count * (count - 1) / 2)
    return f"BSR between two people: nodes {float(nodes.mean()):.3f}, edges {float(edges.mean()):.3f}\n"


def main() -> None:
    """Print the tables as Markdown."""
    folder, weights_dir = PreparedFolder(Path(sys.argv[1])), Path(sys.argv[2])
    images, masks = people(folder, int(sys.argv[3]) if len(sys.argv) > 3 else 8)
    person = 1 - masks[:, BACKGROUND : BACKGROUND + 1]
    others = images.roll(1, 0)
    style_layers = STYLE_LAYERS["vgg16"]
    vgg = VGGFeatures("vgg16", ["relu1_2", "relu3_1", *style_layers], weights_dir)
    lpips = Lpips("alex", weights_dir)
    with torch.no_grad():
        target = vgg(images)
    grey = images.mean((2, 3), keepdim=True).expand_as(images)
    answers: dict[str, tuple[Tensor, Tensor]] = {
        "2×2 means": (blurred(images, 2), masks),
        "8×8 means": (blurred(images, 8), masks),
        "region means": (painted(images, masks), masks),
        "one mean colour": (grey, torch.full_like(masks, 1 / masks.shape[1])),
        "another person": (others, masks.roll(1, 0)),
    }

    def losses(output: Tensor, output_masks: Tensor) -> dict[str, float]:
        with torch.no_grad():
            generated = vgg(output)
            values = {
                "L1": F.l1_loss(output, images),
                "perceptual": perceptual_loss(generated, target, ["relu1_2"]),
                "style": style_loss(generated, target, style_layers),
                "BSR": body_structure_loss(generated["relu3_1"], target["relu3_1"], masks),
                "field regions": field_region_loss(moved(output_masks), masks),
                "field colours": field_colour_loss(moved(output), images),
            }
        return {name: float(value) * WEIGHTS[name] for name, value in values.items()}

    def metrics(output: Tensor, output_masks: Tensor) -> dict[str, float]:
        values = {
            "L1 person": masked_mean((output - images).abs(), person),
            "raw SSIM": ssim_raw(output, images),
            "patn SSIM": ssim_patn(output, images),
            "LPIPS": lpips(output, images),
            "LPIPS person": lpips(output, images, person),
            "copy score": copy_score(output, others, images, person),
            "consistency": region_consistency(output, output_masks.round(), images, masks),
            "spread": torch.stack([source_spread(output, images, part[None]) for part in person]),
        }
        return {name: float(value.nanmean()) for name, value in values.items()}

    norms = gram_magnitudes(target, style_layers)
    parts = bsr_parts(target["relu3_1"], masks)
    own = _deviation_among_persons(images, person)
    same = torch.stack([masked_mean(images.std(0, correction=0)[None], part[None])[0] for part in person]).mean()
    spread = f"sources' deviation at the target's person {same:.3f}, among their persons alone {own:.3f}\n"
    sys.stdout.write("\n".join([_table(losses, answers), _table(metrics, answers), norms, parts, spread]))


def _table(measure: Callable[[Tensor, Tensor], dict[str, float]], answers: dict[str, tuple[Tensor, Tensor]]) -> str:
    rows = {name: measure(*answer) for name, answer in answers.items()}
    heads = list(next(iter(rows.values())))
    lines = ["| answer | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    lines += [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |" for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def _deviation_among_persons(images: Tensor, person: Tensor) -> Tensor:
    """Mean over all targets' persons of the deviation, at each pixel, among the people who cover it (two or more)."""
    count = person.sum(0)  # (1, H, W)
    mean = (images * person).sum(0) / count.clamp_min(1)
    deviation = (((images - mean).square() * person).sum(0) / count.clamp_min(1)).sqrt()[None]  # (1, 3, H, W)
    return torch.stack([masked_mean(deviation, (part * (count >= 2))[None])[0] for part in person]).mean()


if __name__ == "__main__":
    main()
