"""Statistics of a model's correlation field on the people of a split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from scmnet_cli.data.dataset import People
from scmnet_cli.metrics.colour_transfer import ColourRegression, colour_transfer, region_colours
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
    lightness: ColourRegression
    chroma: ColourRegression

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
def garment_colours(grid: Grid) -> tuple[ColourRegression, ColourRegression]:
    """Regress garment colours of the outputs on those of the sources, over all sources and poses of a grid.

    For faces the regions are skin, hair and mouth.
    """
    domain = grid.people.domain
    masks = one_hot(grid.people.labels)[:, [domain.region_id(name) for name in domain.coloured]]  # (S, 3, H, W)
    large = masks.mean((2, 3)) > _SMALLEST_GARMENT
    own = region_colours(grid.people.image, masks)
    sources, outputs = [], []
    for source, images in enumerate(grid.images):
        shown = large[source] & large  # (S, 3): both the source and the pose's person have the region
        sources.append(own[source].expand_as(own)[shown])
        outputs.append(region_colours(images, masks)[shown])
    return colour_transfer(torch.cat(sources), torch.cat(outputs))


def spaced_grid(net: SCMNet, people: People, wanted: int) -> Grid:
    """Generate up to ``wanted`` people, evenly spaced in the split, in each other's poses."""
    num = min(len(people), wanted)
    chosen = [index * len(people) // num for index in range(num)]
    return draw_grid(net, people.batch(chosen))
