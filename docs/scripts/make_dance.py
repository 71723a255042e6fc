"""Make a film of a drawn person who moves, to measure what `scm transfer --pose` makes of movement.

python docs/scripts/make_dance.py PHOTO DANCE.mp4 [FRAMES]

The shipped model draws the person of the photo in poses between those of the library. They move their arms and legs,
walk to and fro and come closer; camera noise is added. The joints that were drawn are written beside the film
(DANCE.npy, in pixels of the film, 18 rows a frame), so that it is known how far off those are that are found again.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.inference.inputs.photo import read_person
from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline
from scmnet_cli.inference.video_files import ClipWriter
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place_together
from scmnet_cli.types import FloatArray, Pose

STATIONS = ("front", "arms-open", "hands-on-hips", "walking", "catwalk", "leg-raised", "front")
RATE = 25
SIZE = (640, 640)
GREY = 230
NOISE = 4


def joints_at(stations: list[Pose], share: float) -> FloatArray:
    """Return joints between two stations, which are left and reached slowly; what one of them lacks is missing."""
    number, within = divmod(share * (len(stations) - 1), 1)
    here, there = stations[int(number)].joints, stations[min(int(number) + 1, len(stations) - 1)].joints
    part = (1 - np.cos(np.pi * within)) / 2
    joints: FloatArray = ((1 - part) * here + part * there).astype(np.float32)
    joints[(here[:, 2] == 0) | (there[:, 2] == 0)] = 0
    return joints


def main(photo: Path, film: Path, num_frames: int = 100) -> None:
    """Draw every frame, put it where the person walks, and write it."""
    pipeline = Pipeline.from_pretrained(SHIPPED_MODEL, "cpu")
    canvas = pipeline.canvas
    source = pipeline.encode(read_person(photo, canvas, pipeline.background))
    known = shipped_poses()
    posed = [known[name][1] for name in STATIONS]
    stations = place_together([Pose(one.name, one.person(), one.canvas) for one in posed if one.canvas], canvas)
    random = np.random.default_rng(0)
    writer = ClipWriter(film, Fraction(RATE), {"Comment": "drawn, in poses of the library"})
    truth = []
    for number in range(num_frames):
        joints = joints_at(stations, number / num_frames)
        drawn = pipeline.transfer(source, Pose(f"frame {number + 1}", joints, canvas)).image
        phase = 2 * np.pi * number / num_frames
        scale = 2 + 0.3 * np.sin(phase)
        large = drawn.resize((round(canvas.width * scale), round(canvas.height * scale)), Image.Resampling.BICUBIC)
        corner = (round((SIZE[0] - large.width) / 2 + 120 * np.sin(phase)), SIZE[1] - large.height)
        frame = Image.new("RGB", SIZE, (GREY, GREY, GREY))
        frame.paste(large, corner)
        noisy = np.asarray(frame, np.float64) + random.normal(0, NOISE, (SIZE[1], SIZE[0], 3))
        writer.write(noisy.clip(0, 255).astype(np.uint8))
        joints[:, :2] = (joints[:, :2] + 0.5) * (large.width / canvas.width) - 0.5 + corner
        joints[joints[:, 2] == 0] = 0
        truth.append(joints)
    writer.close()
    np.save(film.with_suffix(".npy"), np.stack(truth))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
