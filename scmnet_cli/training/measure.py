"""Validation: measure reconstruction and correspondence on people outside the training set."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import draw_moves, move, move_joints
from scmnet_cli.data.dataset import Batch, People, TrainingBatch
from scmnet_cli.metrics.correspondence import region_accuracy
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.spread import source_spread
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.system.processes import Team
from scmnet_cli.training.means import Means
from scmnet_cli.training.objective import GeneratorOutput, GeneratorPass, Inputs

MOVE_SEED = 20_000
"""Fixed seed of the evaluation's moves, so that numbers of different models can be compared."""


def moved_sources(people: People, indices: list[int], *, mirror: bool = True) -> TrainingBatch:
    """Return people with moved sources for evaluation: default ranges, no lost regions, the same moves every time.

    Half of the sources are mirrored, unless ``mirror`` is False; the other moves are the same.
    """
    target = people.batch(indices)
    moves = draw_moves(DataConfig(flip=0.5 if mirror else 0), MOVE_SEED, indices, losses=False).to(target.image.device)
    image, labels = move(target.image, target.labels, moves, people.fill)
    has_joints = target.domain.has_joints
    structure = move_joints(target.structure, moves, labels) if has_joints else target.structure
    alignment = None if has_joints else moves.alignment(image.shape[3] / image.shape[2])
    return TrainingBatch(target, Batch(image, labels, structure, target.domain), alignment=alignment)


@dataclass(frozen=True)
class Grid:
    """Images of every source in every pose.

    Shape:
        people: S people; images: (S, S, 3, H, W) in [-1, 1], indexed by source, then pose.
    """

    people: Batch
    images: torch.Tensor


@torch.no_grad()
def draw_grid(net: SCMNet, people: Batch) -> Grid:
    """Generate each person in each person's pose, or each face with each one's edges; encode each source once."""
    maps, num = people.maps(), len(people)
    rows = []
    for source in range(num):
        image, masks = people.image[source : source + 1], one_hot(people.labels[source : source + 1])
        warp = None
        if net.reads_part_warp:
            joints = people.structure[source : source + 1].expand(num, -1, -1)
            warp = warp_parts(image.expand(num, -1, -1, -1), masks.expand(num, -1, -1, -1), joints, people.structure)
        style = net.encode_style(image, masks).expand(num)
        field = net.field(net.encode_pose(maps, warp), style, warp)
        rows.append(net.translate(net.rearrange(field, style)[0], maps, warp).image.float())
    return Grid(people, torch.stack(rows))


@torch.no_grad()
def spread_of(grid: Grid) -> float:
    """Return the source spread, averaged over the poses of a grid."""
    persons = (grid.people.labels != BACKGROUND)[:, None].float()  # (S, 1, H, W)
    values = [
        source_spread(grid.images[:, pose], grid.people.image, persons[pose : pose + 1])
        for pose in range(len(grid.people))
    ]
    return float(sum(float(value) for value in values) / len(values))


@torch.no_grad()
def measure(net: SCMNet, people: People, *, batch: int, limit: int, team: Team) -> dict[str, float]:
    """Reconstruct up to ``limit`` people from moved sources and measure images and field.

    Each process measures its share of the people; all return the same means.

    Returns:
        ``val_l1`` and ``val_l1_person`` (images in [-1, 1]), ``val_region_accuracy``, ``val_entropy``
        (nats; exp(entropy) is the effective number of source positions that one pose position mixes).
    """
    chosen = list(team.rank.share(range(min(limit, len(people)))))
    generator = GeneratorPass(net)
    means = Means()
    for start in range(0, len(chosen), batch):
        inputs = Inputs.of(moved_sources(people, chosen[start : start + batch]), part_warp=net.reads_part_warp)
        output: GeneratorOutput = generator(inputs)
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        values = {
            "val_l1": l1(output.image, inputs.target),
            "val_l1_person": l1(output.image, inputs.target, person),
            **field_statistics(output, inputs, prefix="val_"),
        }
        for name, value in values.items():
            means.add(name, value)
    return means.pop(team)


@torch.no_grad()
def field_statistics(output: GeneratorOutput, inputs: Inputs, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return region accuracy and entropy of the field, (B,) each; NaN if an image has no position that counts.

    With a part warp also ``blend``: the mean of c, the share of warped pixels, on the person.
    """
    statistics = {
        f"{prefix}region_accuracy": region_accuracy(output.moved_regions, inputs.target_masks, inputs.style_masks),
        f"{prefix}entropy": output.field.entropy().mean((1, 2)),
    }
    if output.rendering.blend is not None:
        person = 1 - inputs.target_masks[:, BACKGROUND]
        blend = (output.rendering.blend[:, 0] * person).sum((1, 2)) / person.sum((1, 2))
        statistics[f"{prefix}blend"] = blend
    return statistics


def spaced(length: int, wanted: int) -> list[int]:
    """Return up to ``wanted`` indices spread evenly over ``length``."""
    num = min(length, wanted)
    return [index * length // num for index in range(num)]
