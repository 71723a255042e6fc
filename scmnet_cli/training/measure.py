"""What says whether a model has learnt a correspondence: measured on people it never trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import draw_moves, move
from scmnet_cli.data.dataset import Batch, People, TrainingBatch
from scmnet_cli.metrics.correspondence import region_accuracy
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.spread import source_spread
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.system.processes import Team
from scmnet_cli.training.means import Means
from scmnet_cli.training.objective import GeneratorOutput, GeneratorPass, Inputs

MOVE_SEED = 20_000
"""Seed of the moves under which people are reconstructed for evaluation; fixed, so that numbers can be compared."""


def moved_sources(people: People, indices: list[int]) -> TrainingBatch:
    """Return people with a source moved for evaluation: the default ranges, nothing lost, the same move every time."""
    target = people.batch(indices)
    moves = draw_moves(DataConfig(), MOVE_SEED, indices, losses=False).to(target.image.device)
    image, labels = move(target.image, target.labels, moves, people.fill)
    return TrainingBatch(target, image, labels)


@dataclass(frozen=True)
class Grid:
    """Every source in every pose.

    Shape:
        people: S people; images: (S, S, 3, H, W) in [-1, 1], source by pose.
    """

    people: Batch
    images: torch.Tensor


@torch.no_grad()
def draw_grid(net: SCMNet, people: Batch) -> Grid:
    """Draw each person in each person's pose, or each face after each one's edges; each source is encoded once."""
    maps = people.maps()
    pose_features = net.encode_pose(maps)
    rows = []
    for source in range(len(people)):
        image, labels = people.image[source : source + 1], people.labels[source : source + 1]
        style = net.encode_style(image, one_hot(labels)).expand(len(people), -1, -1, -1)
        rows.append(net.translate(net.rearrange(pose_features, style)[0], maps).float())
    return Grid(people, torch.stack(rows))


@torch.no_grad()
def spread_of(grid: Grid) -> float:
    """Return the source spread, a mean over the poses of a grid."""
    persons = (grid.people.labels != BACKGROUND)[:, None].float()  # (S, 1, H, W)
    values = [
        source_spread(grid.images[:, pose], grid.people.image, persons[pose : pose + 1])
        for pose in range(len(grid.people))
    ]
    return float(sum(float(value) for value in values) / len(values))


@torch.no_grad()
def measure(net: SCMNet, people: People, *, batch: int, limit: int, team: Team) -> dict[str, float]:
    """Reconstruct up to ``limit`` people from moved sources and say how well the field found them.

    Each process of the team takes its share of the people; all get the same answer.

    Returns:
        ``val_l1`` and ``val_l1_person`` (images in [-1, 1]), ``val_region_accuracy``, ``val_entropy``
        (nats; e to its power is the number of source positions that one pose position mixes).
    """
    chosen = list(team.rank.share(range(min(limit, len(people)))))
    generator = GeneratorPass(net)
    means = Means()
    for start in range(0, len(chosen), batch):
        inputs = Inputs.of(moved_sources(people, chosen[start : start + batch]))
        drawn = GeneratorOutput(*generator(inputs.maps, inputs.style_image, inputs.style_masks))
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        values = {
            "val_l1": l1(drawn.image, inputs.target),
            "val_l1_person": l1(drawn.image, inputs.target, person),
            **field_statistics(net, drawn, inputs, prefix="val_"),
        }
        for name, value in values.items():
            means.add(name, value)
    return means.taken(team)


@torch.no_grad()
def field_statistics(net: SCMNet, drawn: GeneratorOutput, inputs: Inputs, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return region accuracy and entropy of the field, (B,) each; NaN where an image has no position to judge."""
    return {
        f"{prefix}region_accuracy": region_accuracy(drawn.moved_regions, inputs.target_masks, inputs.style_masks),
        f"{prefix}entropy": net.field_entropy(drawn.pose_features, drawn.style_features).mean((1, 2)),
    }
