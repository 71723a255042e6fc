"""How fast an exported model draws in ONNX Runtime on the CPU, beside torch: the same network, the same person."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from scmnet_cli.bench.passes import Options, built, standing_person
from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import Config, ModelConfig
from scmnet_cli.inference.export import graphs
from scmnet_cli.inference.exported import ExportedPipeline, open_session
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.layers import pool_positions
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.system.process import threads_set


@dataclass(frozen=True)
class RuntimeSpeed:
    """Medians over the repetitions.

    Attributes:
        runtime: ``torch`` or ``onnx``.
        batch: poses at a time.
        seconds_reading_style: of one source.
        seconds_a_pose: drawing one, its share of a batch; the field's entropy, which a report tells, is in it.
    """

    runtime: str
    batch: int
    seconds_reading_style: float
    seconds_a_pose: float


def compare_runtimes(
    config: ModelConfig,
    *,
    threads: int | None = None,
    batches: Sequence[int] = (1, 8),
    repeats: int = 5,
    cpu_time: bool = False,
) -> list[RuntimeSpeed]:
    """Time torch and ONNX Runtime in turn, with fresh weights of a model of people.

    Args:
        config: the networks and their canvas.
        threads: of the CPU, for both; None: as many as torch takes.
        batches: poses at a time; each is measured.
        repeats: passes of each kind.
        cpu_time: count the CPU seconds of this process instead of the clock's.

    Raises:
        ScmError: if a package of the extra ``onnx`` is missing.
    """
    canvas, place = config.canvas, torch.device("cpu")
    saved = SavedModel({}, Config(model=config))
    net = built(config, Options())
    contents = [write({}) for write in graphs(net, config).values()]
    clock = time.process_time if cpu_time else time.perf_counter
    _, image, masks = standing_person(canvas, 1, place)
    carried = pool_positions(masks, image)
    found = []
    with threads_set(threads), torch.inference_mode():
        sessions = [open_session(content, "the exported model") for content in contents]
        pipelines = {"torch": Pipeline(net, saved, place), "onnx": ExportedPipeline(saved, *sessions)}
        style = {name: pipeline.read_style(image, masks)[1] for name, pipeline in pipelines.items()}
        for batch in batches:
            joints = torch.rand(batch, NUM_JOINTS, 3, generator=torch.Generator().manual_seed(0)) * canvas.width
            calls: dict[tuple[str, str], Callable[[], object]] = {}
            for name, pipeline in pipelines.items():
                calls[name, "style"] = partial(pipeline.read_style, image, masks)
                calls[name, "pose"] = partial(pipeline.paint, joints, style[name], carried)
            taken = _in_turn(calls, repeats, clock)
            found += [
                RuntimeSpeed(name, batch, taken[name, "style"], taken[name, "pose"] / batch) for name in pipelines
            ]
    return found


def _in_turn(
    calls: dict[tuple[str, str], Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> dict[tuple[str, str], float]:
    """Return the median time of each call; they take turns, and share what else the machine does."""
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for number in range(repeats + 1):
        for key, call in calls.items():
            start = clock()
            call()
            if number:  # the first pass warms up
                seconds[key].append(clock() - start)
    return {key: statistics.median(values) for key, values in seconds.items()}
