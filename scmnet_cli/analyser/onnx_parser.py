"""Any human parser as an ONNX file, with the label set that says what its outputs are.

Size of the input comes from the file or, where it leaves it open, from how the label set's best known parser is used;
so does the way pixels become numbers. Both may stand in the file's metadata, or be said by the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.analyser.onnx_models import open_session
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.regions import LABEL_SETS, NUM_REGIONS, SKIN, region_id
from scmnet_cli.sources.label_maps import nearest_limb_regions
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class _Input:
    """How pixels become numbers: (pixel / 255 − mean) / std a channel, then perhaps in the order blue, green, red."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    is_bgr: bool = False

    def __call__(self, picture: UInt8Array) -> FloatArray:
        """Shape: picture: (H, W, 3) RGB; result: (1, 3, H, W)."""
        values = (picture.astype(np.float32) / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        ordered = values[..., ::-1] if self.is_bgr else values
        return np.ascontiguousarray(ordered.transpose(2, 0, 1)[None])


INPUTS = {
    "rgb": _Input(_MEAN, _STD),
    "bgr": _Input(_MEAN, _STD, is_bgr=True),
    "signed": _Input((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": _Input((0, 0, 0), (1, 1, 1)),
    "bytes": _Input((0, 0, 0), (1 / 255, 1 / 255, 1 / 255)),
}
"""Ways of ``--parser-input``: ImageNet's mean and deviation in the order RGB or BGR, [−1, 1], [0, 1], or 0 to 255."""

_SIZES = {"schp-lip": Canvas(473, 473), "fashn18": Canvas(576, 384)}
_USUAL_SIZE = Canvas(512, 512)


class OnnxParser:
    """A parser from a file: logits or ids of labels, (1, L, h, w), (1, 1, h, w) or (1, h, w)."""

    def __init__(
        self,
        path: Path,
        labels: str | None = None,
        pixels: str | None = None,
        size: Canvas | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Open the file and try it on an empty picture.

        Args:
            path: the file.
            labels: what its outputs are, one of :data:`scmnet_cli.regions.LABEL_SETS`; None: as its metadata says.
            pixels: how it reads pixels, one of :data:`INPUTS`; None: as its metadata says, else BGR for SCHP's label
                sets and RGB for all others.
            size: of its input, where the file leaves it open; None: as its metadata says, else 473x473 for
                ``schp-lip``, 576x384 for ``fashn18`` and 512x512 for all others.
            device: where it computes, if ONNX Runtime can.

        Raises:
            ScmError: if the file is no parser of those labels, or the labels, the input or the size are not known.
        """
        self._path, self._session = path, open_session(path, "--parser", device)
        says = self._session.get_modelmeta().custom_metadata_map
        name = labels or says.get("labels")
        if name is None:
            raise ScmError(f"--parser {path}: does not say what its outputs are; tell with --parser-labels NAME")
        if name not in LABEL_SETS:
            raise ScmError(f"--parser-labels {name}: is not one of {', '.join(LABEL_SETS)}{nearest(name, LABEL_SETS)}")
        self._labels = LABEL_SETS[name]
        reads = pixels or says.get("input") or ("bgr" if name.startswith("schp") else "rgb")
        if reads not in INPUTS:
            raise ScmError(f"--parser-input {reads}: is not one of {', '.join(INPUTS)}{nearest(reads, INPUTS)}")
        self._pixels = INPUTS[reads]
        self._input, shape = self._only_input()
        self.canvas = self._size(shape, size, Canvas.parse(says.get("size", "")) or _SIZES.get(name, _USUAL_SIZE))
        self._output = self._find_output(name)
        self.name = f"{path.name}, labels {name}, input {reads} {self.canvas}, sha256 {sha256(path)}"

    def __call__(self, picture: UInt8Array, joints: FloatArray) -> FloatArray:
        """Return how likely each region is; skin that lies anywhere belongs to the nearest limb.

        Shape:
            picture: (H, W, 3) uint8 RGB of :attr:`canvas`; joints: (18, 3) in its pixels; result: (8, h, w) float32.
        """
        shares = self._shares(self._run(picture)[self._output])
        regions = np.zeros((NUM_REGIONS, *shares.shape[1:]), np.float32)
        for share, region in zip(shares, self._labels, strict=True):
            if region != SKIN:
                regions[region_id(region)] += share
        skin = sum(share for share, region in zip(shares, self._labels, strict=True) if region == SKIN)
        if not isinstance(skin, int) and skin.any():
            rows, columns = np.indices(skin.shape)
            scale = np.array([self.canvas.width / skin.shape[1], self.canvas.height / skin.shape[0]])
            places = (np.stack([columns.ravel(), rows.ravel()], 1) + 0.5) * scale - 0.5
            nearest_regions = nearest_limb_regions(places, joints).reshape(skin.shape)
            np.put_along_axis(
                regions, nearest_regions[None], np.take_along_axis(regions, nearest_regions[None], 0) + skin, 0
            )
        return regions

    def _shares(self, output: npt.NDArray[Any]) -> FloatArray:
        """Turn logits or ids into the share of each label in each cell; its sum is 1."""
        if _is_ids(output):
            ids = output.reshape(output.shape[-2:])
            low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
            if low < 0 or high >= len(self._labels):
                raise ScmError(f"--parser {self._path}: gives id {low if low < 0 else high}, beyond its labels")
            chosen: FloatArray = (ids == np.arange(len(self._labels))[:, None, None]).astype(np.float32)
            return chosen
        logits = output[0].astype(np.float32)
        powers = np.exp(logits - logits.max(axis=0))
        shares: FloatArray = powers / powers.sum(axis=0)
        return shares

    def _run(self, picture: UInt8Array) -> list[npt.NDArray[Any]]:
        values: npt.NDArray[Any] = self._pixels(picture).astype(_dtype(self._input.type))
        try:
            found: list[npt.NDArray[Any]] = self._session.run(None, {self._input.name: values})
        except Exception as error:  # ONNX Runtime has a class of its own for every failure
            raise ScmError(f"--parser {self._path}: fails ({str(error).splitlines()[0]})") from error
        return found

    def _only_input(self) -> tuple[Any, Sequence[int | str | None]]:
        inputs = self._session.get_inputs()
        shape: Sequence[int | str | None] = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or (isinstance(shape[0], int) and shape[0] != 1):
            shapes = ", ".join(str(given.shape) for given in inputs)
            raise ScmError(f"--parser {self._path}: reads {shapes}; expected one picture, [1, 3, height, width]")
        return inputs[0], shape

    def _size(self, shape: Sequence[int | str | None], wanted: Canvas | None, otherwise: Canvas) -> Canvas:
        size = wanted or otherwise
        rows, columns = (
            own if isinstance(own, int) and own > 0 else given
            for own, given in zip(shape[2:], (size.height, size.width), strict=True)
        )
        fixed = Canvas(rows, columns)
        if wanted is not None and fixed != wanted:
            raise ScmError(f"--parser-size {wanted}: {self._path.name} reads {fixed}; leave the option out")
        return fixed

    def _find_output(self, name: str) -> int:
        """Return the last output with a channel a label (SCHP's is the best one), else the last one of ids."""
        outputs = self._run(np.zeros((self.canvas.height, self.canvas.width, 3), np.uint8))
        for number in reversed(range(len(outputs))):
            if outputs[number].ndim == 4 and outputs[number].shape[:2] == (1, len(self._labels)):
                return number
        for number in reversed(range(len(outputs))):
            if _is_ids(outputs[number]):
                return number
        shapes = ", ".join("x".join(map(str, output.shape)) for output in outputs)
        fitting = [
            other
            for other, set_ in LABEL_SETS.items()
            if any(output.ndim == 4 and output.shape[1] == len(set_) for output in outputs)
        ]
        remedy = f"; sets that fit: {', '.join(fitting)}" if fitting else ""
        raise ScmError(
            f"--parser-labels {name}: has {len(self._labels)} labels, {self._path.name} gives {shapes}{remedy}"
        )


def _is_ids(output: npt.NDArray[Any]) -> bool:
    return (output.ndim == 3 or (output.ndim == 4 and output.shape[1] == 1)) and output.dtype.kind in "iu"


def _dtype(kind: str) -> type:
    return {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(kind, np.float32)
