"""External human parsers as ONNX files with a label set.

Input size and pixel normalisation come from the user, from the file's metadata, or from the best-known parser of the
label set; a fixed input size of the file wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.onnx_models import open_session
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.regions import LABEL_SETS, NUM_REGIONS, SKIN, region_id
from scmnet_cli.sources.label_maps import nearest_limb_regions
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

if TYPE_CHECKING:
    import torch

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class _Input:
    """Pixel normalisation: (pixel / 255 − mean) / std per channel, in the order RGB or BGR."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    is_bgr: bool = False

    def __call__(self, picture: UInt8Array) -> FloatArray:
        """Normalise an image.

        Shape:
            picture: (H, W, 3) RGB; result: (1, 3, H, W).
        """
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
"""Choices of ``--parser-input``: ImageNet's mean and deviation in RGB or BGR order, [−1, 1], [0, 1], or 0 to 255."""

_SIZES = {"schp-lip": Canvas(473, 473), "fashn18": Canvas(576, 384)}
_USUAL_SIZE = Canvas(512, 512)


class OnnxParser:
    """A parser from an ONNX file that outputs logits, (1, L, h, w), or label ids, (1, 1, h, w) or (1, h, w)."""

    def __init__(
        self,
        path: Path,
        labels: str | None = None,
        pixels: str | None = None,
        size: Canvas | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Open the file and run it on an empty image.

        Args:
            path: the file.
            labels: label set of its outputs, one of :data:`scmnet_cli.regions.LABEL_SETS`; None for the metadata's.
            pixels: pixel normalisation, one of :data:`INPUTS`; None for the metadata's, else BGR for SCHP's label sets
                and RGB for all others.
            size: input size, if the file does not fix it; None for the metadata's, else 473x473 for ``schp-lip``,
                576x384 for ``fashn18`` and 512x512 for all others.
            device: device to compute on, if ONNX Runtime supports it.

        Raises:
            ScmError: if the file is not a parser of these labels, or labels, normalisation or size are not known.
        """
        self._path, self._session = path, open_session(path, "--parser", device)
        metadata = self._session.get_modelmeta().custom_metadata_map
        name = labels or metadata.get("labels")
        if name is None:
            raise ScmError(f"--parser {path}: its metadata names no label set; give --parser-labels NAME")
        if name not in LABEL_SETS:
            raise ScmError(f"--parser-labels {name}: is not one of {', '.join(LABEL_SETS)}{nearest(name, LABEL_SETS)}")
        self._labels = LABEL_SETS[name]
        reads = pixels or metadata.get("input") or ("bgr" if name.startswith("schp") else "rgb")
        if reads not in INPUTS:
            raise ScmError(f"--parser-input {reads}: is not one of {', '.join(INPUTS)}{nearest(reads, INPUTS)}")
        self._pixels = INPUTS[reads]
        self._input, shape = self._only_input()
        default = Canvas.parse(metadata.get("size", "")) or _SIZES.get(name, _USUAL_SIZE)
        self.canvas = self._size(shape, size, default)
        self._output = self._find_output(name)
        self.name = f"{path.name}, labels {name}, input {reads} {self.canvas}, sha256 {sha256(path)}"

    def __call__(self, picture: UInt8Array, joints: FloatArray) -> FloatArray:
        """Return the probability of each region; a generic skin label is assigned to the nearest limb.

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
        """Convert logits or ids to label probabilities of each cell, which sum to 1."""
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
        except Exception as error:  # ONNX Runtime raises its own unrelated classes
            raise ScmError(f"--parser {self._path}: fails ({str(error).splitlines()[0]})") from error
        return found

    def _only_input(self) -> tuple[Any, Sequence[int | str | None]]:
        inputs = self._session.get_inputs()
        shape: Sequence[int | str | None] = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or (isinstance(shape[0], int) and shape[0] != 1):
            shapes = ", ".join(str(given.shape) for given in inputs)
            raise ScmError(f"--parser {self._path}: takes {shapes}; expected one image, [1, 3, height, width]")
        return inputs[0], shape

    def _size(self, shape: Sequence[int | str | None], wanted: Canvas | None, otherwise: Canvas) -> Canvas:
        size = wanted or otherwise
        rows, columns = (
            own if isinstance(own, int) and own > 0 else given
            for own, given in zip(shape[2:], (size.height, size.width), strict=True)
        )
        fixed = Canvas(rows, columns)
        if wanted is not None and fixed != wanted:
            raise ScmError(f"--parser-size {wanted}: {self._path.name} takes {fixed}; leave the option out")
        return fixed

    def _find_output(self, name: str) -> int:
        """Return the index of the last output with one channel per label (SCHP's best), else of the last with ids."""
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
