"""The size of a face, and the pixels of its parts that have the part's colour."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import Person, UInt8Array

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

MIN_SHARE = 0.0008
"""Least share of the face's square that a part must cover, to have a colour."""

_TOGETHER: Mapping[str, tuple[str, ...]] = {"skin": ("skin", "nose")}
"""Regions that change together: a nose of another tone than the skin looks painted."""

_LIPS = 0.5
"""Least redness of lips, as a share of that of the reddest pixels of the mouth: teeth have less."""

_HEIGHTS = {"eyes": ALIGNED[:2, 1].mean(), "nose": ALIGNED[2, 1], "mouth": ALIGNED[3:, 1].mean()}
"""Heights of parts in an aligned face, as shares of its square."""


def face_side(regions: UInt8Array) -> float:
    """Return the side of the square of a face in pixels, from the distances of eyes, nose and mouth.

    This is the square that an aligned face fills, however much of the photo is around it. If fewer than two of these
    parts are there, it is the height of the map.

    Shape:
        regions: (H, W) ids of :data:`~scmnet_cli.regions.FACE_REGIONS`.
    """
    centres = {
        part: np.argwhere(inside).mean(0) for part in _HEIGHTS if (inside := regions == FACE_REGIONS.index(part)).any()
    }
    pairs = {(a, b): abs(_HEIGHTS[a] - _HEIGHTS[b]) for a, b in combinations(centres, 2)}
    if not pairs:
        return float(len(regions))
    a, b = max(pairs, key=lambda pair: pairs[pair])  # the farthest are the most exact
    return max(1.0, float(np.linalg.norm(centres[a] - centres[b]) / pairs[a, b]))


def part_of(face: Person, region: str) -> BoolArray:
    """Return the pixels of a region that have its colour, (H, W) bool; of a mouth the lips."""
    ids = [FACE_REGIONS.index(name) for name in _TOGETHER.get(region, (region,))]
    part: BoolArray = np.isin(face.regions, ids)
    return _lips(face.image, part, face_side(face.regions)) if region == "mouth" and part.any() else part


def _lips(image: UInt8Array, mouth: BoolArray, side: float) -> BoolArray:
    """Return the lips of a mouth, without teeth and the dark between them."""
    redness = lab_of(image)[..., 1]
    lips = mouth & (redness > _LIPS * np.percentile(redness[mouth], 80))
    return lips if lips.sum() >= MIN_SHARE * side**2 else mouth


def lab_of(image: UInt8Array) -> FloatArray:
    """Return an image in CIELAB.

    Shape:
        image, result: (H, W, 3).
    """
    from skimage.color import rgb2lab

    lab: FloatArray = rgb2lab(image.astype(np.float32) / 255).astype(np.float32)
    return lab
