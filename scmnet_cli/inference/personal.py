"""Personalized models: fine-tune on one person, read and write the files, and cache those of ``--personalize``.

A personal file is as private as the photos it was made from, since it draws this person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from scmnet_cli import __version__
from scmnet_cli.checkpoint import save_personal, sha256
from scmnet_cli.data.cropping import resized
from scmnet_cli.errors import ScmError
from scmnet_cli.files import translate_os_errors
from scmnet_cli.images import contact_sheet
from scmnet_cli.inference.composition.enlarging import enlarge
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place
from scmnet_cli.system.caches import cache_folder
from scmnet_cli.training.personalizing import Budget, PersonalProgress, PersonalRun, Recipe, recipe_for
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

DEFAULT_BUDGET = Budget(seconds=120)
"""Two minutes."""

SHOWN_POSES = ("walking", "hands-on-hips", "arms-open")
"""Shipped poses that the before/after sheet draws."""

_MOST_CACHED = 20
_FOLDER = "personal"


@dataclass(frozen=True)
class Learned:
    """Outcome of training on one person.

    Attributes:
        difference: best weights minus the base's weights, by parameter name; empty if the base is the best.
        finished: False if training was interrupted.
        lacks_vgg: True if the losses on VGG features were left out because their weights were not found.
    """

    difference: dict[str, Tensor]
    finished: bool
    lacks_vgg: bool


def library_poses(canvas: Canvas) -> dict[str, FloatArray]:
    """Return the joints of the shipped poses on a canvas, (18, 3) each, by name."""
    found = {}
    for name, (_, posed) in shipped_poses().items():
        assert posed.canvas is not None
        found[name] = place(Pose(name, posed.person(), posed.canvas), canvas).joints
    return found


def prepare_run(
    pipeline: Pipeline,
    photos: Sequence[Person],
    budget: Budget,
    weights_dir: Path | None = None,
    recipe: Recipe | None = None,
) -> PersonalRun:
    """Set up training on photos of one person, without computing anything yet.

    Args:
        pipeline: the base model.
        photos: photos of the person.
        budget: when training will end.
        weights_dir: folder of VGG weights.
        recipe: hyperparameters; None: those for the budget.

    Raises:
        ScmError: if the model has no part warp, or a photo cannot be used.
    """
    if not pipeline.config.model.part_warp or not hasattr(pipeline, "model"):
        raise ScmError(f"{pipeline.path}: cannot be personalized; give a PyTorch model with part warp")
    if not photos:
        raise ScmError("personalize: no photo is given")
    for photo in photos:
        pipeline.encode(photo)
    poses = list(library_poses(pipeline.canvas).values())
    plain = pipeline.background == "plain"

    def compose(drawn: Rendering, warp: PartWarp, joints: Tensor) -> tuple[Tensor, Tensor | None]:
        composed = enlarge(drawn, warp, joints, pipeline.background_level)
        return composed.image, composed.alpha

    return PersonalRun(
        pipeline.model,
        pipeline.config,
        photos,
        poses,
        recipe or recipe_for(budget),
        plain=plain,
        weights_dir=weights_dir,
        compose=compose,
    )


def personalize(
    pipeline: Pipeline,
    photos: Sequence[Person],
    budget: Budget | None = None,
    *,
    weights_dir: Path | None = None,
    progress: Callable[[PersonalProgress], None] | None = None,
) -> Learned:
    """Fine-tune a model on one person.

    Ctrl-C ends training; the best weights so far are returned.

    Args:
        pipeline: the base model.
        photos: photos of one person in the same clothes, with the canvas's aspect ratio.
        budget: when training ends; None: :data:`DEFAULT_BUDGET`.
        weights_dir: folder of VGG weights.
        progress: called after each step.

    Raises:
        ScmError: if the model has no part warp, or a photo cannot be used.
    """
    budget = budget or DEFAULT_BUDGET
    run = prepare_run(pipeline, photos, budget, weights_dir)
    finished = True
    try:
        for state in run.steps(budget):
            if progress is not None:
                progress(state)
    except KeyboardInterrupt:
        finished = False
    return Learned(run.difference(), finished, run.lacks_vgg)


def cached_personal(
    pipeline: Pipeline,
    photos: Sequence[Person],
    budget: Budget,
    *,
    weights_dir: Path | None = None,
    progress: Callable[[PersonalProgress], None] | None = None,
) -> Pipeline:
    """Return a personalized model, read from the user's cache if the same photos, model and settings were used before.

    The cache keeps the 20 newest files. Only the user can read them.

    Raises:
        ScmError: as :func:`personalize`, and if the cache cannot be written.
    """
    folder = cache_folder() / _FOLDER
    path = folder / f"{_key(pipeline, photos, budget)}.safetensors"
    with translate_os_errors(folder):
        if path.is_file():
            path.touch()
            return pipeline.with_personal(path)
        learned = personalize(pipeline, photos, budget, weights_dir=weights_dir, progress=progress)
        if not learned.finished:
            return pipeline.with_difference(learned.difference)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        save_personal(path, learned.difference, pipeline.path)
        path.chmod(0o600)
        files = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in files[_MOST_CACHED:]:
            old.unlink(missing_ok=True)
    return pipeline.with_personal(path)


def _key(pipeline: Pipeline, photos: Sequence[Person], budget: Budget) -> str:
    """Return a hash of the model, the settings, the program's version and every pixel of the photos."""
    digest = hashlib.sha256()
    for text in (sha256(pipeline.path), repr(asdict(budget)), repr(asdict(recipe_for(budget))), __version__):
        digest.update(text.encode())
    for photo in photos:
        small = resized(photo, pipeline.canvas)
        for array in (small.image, small.regions, small.joints):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def before_after_sheet(base: Pipeline, personal: Pipeline, photos: Sequence[Person]) -> UInt8Array:
    """Draw a sheet with one row per photo: the photo, then each of :data:`SHOWN_POSES` before and after.

    Shape:
        result: (H', W', 3) uint8.
    """
    joints = library_poses(base.canvas)
    rows = []
    for photo in photos:
        sources = [pipeline.encode(photo) for pipeline in (base, personal)]
        canvas = base.output_canvas(sources[0])
        row = [resized(photo, canvas).image]
        for name in SHOWN_POSES:
            pose = Pose(name, joints[name], base.canvas)
            for pipeline, source in zip((base, personal), sources, strict=True):
                row.append(np.asarray(pipeline.transfer(source, pose, canvas).image))
        rows.append(row)
    headers = ["photo", *[word for name in SHOWN_POSES for word in (f"{name}: before", "after")]]
    sheet: UInt8Array = contact_sheet(rows, headers)
    return sheet
