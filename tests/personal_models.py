"""A tiny model, photos of drawn people, and a run that personalizes the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from scmnet_cli import checkpoint
from scmnet_cli.config import DataConfig, parse_config
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.inference.personal import library_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.training.personalizing import PersonalRun, Recipe
from scmnet_cli.types import Canvas, Person

CANVAS = Canvas(64, 48)

CPU = torch.device("cpu")

DATA = DataConfig(mirror=0.5, repose=0.75, close_up=0.25, close_up_both=0.35, flip=0, joint_noise=0.01)


def a_photo(seed: int = 0, canvas: Canvas = CANVAS) -> Person:
    """Return a drawn person on a small canvas."""
    person, _ = crop_person(draw_person(seed), canvas, "plain")
    return dataclasses.replace(person, name=f"drawn-{seed}", image=person.image.copy(), regions=person.regions.copy())


def save_model(path: Path, seed: int = 0, **fields: object) -> Path:
    model = {"size": "tiny", "height": 64, "width": 48, "part_warp": True, **fields}
    loss = {"adversarial": 0, "reconstruction": 5, "perceptual": 0, "style": 0, "bsr": 0, "person_weight": 3}
    config = parse_config({"model": model, "loss": loss, "data": DATA.model_dump()}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        checkpoint.save_model(path, build_generator(config.model).state_dict(), config)
    return path


def weights(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in pipeline.model.state_dict().items()}


def run_of(base: Pipeline, *photos: Person, **recipe: object) -> PersonalRun:
    donors = list(library_poses(CANVAS).values())
    chosen = Recipe(**{"batch": 2, **recipe})  # type: ignore[arg-type]
    return PersonalRun(base.model, base.config, photos or [a_photo()], donors, chosen)
