"""RTMPose (Jiang et al., arXiv:2303.07399) and DWPose (Yang et al., arXiv:2307.15880) with the package rtmlib."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from scmnet_cli.analyser.estimators import Box
from scmnet_cli.analyser.onnx_models import find_model, providers
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError
from scmnet_cli.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    import torch

_ZOO = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk"
KNOWN = {
    "rtmpose-s": "rtmpose-s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504",
    "rtmpose-m": "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504",
    "rtmpose-l": "rtmpose-l_simcc-body7_pt-body7_420e-384x288-3f5a1437_20230504",
    "rtmpose-x": "rtmpose-x_simcc-body7_pt-body7_700e-384x288-71d7b7e9_20230629",
    "dwpose-m": "rtmpose-m_simcc-ucoco_dw-ucoco_270e-256x192-c8b76419_20230728",
    "dwpose-l": "rtmpose-l_simcc-ucoco_dw-ucoco_270e-384x288-2438fd99_20230728",
}
"""Published networks: names for ``--pose-estimator``, and rtmlib's file names."""

MIN_SCORE = 0.3
"""Joints with a lower score are missing; the threshold of MMPose's own demos."""

_NECK = 1
_SHOULDERS = (5, 6)
_OF_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""Index among COCO's 17 joints of each of OpenPose's 18; COCO lacks the neck, whose entry is a placeholder."""

_COUNTS = (17, 26, 133)
"""Joints of COCO, Halpe and COCO-WholeBody: the first 17 are the same."""


class RtmPose:
    """A network of the RTMPose family: SimCC outputs (1, K, 2W) and (1, K, 2H)."""

    def __init__(self, model: str, device: torch.device | None = None) -> None:
        """Open a network and run it on an empty image.

        Args:
            model: one of :data:`KNOWN`, or the path or name of an ONNX file.
            device: device to compute on, if ONNX Runtime supports it.

        Raises:
            ScmError: if rtmlib is not installed, the file is absent, or it is not a network of this family.
        """
        path = find_model(KNOWN.get(model, model), "--pose-estimator", _how_to_fetch(model))
        try:
            from rtmlib import RTMPose
        except ImportError as error:
            raise ScmError(
                f"--pose-estimator {model}: needs rtmlib ({error}); install it: pip install 'scmnet-cli[rtmlib]'"
            ) from error
        on_gpu = providers(device)[0] != "CPUExecutionProvider" and device is not None
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # rtmlib prints
                self._net: Any = RTMPose(str(path), device=f"cuda:{device.index or 0}" if on_gpu and device else "cpu")
            *_, height, width = self._net.session.get_inputs()[0].shape
            self._net.model_input_size = (int(width), int(height))
            found, _ = self._net(np.zeros((64, 64, 3), np.uint8))
        except Exception as error:  # ONNX Runtime raises its own unrelated classes, and rtmlib checks nothing
            raise ScmError(
                f"--pose-estimator {path}: is not a network of RTMPose's family ({str(error).splitlines()[0]})"
            ) from error
        if found.shape[1] not in _COUNTS:
            raise ScmError(
                f"--pose-estimator {path}: finds {found.shape[1]} joints; expected {', '.join(map(str, _COUNTS))}"
            )
        self.name = f"rtmlib {path.name}, sha256 {sha256(path)}"

    def __call__(self, photo: UInt8Array, box: Box) -> FloatArray:
        """Return the joints of the person in a box.

        Shape:
            photo: (H, W, 3) uint8 RGB; result: (18, 3) float32 in pixels of the photo.
        """
        # These networks were trained on RGB, and rtmlib normalises with the means of RGB (its issue 48).
        places, scores = self._net(photo, [list(box)])
        height, width = photo.shape[:2]
        return openpose_joints(places[0], scores[0], width, height)


def openpose_joints(places: FloatArray, scores: FloatArray, width: int, height: int) -> FloatArray:
    """Convert joints from COCO's order to OpenPose's; the neck is the midpoint of the shoulders.

    Joints with a score below :data:`MIN_SCORE` or beyond the photo become missing.

    Shape:
        places: (K, 2) x, y in pixels, scores: (K,), K at least 17; result: (18, 3) float32.
    """
    order = list(_OF_COCO)
    joints = np.concatenate([places[order], scores[order, None].clip(0, 1)], axis=1).astype(np.float32)
    both = list(_SHOULDERS)
    joints[_NECK] = (*places[both].mean(axis=0), scores[both].min().clip(0, 1))
    beyond = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > (width - 0.5, height - 0.5)).any(1)
    joints[beyond | (joints[:, 2] < MIN_SCORE)] = 0
    return joints


def _how_to_fetch(model: str) -> str:
    if model not in KNOWN:
        return f"give one of {', '.join(KNOWN)}, the path of an ONNX file, or set SCM_WEIGHTS to its folder"
    call = f"from rtmlib.tools.file import download_checkpoint as f; f('{_ZOO}/{KNOWN[model]}.zip')"
    return f'download it with: python -c "{call}" - or copy it there from elsewhere'
