"""Structural similarity by scikit-image, in the protocols whose numbers circulate (DESIGN section 7).

Padding alone lifts SSIM, so a number without its protocol says nothing: at 256x176, padded is about 0.69 s + 0.31.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scmnet_cli.metrics.masked import masked_mean
from scmnet_cli.types import UInt8Array

_T = TypeVar("_T")

_WHITE = 255
_GAUSSIAN: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
_UNIFORM: dict[str, Any] = {"win_size": 51}


def ssim_raw(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the ``raw`` SSIM of each pair: RGB, Gaussian of sigma 1.5, population covariance, data range 255.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], at least 11x11, rounded to 8 bits here; result: (B,), at most 1.
    """
    return torch.tensor(_each(lambda ours, theirs: _ssim(ours, theirs, _WHITE), generated, reference))


def ssim_masked(generated: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the mask of the map whose mean over the whole image, without its border, is ``raw`` SSIM.

    It is not the mask-SSIM of papers that black out what lies outside the mask and so count it as equal.
    NaN where the mask is empty.

    Shape:
        generated, reference: as :func:`ssim_raw`; mask: (B or 1, 1, H, W); result: (B,), at most 1.
    """
    maps = [torch.from_numpy(map_of_pair).mean(2) for map_of_pair in _each(_ssim_map, generated, reference)]
    return masked_mean(torch.stack(maps)[:, None], mask.cpu())


def ssim_gfla(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the SSIM of each pair as GFLA's script takes it: uniform 51x51 window, sample covariance, full range.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], at least 51x51, rounded to 8 bits here; result: (B,), at most 1.
    """
    return torch.tensor(_each(lambda ours, theirs: _ssim(ours, theirs, _WHITE, **_UNIFORM), generated, reference))


def ssim_patn(generated: Tensor, reference: Tensor) -> Tensor:
    """Return the ``patn`` SSIM of each pair, the protocol of the benchmark's published numbers.

    Both images get white columns on both sides that make them square (40 each for 256x176), and the data range is that
    of the padded generated image; else as ``raw``. Not symmetric. Comparable with publications at 256x176 only.

    Shape:
        generated, reference: (B, 3, H, W) in [-1, 1], H >= W, rounded to 8 bits here; result: (B,), at most 1.
    """
    return torch.tensor(_each(_ssim_padded, generated, reference))


def _each(of: Callable[[UInt8Array, UInt8Array], _T], generated: Tensor, reference: Tensor) -> list[_T]:
    """Call ``of`` with each pair, as many at a time as torch has threads: the filters do not hold Python's lock."""
    pairs = list(zip(_pixels(generated), _pixels(reference), strict=True))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda pair: of(*pair), pairs))


def _ssim_padded(generated: UInt8Array, reference: UInt8Array) -> float:
    missing = max(generated.shape[0] - generated.shape[1], 0)
    sides = ((0, 0), (missing // 2, missing - missing // 2), (0, 0))
    ours, theirs = (np.pad(image, sides, constant_values=_WHITE) for image in (generated, reference))
    # An all-white picture has no range: 1 keeps the formula defined.
    return _ssim(ours, theirs, max(int(ours.max()) - int(ours.min()), 1))


def _ssim(generated: UInt8Array, reference: UInt8Array, data_range: int, **window: Any) -> float:
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity
    return float(
        structural_similarity(reference, generated, channel_axis=2, data_range=data_range, **(window or _GAUSSIAN))
    )


def _ssim_map(generated: UInt8Array, reference: UInt8Array) -> npt.NDArray[np.float64]:
    from skimage import metrics

    structural_similarity: Any = metrics.structural_similarity
    similarity: npt.NDArray[np.float64] = structural_similarity(
        reference, generated, channel_axis=2, data_range=_WHITE, full=True, **_GAUSSIAN
    )[1]
    return similarity


def _pixels(images: Tensor) -> list[UInt8Array]:
    rounded = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return list(rounded.permute(0, 2, 3, 1).cpu().numpy())
