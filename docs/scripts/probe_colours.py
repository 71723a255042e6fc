"""Where a garment's colour is lost: linear probes on the features of a trained model.

    python docs/scripts/probe_colours.py DATA RUN

Positions of the H/8 grid that are over 90 % garment (pants, skirt, upper) are described by their lightness (the mean
of red, green and blue) and chroma (red - green, blue - green). Ridge regressions from the features there, fitted
on 300 people of the train list, predict them on the val list; printed is R^2, 1 for all, 0 for nothing. ``F_s^i`` and
``F_s`` are asked for the source's colours, ``F_s*`` for the target's, with sources moved as in evaluation.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.evaluation.prepared_cases import load_people
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import region_id
from scmnet_cli.training.measure import moved_sources
from scmnet_cli.training.objective import Inputs

GARMENTS = [region_id(name) for name in ("pants", "skirt", "upper")]
BATCH = 10
RIDGE = 10.0


@torch.no_grad()
def positions(pipeline: Pipeline, data: Path, split: str, limit: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return features (K, C) and colours (K, 3) of garment positions, by the features' name."""
    people = load_people(pipeline, data, split, limit)
    found: dict[str, list[tuple[Tensor, Tensor]]] = {"F_s^i": [], "F_s": [], "F_s*": []}
    for start in range(0, len(people), BATCH):
        indices = list(range(start, min(start + BATCH, len(people))))
        inputs = Inputs.of(moved_sources(people, indices), part_warp=pipeline.model.reads_part_warp)
        parts = pipeline.model.encode_regions(inputs.style_image, inputs.style_masks)
        style = pipeline.model.fuse(parts)
        pose = pipeline.model.encode_pose(inputs.maps, inputs.warp)
        rearranged, _ = pipeline.model.rearrange(pipeline.model.field(pose, style, inputs.warp), style)
        for name, features, image, masks in (
            ("F_s^i", parts.flatten(1, 2), inputs.style_image, inputs.style_masks),
            ("F_s", style.features, inputs.style_image, inputs.style_masks),
            ("F_s*", rearranged.features, inputs.target, inputs.target_masks),
        ):
            image, masks = (F.interpolate(t, size=style.features.shape[2:], mode="area") for t in (image, masks))
            chosen = masks[:, GARMENTS].sum(1) > 0.9
            found[name].append(tuple(t.permute(0, 2, 3, 1)[chosen].double() for t in (features, image)))
    return {name: (torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs])) for name, pairs in found.items()}


def described(colours: Tensor) -> Tensor:
    """Return lightness and both chroma differences, (K, 3)."""
    red, green, blue = colours.unbind(1)
    return torch.stack([colours.mean(1), red - green, blue - green], dim=1)


def main(data: Path, run: Path) -> None:
    """Fit on the train list, print R^2 on the val list."""
    pipeline = Pipeline.from_pretrained(run, "cpu")
    train, val = positions(pipeline, data, "train", 300), positions(pipeline, data, "val", 1000)
    for name, (features, colours) in train.items():
        mean, std = features.mean(0), features.std(0) + 1e-6
        x, y = (features - mean) / std, described(colours)
        gram = x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(gram, x.T @ (y - y.mean(0)))
        wanted = described(val[name][1])
        error = ((val[name][0] - mean) / std) @ weights + y.mean(0) - wanted
        lightness, red, blue = (1 - error.square().mean(0) / wanted.var(0)).tolist()
        sys.stdout.write(f"{name}: lightness {lightness:.2f}, red - green {red:.2f}, blue - green {blue:.2f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
