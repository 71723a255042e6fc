"""How fast pictures are judged by SSIM, PSNR and L1, files read and all, beside scikit-image one pair at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scmnet_cli.bench.footprint import Memory, judging_memory
from scmnet_cli.evaluation.folders import FolderCases
from scmnet_cli.evaluation.instruments import Instruments
from scmnet_cli.evaluation.judging import judge
from scmnet_cli.evaluation.protocols import PROTOCOLS
from scmnet_cli.images import read_photo, save_png
from scmnet_cli.system.process import threads_set
from scmnet_cli.types import Canvas

METRICS = ("ssim", "psnr", "l1")
CANVAS = Canvas(256, 176)
_NUM_WARM = 8
_NUM_ORACLE = 16


@dataclass(frozen=True)
class JudgingSpeed:
    """What was measured.

    Attributes:
        num_pairs: pairs of PNG files, coloured noise at two scales.
        pairs_per_second: of :func:`scmnet_cli.evaluation.judging.judge` on two folders, as ``scm eval`` calls it.
        oracle_pairs_per_second: of scikit-image's SSIM and PSNR and numpy's L1, one pair after the other, files read.
        largest_difference: between the two, by metric.
        few, many: peak memory of judging a quarter of the pairs, and all of them.
    """

    canvas: Canvas
    num_pairs: int
    threads: int
    cpu_time: bool
    pairs_per_second: float
    oracle_pairs_per_second: float
    largest_difference: dict[str, float]
    few: Memory
    many: Memory


def measure_judging(num_pairs: int = 128, *, threads: int | None = None, cpu_time: bool = False) -> JudgingSpeed:
    """Judge pairs of pictures that are drawn for this.

    Args:
        num_pairs: how many.
        threads: of the CPU; None: all.
        cpu_time: count the CPU seconds of this process instead of the clock's.
    """
    clock = time.process_time if cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as folder, threads_set(threads) as num_threads:
        generated, reference = Path(folder) / "generated", Path(folder) / "reference"
        for seed, place in enumerate((generated, reference)):
            place.mkdir()
            for number in range(num_pairs):
                save_png(place / f"{number:05}.png", _noise(seed, number))
        instruments = Instruments(METRICS)
        judge(FolderCases(generated, reference, limit=_NUM_WARM), PROTOCOLS["raw"], instruments)
        start = clock()
        found = judge(FolderCases(generated, reference), PROTOCOLS["raw"], instruments).scores["generated"].per_image
        seconds = clock() - start

        names = [f"{number:05}.png" for number in range(min(num_pairs, _NUM_ORACLE))]
        _oracle(generated / names[0], reference / names[0])
        start = clock()
        expected = [_oracle(generated / name, reference / name) for name in names]
        oracle_seconds = clock() - start
        differences = {
            metric: max(abs(found[metric][row] - values[metric]) for row, values in enumerate(expected))
            for metric in METRICS
        }
        few, many = (judging_memory(generated, reference, count, threads) for count in (num_pairs // 4, num_pairs))
    return JudgingSpeed(
        canvas=CANVAS,
        num_pairs=num_pairs,
        threads=num_threads,
        cpu_time=cpu_time,
        pairs_per_second=num_pairs / seconds,
        oracle_pairs_per_second=len(names) / oracle_seconds,
        largest_difference=differences,
        few=few,
        many=many,
    )


def _noise(*seed: int) -> Any:
    """Return a picture of coarse and fine coloured noise, as hard to pack as a photo."""
    random = np.random.default_rng(seed)
    coarse = random.integers(32, 224, (CANVAS.height // 16, CANVAS.width // 16, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((CANVAS.width, CANVAS.height), Image.Resampling.BICUBIC))
    return (smooth + random.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)


def _oracle(generated: Path, reference: Path) -> dict[str, float]:
    from skimage import metrics

    similarity: Callable[..., float] = metrics.structural_similarity
    noise_ratio: Callable[..., float] = metrics.peak_signal_noise_ratio
    ours, theirs = read_photo(generated), read_photo(reference)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return {
        "ssim": float(similarity(theirs, ours, channel_axis=2, data_range=255, **gaussian)),
        "psnr": float(noise_ratio(theirs, ours, data_range=255)),
        "l1": float(np.abs(ours.astype(np.float64) - theirs).mean() / 127.5),
    }
