"""Say how far the joints that are found in a film of `docs/scripts/make_dance.py` are from those that were drawn.

python docs/scripts/measure_dance.py DANCE.mp4
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.inference.tracking import Follower, find_joints, finder_of, steadied
from scmnet_cli.inference.video_files import open_film, read_frames


def main(film: Path) -> None:
    """Print, for each smoothing, the distances as shares of the person's height."""
    drawn = np.load(film.with_suffix(".npy"))
    rate = float(open_film(film).rate)
    found, _ = find_joints(read_frames(film), Follower(finder_of(Analyser.load()), rate))
    known = drawn[..., 2] > 0
    heights = np.array([np.ptp(joints[seen, 1]) for joints, seen in zip(drawn, known, strict=True)])
    for seconds in (0, 0.3, 0.6):
        used = steadied(found, rate, seconds)
        both = known & (used[..., 2] > 0)
        off = (np.linalg.norm(used[..., :2] - drawn[..., :2], axis=2) / heights[:, None])[both]
        print(  # noqa: T201 - a script's answer
            f"--smooth {seconds}: {both.sum() / known.sum():.1%} of the joints found, median {np.median(off):.4f},"
            f" nine of ten within {np.quantile(off, 0.9):.4f}, within 0.05 {np.mean(off < 0.05):.1%}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
