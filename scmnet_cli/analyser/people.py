"""The built-in analyser: find the people of a photo, with joints, a region map and a score.

The network runs on the whole photo first, then on a crop around the person found, until the crop converges. The
last pass is averaged with a mirrored one and with close-ups. If the score is low, or all people are requested, it
searches: the network runs on the enlarged photo, and then on a crop around each candidate.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from scmnet_cli.analyser.analysis import BEYOND, MARGIN, Analysis, framed, in_crop
from scmnet_cli.analyser.answers import REGION_STRIDE, Network
from scmnet_cli.analyser.colours import with_colours
from scmnet_cli.analyser.estimators import Estimators
from scmnet_cli.analyser.refinement import Refinement
from scmnet_cli.analyser.region_maps import clean_probabilities
from scmnet_cli.analyser.search import Search
from scmnet_cli.types import Canvas, UInt8Array

if TYPE_CHECKING:
    import torch

CANVAS = Canvas(384, 256)
"""Largest size of the network's input for one person."""

FILE = "analyser.safetensors"
"""Name of the weight file."""

SHIPPED = Path(__file__).parents[1] / "assets" / FILE
"""The weights that ship with this package."""

_AFTER_NETWORK = 6
"""Version of what follows the network: photos that were prepared with another one are prepared again."""


class Analyser:
    """The analyser's network, loaded once and used many times; deterministic."""

    _estimators = Estimators()

    def __init__(
        self,
        net: Network,
        canvas: Canvas = CANVAS,
        sha256: str = "",
        *,
        estimators: Estimators | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            net: runs the network.
            canvas: size of its input.
            sha256: hash of the weight file.
            estimators: external estimators of joints and regions of a detected person.
        """
        self._estimators = estimators or Estimators()
        self.sha256 = sha256
        self._search = Search(Refinement(net, canvas), net)

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        *,
        device: torch.device | None = None,
        estimators: Estimators | None = None,
        bfloat16: bool = False,
    ) -> Self:
        """Load the analyser that ships with this package, or another one, to run it with torch.

        Args:
            weights: a file of ``scm analyser train``; None for the shipped weights.
            device: device of the network; on a GPU, concurrent calls are batched; None for the CPU.
            estimators: external estimators of joints and regions of a detected person.
            bfloat16: compute most of the network in bfloat16, which is faster on CPUs with AMX. A joint that is as
                likely at two places may then be found at another one than on other CPUs.

        Raises:
            ScmError: if the file is absent, damaged or not an analyser.
        """
        from scmnet_cli.analyser.batches import MOST
        from scmnet_cli.analyser.in_torch import InTorch
        from scmnet_cli.analyser.subjects import PEOPLE, read_weights

        path = weights or SHIPPED
        net = PEOPLE.build()
        read_weights(path, net)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        on_cpu = device is None or device.type == "cpu"
        network = InTorch(net, device=device, batch=1 if on_cpu else MOST, bfloat16=bfloat16)
        return cls(network, sha256=sha256, estimators=estimators)

    @property
    def pose_estimator(self) -> str:
        """Name of the estimator of joints, for a manifest."""
        return self._estimators.pose.name if self._estimators.pose else self._name

    @property
    def parser(self) -> str:
        """Name of the estimator of regions, for a manifest."""
        return self._estimators.parser.name if self._estimators.parser else self._name

    @property
    def _name(self) -> str:
        return f"built-in analyser, weights sha256 {self.sha256}"

    @property
    def stamp(self) -> str:
        """A short text that changes with the estimators of joints or regions."""
        found_by = (self.pose_estimator, self.parser)
        network = f"{self.sha256[:12]} {_AFTER_NETWORK}"
        if found_by == (self._name, self._name):
            return network
        return f"{network} {hashlib.sha256(' '.join(found_by).encode()).hexdigest()[:12]}"

    def __call__(self, image: UInt8Array | Image.Image) -> Analysis:
        """Analyse the most prominent person of a photo.

        Args:
            image: an upright RGB photo, (H, W, 3) uint8, as :func:`scmnet_cli.images.read_photo` returns it.
        """
        photo = _pixels(image)
        return self._finished(photo, self._search.most_prominent(photo))

    def people(self, image: UInt8Array | Image.Image) -> list[Analysis]:
        """Analyse all people of a photo, which needs a search.

        Args:
            image: the photo.

        Returns:
            the most prominent person first, then all others by size; empty if there is no person.
        """
        photo = _pixels(image)
        return [self._finished(photo, found) for found in self._search.all_people(photo)]

    def _finished(self, photo: UInt8Array, found: Analysis) -> Analysis:
        """Add the photo's colours as evidence and apply the external estimators, if any, to a detected person."""
        pose, parser = self._estimators.pose, self._estimators.parser
        if not found.has_person:
            return found
        found = _with_colours(photo, found)
        if pose is not None:
            found = replace(found, joints=pose(photo, found.box))
        if parser is not None:
            box = found.box
            crop = framed(box, parser.canvas, MARGIN)
            probabilities = parser(crop.crop_image(photo, BEYOND), in_crop(found.joints, crop))
            rows, columns = probabilities.shape[1:]
            crop = replace(crop, canvas=Canvas(rows * REGION_STRIDE, columns * REGION_STRIDE))
            cleaned = clean_probabilities(probabilities, in_crop(found.joints, crop))
            found = replace(found, probabilities=cleaned, crop=crop, carried=None)
        return found


def _with_colours(photo: UInt8Array, found: Analysis) -> Analysis:
    crop, joints = found.crop, in_crop(found.joints, found.crop)
    seen = crop.crop_image(photo, BEYOND, Image.Resampling.BILINEAR)
    inside = crop.crop_labels(np.ones(photo.shape[:2], np.uint8)) > 0
    coloured = with_colours(found.probabilities, joints, seen, inside)
    return replace(found, probabilities=clean_probabilities(coloured, joints, found.carried))


def _pixels(image: UInt8Array | Image.Image) -> UInt8Array:
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
