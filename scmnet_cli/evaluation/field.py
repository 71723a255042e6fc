"""Measure the correlation field of a model on the people of a split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from scmnet_cli.data.dataset import People
from scmnet_cli.metrics.colour_transfer import Carried, colour_transfer, region_colours
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import one_hot
from scmnet_cli.training.measure import Grid, draw_grid

SPREAD_PEOPLE = 16
_SMALLEST_GARMENT = 0.01  # share of the canvas


@dataclass(frozen=True)
class FieldFound:
    """Statistics of a model's correlation field on the people of a split."""

    num_people: int
    region_accuracy: float
    entropy: float
    source_spread: float
    num_spread_people: int
    coloured: tuple[str, ...]
    """Regions whose lightness and chroma are measured."""
    lightness: Carried
    chroma: Carried

    def summary(self) -> str:
        """Return the statistics as one sentence."""
        return (
            f"region accuracy {self.region_accuracy:.3f}, entropy {self.entropy:.2f} nats, "
            f"source spread {self.source_spread:.3f} ({self.num_spread_people} sources); "
            f"of the lightness of {', '.join(self.coloured)} {self.lightness.slope:.2f} arrives "
            f"(r {self.lightness.correlation:.2f}), "
            f"of their chroma {self.chroma.slope:.2f} (r {self.chroma.correlation:.2f})"
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


@torch.no_grad()
def garment_colours(grid: Grid) -> tuple[Carried, Carried]:
    """Return how much of the lightness and chroma of the sources' garments is drawn, over all sources and poses.

    For faces: of skin, hair and mouth.
    """
    domain = grid.people.domain
    masks = one_hot(grid.people.labels)[:, [domain.region_id(name) for name in domain.coloured]]  # (S, 3, H, W)
    large = masks.mean((2, 3)) > _SMALLEST_GARMENT
    worn = region_colours(grid.people.image, masks)
    wanted, drawn = [], []
    for source, images in enumerate(grid.images):
        seen = large[source] & large  # (S, 3): the source wears it, and the pose's owner has a place for it
        wanted.append(worn[source].expand_as(worn)[seen])
        drawn.append(region_colours(images, masks)[seen])
    return colour_transfer(torch.cat(wanted), torch.cat(drawn))


def spaced_grid(net: SCMNet, people: People, wanted: int) -> Grid:
    """Draw up to ``wanted`` people, spread evenly over the split, in each other's poses."""
    num = min(len(people), wanted)
    chosen = [index * len(people) // num for index in range(num)]
    return draw_grid(net, people.batch(chosen))
