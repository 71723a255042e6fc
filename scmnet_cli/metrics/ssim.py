"""SSIM as scikit-image computes it, in the protocols of published numbers (docs/design.md, section 7).

Padding alone raises SSIM, so a number is meaningless without its protocol: at 256x176, padding gives about 0.69 s +
0.31.

With m the windowed means, v the windowed variances and c the covariance of x and y (Wang et al. 2004, Eq. 13),
SSIM(x, y) = (2 m_x m_y + C1) (2 c + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2)), with C1 = (0.01 L)^2,
C2 = (0.03 L)^2 and L the data range. The variances only occur as a sum, so four windowed means suffice: of x, y,
x^2 + y^2 and x y. The window is applied to rows, then to columns, by multiplication with band matrices in double
precision. This is several times as fast as scikit-image's filters, which are the test oracle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from scmnet_cli.metrics.masked import masked_mean

_T = TypeVar("_T")
_Array = npt.NDArray[np.float64]

_WHITE = 255
_K1, _K2 = 0.01, 0.03
_BLOCK = 16
"""Rows of a band matrix per product: larger blocks multiply more zeros, smaller ones make more calls.

At 256x256 the products stay below the size at which OpenBLAS uses threads; the threads work on pairs instead.
"""


@dataclass(frozen=True)
class _Window:
    """A separable window, the same along both axes.

    Attributes:
        weights: weights along one axis, of odd length; their sum is 1.
        correction: factor of the variances: 1 for population variance, n / (n - 1) for sample variance.
    """

    weights: tuple[float, ...]
    correction: float = 1.0

    @property
    def reach(self) -> int:
        """Pixels on each side of the centre; a border of this width is left out of an image's mean."""
        return len(self.weights) // 2


def _gaussian(sigma: float, reach: int) -> tuple[float, ...]:
    values = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-reach, reach + 1)]
    return tuple(value / math.fsum(values) for value in values)


_GAUSSIAN = _Window(_gaussian(1.5, 5))
_UNIFORM = _Window((1 / 51,) * 51, 51**2 / (51**2 - 1))


def ssim_raw(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the ``raw`` SSIM of each pair: RGB, Gaussian of sigma 1.5, population covariance, data range 255.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], at least 11x11, rounded to 8 bits here; result: (B,), at most 1.
    """
    return _mean(generated, reference, _GAUSSIAN)


def ssim_masked(generated: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the mask of the SSIM map; its mean over the image without border is ``raw`` SSIM.

    It is not the mask-SSIM of papers, which set pixels outside the mask to black and so count them as equal.
    NaN if the mask is empty.

    Shape:
        generated, reference: as :func:`ssim_raw`; mask: (B or 1, 1, H, W); result: (B,), at most 1.
    """

    def mean_map(ours: _Array, theirs: _Array) -> _Array:
        mean: _Array = np.mean([_similarity(x, y, _WHITE, _GAUSSIAN) for x, y in zip(ours, theirs, strict=True)], 0)
        return mean

    maps = [torch.from_numpy(found) for found in _each(mean_map, generated, reference)]
    return masked_mean(torch.stack(maps)[:, None], mask.cpu())


def ssim_gfla(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the SSIM of each pair by GFLA's protocol: uniform 51x51 window, sample covariance, full range.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], at least 51x51, rounded to 8 bits here; result: (B,), at most 1.
    """
    return _mean(generated, reference, _UNIFORM)


def ssim_patn(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the ``patn`` SSIM of each pair, the protocol of the benchmark's published numbers.

    Both images are padded to squares with white columns (40 on each side for 256x176), and the data range is that of
    the padded generated image; otherwise it is ``raw``. Not symmetric. Comparable with publications only at 256x176.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], H >= W, rounded to 8 bits here; result: (B,), at most 1.
    """
    missing = max(generated.shape[2] - generated.shape[3], 0)
    sides = (missing // 2, missing - missing // 2)
    return _mean(F.pad(generated, sides, value=1.0), F.pad(reference, sides, value=1.0), _GAUSSIAN, own_range=True)


def _mean(generated: Tensor, reference: Tensor, window: _Window, *, own_range: bool = False) -> Tensor:
    """Return the mean similarity of each pair without the border; the data range is 255 or the generated image's."""
    inner = slice(window.reach, -window.reach)

    def mean(ours: _Array, theirs: _Array) -> float:
        # An all-white image has range 0; 1 keeps the formula defined.
        data_range = max(float(ours.max() - ours.min()), 1.0) if own_range else _WHITE
        channels = [_similarity(x, y, data_range, window)[inner, inner] for x, y in zip(ours, theirs, strict=True)]
        return float(np.mean(channels))

    return torch.tensor(_each(mean, generated, reference))


def _each(of: Callable[[_Array, _Array], _T], generated: Tensor, reference: Tensor) -> list[_T]:
    """Call ``of`` with each pair in as many threads as torch has; numpy releases the GIL.

    Shape:
        of: takes (3, H, W) float64, whole numbers 0-255.
    """
    pairs = zip(_levels(generated), _levels(reference), strict=True)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda pair: of(*pair), pairs))


def _levels(images: Tensor) -> _Array:
    rounded: _Array = ((images.detach().float() + 1) * 127.5).round().clamp(0, _WHITE).double().cpu().numpy()
    return rounded


def _similarity(ours: _Array, theirs: _Array, data_range: float, window: _Window) -> _Array:
    """Return the similarity at each pixel of one channel; one channel at a time fits the CPU cache.

    Shape:
        ours, theirs, result: (H, W).
    """
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    planes = np.stack([ours, theirs, ours * ours + theirs * theirs, ours * theirs])
    mean_ours, mean_theirs, mean_squares, mean_product = _windowed(planes, window)
    product = mean_ours * mean_theirs
    squares = mean_ours * mean_ours + mean_theirs * mean_theirs
    covariance = window.correction * (mean_product - product)
    variances = window.correction * (mean_squares - squares)
    similarity: _Array = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity


def _windowed(planes: _Array, window: _Window) -> _Array:
    """Return the windowed mean at each pixel; borders are mirrored like scipy's ``reflect``.

    Shape:
        planes, result: (P, H, W).
    """
    down, across = np.empty_like(planes), np.empty_like(planes)
    for block, reached, band in _bands(planes.shape[1], window):
        np.matmul(band, planes[:, reached], out=down[:, block])
    for block, reached, band in _bands(planes.shape[2], window):
        np.matmul(down[:, :, reached], band.T, out=across[:, :, block])
    return across


@lru_cache(maxsize=32)
def _bands(side: int, window: _Window) -> list[tuple[slice, slice, _Array]]:
    """Return the band matrix of a window along a side in blocks: rows, the columns they reach, and the values.

    Shape:
        blocks: (up to 16, columns reached).
    """
    whole = np.zeros((side, side))
    for offset, weight in enumerate(window.weights, start=-window.reach):
        rows = np.arange(side)
        reached = rows + offset
        mirrored = np.where(reached < 0, -1 - reached, np.where(reached >= side, 2 * side - 1 - reached, reached))
        whole[rows, mirrored] += weight
    blocks = []
    for start in range(0, side, _BLOCK):
        block = slice(start, min(start + _BLOCK, side))
        reach = slice(max(0, start - window.reach), min(side, block.stop + window.reach))
        blocks.append((block, reach, np.ascontiguousarray(whole[block, reach])))
    return blocks
