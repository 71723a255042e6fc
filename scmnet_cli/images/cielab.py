"""Conversion of sRGB to CIELAB (D65, 2 degrees), without the import time of scikit-image, which has it too."""

from __future__ import annotations

import numpy as np

from scmnet_cli.types import FloatArray, UInt8Array

_LEVELS = np.arange(256, dtype=np.float64) / 255
_LINEAR = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92).astype(np.float32)
"""Linear light of each level of sRGB."""

_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
_TO_WHITE = (_XYZ / _WHITE[:, None]).astype(np.float32)
_DARK = 0.008856  # below it the curve is a straight line


def cielab(image: UInt8Array) -> FloatArray:
    """Return an image in CIELAB: lightness in [0, 100], and two axes of colour.

    Shape:
        image: (..., 3) uint8; result: likewise, float32.
    """
    light = _LINEAR[image] @ _TO_WHITE.T
    curve = np.where(light > _DARK, np.cbrt(light), 7.787 * light + 16 / 116)
    x, y, z = np.moveaxis(curve, -1, 0)
    lab: FloatArray = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
    return lab
