"""Rules that every reader of joints shares: which joints are missing, and whether places are pixels or fractions.

Joints are (18, 3): x, y and a score; a missing joint is 0, 0, 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import NUM_JOINTS, rescale
from scmnet_cli.types import Canvas, FloatArray

MAX_PIXEL = 1e6
"""Places beyond this are damage, not pixels."""

_LARGEST_FRACTION = 3.0
"""A person whose joints all lie within this many pixels of the corner is given in fractions of the picture; landmark
models put joints that they guess beyond the picture at more than 1."""

_CENTRED = -0.5
"""Fractions below this are counted from the middle of the picture, not from its corner."""

_NULLS = ("", "null", "none", "nan", "na", "n/a", "-")


def number(value: Any, where: str) -> float:
    """Return a JSON value as a finite number.

    Raises:
        ScmError: if it is not a number; the message begins with ``where``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScmError(f"{where}: '{str(value)[:40]}' is not a number")
    try:
        result = float(value)
    except OverflowError as error:
        raise ScmError(f"{where}: holds a number that is too large") from error
    if not math.isfinite(result):
        raise ScmError(f"{where}: {result} is not a finite number")
    return result


def number_or_nan(value: Any, where: str) -> float:
    """Return a JSON value as a number; null and NaN, which mark missing joints, are NaN.

    Raises:
        ScmError: if it is anything else, or infinite.
    """
    return math.nan if value is None or (isinstance(value, float) and math.isnan(value)) else number(value, where)


def cell(text: str | None) -> float:
    """Return a cell of a table as a number; blank, null, None and NaN are NaN.

    Raises:
        ValueError: if it is anything else, or absent because the row is too short.
    """
    if text is None:
        raise ValueError("lacks columns")
    if text.strip().lower() in _NULLS:
        return math.nan
    return float(text)


def known_joints(joints: npt.NDArray[Any], where: str = "", *, max_score: float = 1.0) -> FloatArray:
    """Return joints with every missing one as 0, 0, 0, after checking the others.

    Missing is a joint with score 0, with NaN in any of its numbers, or at exactly (0, 0), where programs put joints
    that they did not find.

    Args:
        joints: x, y, score.
        where: what the joints belong to, for messages.
        max_score: scores beyond it are refused.

    Shape:
        joints, result: (18, 3).

    Raises:
        ScmError: if there are not 18 joints, a place is not a pixel, or a score is out of range.
    """
    before = f"{where}: " if where else ""
    joints = np.asarray(joints, np.float64)
    if joints.shape != (NUM_JOINTS, 3):
        raise ScmError(f"{before}does not hold {NUM_JOINTS} joints")
    missing = np.isnan(joints).any(axis=1) | (joints[:, 2] == 0) | (joints[:, :2] == 0).all(axis=1)
    joints = np.where(missing[:, None], 0.0, joints)
    farthest = joints[:, :2].flat[np.abs(joints[:, :2]).argmax()]
    if not abs(farthest) <= MAX_PIXEL:
        raise ScmError(f"{before}{farthest:g} is not a pixel")
    low, high = float(joints[:, 2].min()), float(joints[:, 2].max())
    if low < 0 or high > max_score:
        raise ScmError(f"{before}score {low if low < 0 else high:g} is not between 0 and {max_score:g}")
    return joints.astype(np.float32)


def are_fractions(joints: FloatArray) -> bool:
    """Return whether joints are given in fractions of the picture's size, 0 to 1, and not in pixels.

    Shape:
        joints: (18, 3).
    """
    places = joints[joints[:, 2] > 0, :2]
    return len(places) > 1 and bool(np.abs(places).max() <= _LARGEST_FRACTION)


def in_pixels(joints: FloatArray, size: Canvas | None, remedy: str) -> FloatArray:
    """Return joints in pixels; fractions of the picture are multiplied by its size.

    Args:
        joints: in pixels or in fractions of the picture.
        size: of the picture, where it is known.
        remedy: what helps where it is not.

    Shape:
        joints, result: (18, 3).

    Raises:
        ScmError: if the joints are fractions and the picture's size is not known, or they are not counted from the
            picture's upper left corner.
    """
    if not are_fractions(joints):
        return joints
    if joints[:, :2].min() < _CENTRED:
        raise ScmError("the joints lie between -1 and 1, not in pixels; write them in pixels of the picture")
    if size is None:
        raise ScmError(f"the joints lie between 0 and 1, not in pixels; {remedy}")
    return rescale(joints, Canvas(1, 1), size)
