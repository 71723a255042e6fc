"""Measure the parts of a training step: ``python docs/scripts/measure_training_step.py [SIZE [VARIANT ...]]``.

The config is ``person``; variants say what could make it cheaper. CPU seconds of one thread, the least of three steps
after a first one, on drawn people, at 128x88 unless SIZE says otherwise. The losses on VGG features need their weights
(SCM_WEIGHTS). Variants that compile need a C++ compiler; the time to compile is printed, not counted. ``--operations``
instead counts torch's operations that compute or copy: on a GPU each is at least one kernel launch. ``--bf16`` measures
every variant in bf16, ``--two`` on two threads and by the clock.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scmnet_cli.config import load_config
from scmnet_cli.models import part_warp
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.system.process import freed_memory_kept
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import GeneratorObjective, Inputs
from scmnet_cli.types import Canvas

REPEATS = 3
VIEWS = (
    "alias", "as_strided", "chunk", "detach", "empty", "expand", "narrow", "permute", "reshape", "select", "slice",
    "split", "t.default", "transpose", "unbind", "unsqueeze", "squeeze", "view",
)  # fmt: skip


class Counter(TorchDispatchMode):
    """Counts the operations that are no views."""

    num = 0

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count and do it."""
        self.num += not any(view in str(operation) for view in VIEWS)
        return operation(*args, **(kwargs or {}))


@dataclass
class Parts:
    """CPU seconds of the parts of one step, or its operations."""

    clock: Callable[[], float] = time.process_time
    seconds: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, act: Callable[[], Any]) -> Any:
        """Do something and add its time to a part."""
        start = self.clock()
        done = act()
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start
        return done

    @property
    def total(self) -> float:
        """The whole step."""
        return sum(self.seconds.values())


def step(
    run: Run,
    *,
    with_vgg: bool = True,
    precision: torch.dtype | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Parts:
    """Take one step like the training loop, part by part."""
    parts, batch = Parts(clock), run.config.train.batch
    given = parts.timed("data", lambda: run.stream.batch(run.images, batch))
    inputs = parts.timed("maps and warp", lambda: Inputs.of(given, part_warp=run.config.model.part_warp))
    optimizer = run.optimizers["generator"]
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
        output = parts.timed("generator, forward", lambda: run.generator_pass(inputs))
        terms = parts.timed(
            "losses, forward",
            lambda: run.objective(output, inputs, None, with_vgg=with_vgg, band=run._band()),  # noqa: SLF001
        )
        total = run.objective.total(terms)
    parts.timed("backward", total.backward)
    parts.timed("gradient norm and Adam", lambda: run._optimizer_step("generator"))  # noqa: SLF001
    parts.timed("moving average", lambda: run.average.update(run.generator_pass.net, run.images, batch))
    run.images += batch
    return parts


def contiguous(run: Run) -> None:
    """Train without channels-last."""
    run.generator_pass.to(memory_format=torch.contiguous_format)
    run.objective.channels_last = False
    if run.objective.vgg is not None:
        run.objective.vgg.to(memory_format=torch.contiguous_format)


def fused_adam(run: Run) -> None:
    """Use torch's fused Adam."""
    train = run.config.train
    parameters = run.generator_pass.net.parameters()
    run.optimizers["generator"] = torch.optim.Adam(parameters, train.learning_rate, train.betas, fused=True)


def compiled_vgg(run: Run) -> None:
    """Compile VGG."""
    assert run.objective.vgg is not None
    run.objective.vgg.compile(dynamic=False)


def compiled_generator(run: Run) -> None:
    """Compile the networks whose inputs have one size in every step."""
    net = run.generator_pass.net
    for part in (net.pose_encoder, net.ccf, net.generator):
        part.compile(dynamic=False)


def smaller_band(run: Run) -> None:
    """Compute the VGG losses on a quarter of the rows."""
    run.config.loss.vgg_band = 0.25


VARIANTS: dict[str, Callable[[Run], None]] = {
    "as it is": lambda _: None,
    "contiguous": contiguous,
    "fused Adam": fused_adam,
    "VGG on a quarter of the rows": smaller_band,
    "without VGG": lambda _: None,
    "bf16": lambda _: None,
    "VGG compiled": compiled_vgg,
    "networks compiled": compiled_generator,
}


def measure(data: Path, run_folder: Path, canvas: Canvas, name: str) -> Parts:
    """Return the cheapest of the steps of a variant."""
    config = load_config("person", (f"model.height={canvas.height}", f"model.width={canvas.width}"))
    run = Run(data, run_folder, config, device="cpu")
    assert isinstance(run.objective, GeneratorObjective)
    VARIANTS[name](run)
    in_bf16 = name == "bf16" or "--bf16" in sys.argv
    options: dict[str, Any] = {
        "with_vgg": name != "without VGG",
        "precision": torch.bfloat16 if in_bf16 else None,
        "clock": time.perf_counter if "--two" in sys.argv else time.process_time,
    }
    start = time.perf_counter()
    step(run, **options)
    sys.stdout.write(f"{name}: the first step took {time.perf_counter() - start:.0f} s by the clock\n")
    return min((step(run, **options) for _ in range(REPEATS)), key=lambda parts: parts.total)


def count_operations(data: Path, run_folder: Path, canvas: Canvas) -> None:
    """Print the operations of the parts of a step, warped as on a GPU: they hardly depend on canvas and batch."""
    part_warp._on_boxes = lambda _: False  # noqa: SLF001
    config = load_config("person", (f"model.height={canvas.height}", f"model.width={canvas.width}"))
    run = Run(data, run_folder, config, device="cpu")
    with Counter() as counter:
        found = step(run, clock=lambda: counter.num)
    parts = ", ".join(f"{part} {num}" for part, num in found.seconds.items())
    sys.stdout.write(f"{found.total} operations a step: {parts}\n")


def main() -> None:
    """Measure the variants one by one."""
    torch.set_num_threads(2 if "--two" in sys.argv else 1)
    size, *names = [word for word in sys.argv[1:] if not word.startswith("--")] or ["128x88"]
    height, width = map(int, size.split("x"))
    canvas = Canvas(height, width)
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        data = Path(folder) / "data"
        write_drawn_source(Path(folder) / "people", 24)
        prepare(FolderSource(Path(folder) / "people"), data, canvas, jobs=1)
        if "--operations" in sys.argv:
            count_operations(data, Path(folder) / "run", canvas)
            return
        for number, name in enumerate(names or VARIANTS):
            found = measure(data, Path(folder) / f"run-{number}", canvas, name)
            parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in found.seconds.items())
            sys.stdout.write(f"{size}, {name}: {found.total:.2f} s a step: {parts}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
