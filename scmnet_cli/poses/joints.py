"""Rules shared by all readers of joints: which joints are missing, and whether coordinates are pixels or fractions.

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
"""Larger coordinates are damage, not pixels."""

_LARGEST_FRACTION = 3.0
"""If no coordinate is larger, joints are fractions of the image; landmark models give joints that they guess beyond the
image coordinates above 1."""

_CENTRED = -0.5
"""Fractions below this are relative to the centre of the image, not to its corner."""

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
    """Return a cell of a table as a number; blank, null, None and NaN give NaN.

    Raises:
        ValueError: if it is not a number, or absent because the row is too short.
    """
    if text is None:
        raise ValueError("lacks columns")
    if text.strip().lower() in _NULLS:
        return math.nan
    return float(text)


def known_joints(joints: npt.NDArray[Any], where: str = "", *, max_score: float = 1.0) -> FloatArray:
    """Check joints, and return them with missing ones as 0, 0, 0.

    A joint is missing if its score is 0, a value is NaN, or it is at exactly (0, 0), where some programs put joints
    that they did not find.

    Args:
        joints: x, y, score.
        where: prefix of messages.
        max_score: largest valid score.

    Shape:
        joints, result: (18, 3).

    Raises:
        ScmError: if there are not 18 joints, a coordinate is not a valid pixel, or a score is out of range.
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
    """Return whether joints are in fractions of the image, 0 to 1, instead of pixels.

    Shape:
        joints: (18, 3).
    """
    places = joints[joints[:, 2] > 0, :2]
    return len(places) > 1 and bool(np.abs(places).max() <= _LARGEST_FRACTION)


def in_pixels(joints: FloatArray, size: Canvas | None, remedy: str) -> FloatArray:
    """Return joints in pixels; fractions of the image are multiplied by its size.

    Args:
        joints: joints in pixels or in fractions of the image.
        size: size of the image; None if not known.
        remedy: advice for the error message on how to give the size.

    Shape:
        joints, result: (18, 3).

    Raises:
        ScmError: if the joints are fractions and the size is not known, or they are relative to the image's centre.
    """
    if not are_fractions(joints):
        return joints
    if joints[:, :2].min() < _CENTRED:
        raise ScmError("the joints lie between -1 and 1, not in pixels; write them in pixels of the picture")
    if size is None:
        raise ScmError(f"the joints lie between 0 and 1, not in pixels; {remedy}")
    return rescale(joints, Canvas(1, 1), size)
