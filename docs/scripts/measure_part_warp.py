"""Measure the part warp: ``python docs/scripts/measure_part_warp.py [THREADS]``.

One drawn person into the pose of another at 256x176, batch 1: on boxes (as a CPU does it), on whole canvases (as a GPU
does it), and the explicit loop over parts in float64 that the tests compare with. With one thread CPU seconds are
counted, with more the clock's; the calls take turns, and the least of the repetitions is printed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import one_hot
from scmnet_cli.sources.drawn import PHOTO, draw_person
from scmnet_cli.types import Canvas

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from slow_part_warp import Person, slow_part_warp

CANVAS = Canvas(256, 176)
REPEATS = 5


def pictured(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return image, masks and joints of a drawn person on the canvas, batch 1."""
    person, size = draw_person(seed), (CANVAS.width, CANVAS.height)
    image = np.asarray(Image.fromarray(person.image).resize(size))
    labels = np.asarray(Image.fromarray(person.regions).resize(size, Image.Resampling.NEAREST))
    scale = np.array([CANVAS.width / PHOTO.width, CANVAS.height / person.canvas.height, 1], np.float32)
    return (
        torch.tensor(image).permute(2, 0, 1)[None] / 127.5 - 1,
        one_hot(torch.tensor(labels)[None]),
        torch.from_numpy(person.joints * scale)[None],
    )


def main() -> None:
    """Time the three in turn."""
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    image, masks, source = pictured(0)
    target = pictured(1)[2]
    completed = [Person.of(complete_joints(joints.double())[0]) for joints in (source, target)]

    def slowly() -> None:
        slow_part_warp(
            image[0].double().numpy(), masks[0].double().numpy(), *completed, hidden=False, fill=PLAIN_BACKGROUND
        )

    calls: dict[str, Callable[[], object]] = {
        "on boxes": lambda: warp_parts(image, masks, source, target, on_boxes=True),
        "on whole canvases": lambda: warp_parts(image, masks, source, target, on_boxes=False),
        "explicit loop over parts in float64": slowly,
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS + 1):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    for name, values in seconds.items():
        sys.stdout.write(f"{min(values[1:]) * 1000:7.1f} ms  {name}\n")


if __name__ == "__main__":
    main()
