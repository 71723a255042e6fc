"""Prepare a garment for the part warp: its pixels without their neighbours, and poses in which no hand tears it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.types import FloatArray, UInt8Array

_ELBOW_ABOVE, _WRIST_ABOVE = 0.6, 1.1  # torso lengths above the shoulder


def arms_lifted(joints: FloatArray) -> FloatArray:
    """Return the joints with both arms above the head: hands beside a skirt do not carry it, so they would tear it.

    Shape:
        joints, result: (18, 3), x, y in pixels and a score; elbows and wrists get the score of their shoulder.
    """
    lifted = joints.copy()
    size = float(body_size(torch.from_numpy(joints)[None])[0])
    for shoulder, elbow, wrist in LIMBS[:2]:
        for joint, above in ((elbow, _ELBOW_ABOVE), (wrist, _WRIST_ABOVE)):
            lifted[joint, :2] = joints[shoulder, :2] - [0, above * size]
            lifted[joint, 2] = joints[shoulder, 2]
    return lifted


def extended(image: UInt8Array, mask: npt.NDArray[np.bool_]) -> UInt8Array:
    """Extend a garment's colours beyond its edge, so that interpolation mixes in no neighbouring colours.

    Shape:
        image, result: (H, W, 3) in 0-255; mask: (H, W), the garment, not empty.
    """
    from scipy import ndimage

    inner = ndimage.binary_erosion(mask, iterations=1)
    inner = inner if inner.any() else mask
    rows, columns = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    wider: UInt8Array = image[rows, columns]
    return wider
