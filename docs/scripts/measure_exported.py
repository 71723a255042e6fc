"""Measure an exported part warp: ``python docs/scripts/measure_exported.py EXPORTED``.

A drawn person in the pose of another, batch 1, one thread, CPU seconds: the graphs of a folder of ``scm export``, and
the part warp in torch. The calls take turns, and the least of the repetitions is printed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure_part_warp import pictured

from scmnet_cli.inference.exported import LAYERS, PART_LAYERS, PART_WARP, open_session
from scmnet_cli.models.part_warp import WarpSource

REPEATS = 20


def main() -> None:
    """Time the four in turn."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    layers, warp = (open_session(folder / name, name) for name in (PART_LAYERS, PART_WARP))
    image, masks, own = pictured(0)
    pose = pictured(1)[2]
    given = {"masks": masks.numpy(), "source_joints": own.numpy(), "joints": pose.numpy()}
    given = {name: np.ascontiguousarray(values, np.float32) for name, values in given.items()}
    whole = {**given, "image": image.numpy(), **dict(zip(LAYERS, layers.run(None, given), strict=True))}
    kept = WarpSource.of_photo(image, masks, own)
    calls: dict[str, Callable[[], object]] = {
        "graph, once for a source": lambda: layers.run(None, given),
        "graph, each pose": lambda: warp.run(None, whole),
        "torch, first pose of a source": lambda: WarpSource.of_photo(image, masks, own).warp(pose),
        "torch, a further pose": lambda: kept.warp(pose),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    for name, values in seconds.items():
        sys.stdout.write(f"{min(values[1:]) * 1000:7.1f} ms  {name}\n")


if __name__ == "__main__":
    main()
