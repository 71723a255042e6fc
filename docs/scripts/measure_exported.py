"""Measure an exported part warp: ``python docs/scripts/measure_exported.py EXPORTED [PREPARED]``.

Batch 1, one thread, CPU seconds: the part warp of a folder of ``scm export`` and that of torch, for a drawn person in
the pose of another, or for the first person of a prepared folder in the shipped pose walking. The calls take turns, and
the least of the repetitions is printed.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure_part_warp import CANVAS, pictured

from scmnet_cli.data.dataset import collate
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.exports.exported import open_session
from scmnet_cli.inference.exports.exported_warp import OPENED_FILES, ExportedPerson
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place
from scmnet_cli.regions import one_hot
from scmnet_cli.types import Pose

REPEATS = 20


def main() -> None:
    """Time the four in turn."""
    torch.set_num_threads(1)
    image, masks, own = pictured(0)
    pose = pictured(1)[2]
    if len(sys.argv) > 2:
        folder, walking = PreparedFolder(Path(sys.argv[2])), shipped_poses()["walking"][1]
        batch = collate([folder.load(folder.names("val")[0])], torch.device("cpu"))
        image, masks, own = batch.image, one_hot(batch.labels), batch.structure
        pose = torch.tensor(place(Pose("walking", walking.person(), walking.canvas or CANVAS), CANVAS).joints)[None]
    sessions = {name: open_session(Path(sys.argv[1]) / name, name) for name in OPENED_FILES}
    arrays = image.numpy(), masks.numpy(), own.numpy()
    kept, kept_there = PersonToWarp(image, masks, own), ExportedPerson(sessions, *arrays)
    calls: dict[str, Callable[[], object]] = {
        "graphs, the first pose of a source": lambda: ExportedPerson(sessions, *arrays).warp(pose.numpy()),
        "graphs, a further pose": lambda: kept_there.warp(pose.numpy()),
        "torch, the first pose of a source": lambda: PersonToWarp(image, masks, own).warp(pose),
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
