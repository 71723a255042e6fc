"""Inputs of the metrics: cases resized to the protocol's size, batched by size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.edges import canny_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.cases import Case
from scmnet_cli.evaluation.folders import fitted
from scmnet_cli.evaluation.metric_networks import MetricNetworks
from scmnet_cli.evaluation.protocols import PROTOCOLS, Protocol
from scmnet_cli.images import CropBox, to_tensor
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_SMALLEST = 32


@dataclass(frozen=True)
class FittedCase:
    """A case resized to the protocol's size, as tensors (1, ...); joints are in pixels of that size."""

    case: Case
    answers: dict[str, Tensor]
    reference: Tensor
    source: Tensor | None
    masks: Tensor | None
    source_masks: Tensor | None
    joints: FloatArray | None
    source_joints: FloatArray | None
    found_joints: FloatArray | None
    pictures: dict[str, UInt8Array]


class Pictures:
    """Images of one answer for cases of one size, with the inputs that metrics need; None if not known.

    Attributes:
        images: output images, (B, 3, H, W) in [-1, 1].
        truth: true images, (B, 3, H, W).
        source: source images, (B, 3, H, W).
        masks, source_masks: regions of reference and source, (B, 8, H, W).
        ssim: the protocol's SSIM.
        lpips_alex, lpips_vgg: the LPIPS networks.
    """

    def __init__(
        self, answer: str, group: Sequence[FittedCase], protocol: Protocol, metric_networks: MetricNetworks
    ) -> None:
        self._answer, self._group, self._analyser = answer, group, metric_networks.analyser
        self.images = torch.cat([one.answers[answer] for one in group])
        has_truth = all(one.case.has_truth for one in group)
        self.truth: Tensor | None = torch.cat([one.reference for one in group]) if has_truth else None
        self.source = _joined([one.source for one in group])
        self.masks = _joined([one.masks for one in group])
        self.source_masks = _joined([one.source_masks for one in group])
        self.ssim: Callable[[Tensor, Tensor], Tensor] = protocol.ssim
        self.lpips_alex: Lpips | None = metric_networks.lpips_alex
        self.lpips_vgg: Lpips | None = metric_networks.lpips_vgg

    @cached_property
    def person(self) -> Tensor | None:
        """Mask of the reference's person, (B, 1, H, W)."""
        return None if self.masks is None else 1 - self.masks[:, BACKGROUND : BACKGROUND + 1]

    @cached_property
    def joints(self) -> Tensor | None:
        """Joints of the references, (B, 18, 3)."""
        return _stacked([one.joints for one in self._group])

    @cached_property
    def source_joints(self) -> Tensor | None:
        """Joints of the sources, (B, 18, 3), in pixels of the images."""
        return _stacked([one.source_joints for one in self._group])

    @cached_property
    def found_joints(self) -> Tensor | None:
        """Joints found in the images, (B, 18, 3), if those of the references are known.

        The analyser finds them. If another estimator's joints are given for the first answer, other answers have none.
        """
        analyser = self._analyser
        if analyser is None or self.joints is None:
            return None
        given = any(one.found_joints is not None for one in self._group)
        if given and self._answer != next(iter(self._group[0].case.answers)):
            return None
        found = [
            analyser(one.pictures[self._answer]).joints if one.found_joints is None else one.found_joints
            for one in self._group
        ]
        return torch.from_numpy(np.stack(found))

    @cached_property
    def edges(self) -> Tensor | None:
        """Edges of the references, (B, H, W) bool, if they have the images' size."""
        known = [one.case.edges for one in self._group if one.case.edges is not None]
        fits = len(known) == len(self._group) and all(edges.shape == self.images.shape[2:] for edges in known)
        return torch.from_numpy(np.stack(known)) if fits else None

    @cached_property
    def found_edges(self) -> Tensor | None:
        """Canny edges of the images, (B, H, W) bool, if those of the references are known."""
        if self.edges is None:
            return None
        return torch.from_numpy(np.stack([canny_edges(one.pictures[self._answer]) for one in self._group]))


def _stacked(parts: list[FloatArray | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.from_numpy(np.stack(known)) if len(known) == len(parts) else None


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def _check_shape(size: Canvas, reference: Canvas, name: str) -> None:
    """Raise if a protocol without a fixed size would distort an image."""
    if size.has_shape_of(reference):
        return
    fitting = [protocol.name for protocol in PROTOCOLS.values() if protocol.takes(size) and protocol.takes(reference)]
    remedy = f"use --protocol {' or '.join(fitting)}, which compare them at equal height, or " if fitting else ""
    raise ScmError(
        f"{name}: is {size}, its reference {reference}; protocol raw would distort it: {remedy}"
        "crop the results like the references"
    )


def fit_case(case: Case, protocol: Protocol, device: torch.device) -> FittedCase:
    """Resize the images, masks and joints of a case to the protocol's size.

    Raises:
        ScmError: if the protocol does not accept its size, or it is too small.
    """
    height, width = case.reference.shape[:2]
    box = protocol.box(Canvas(height, width), case.name)
    if min(box.canvas.height, box.canvas.width) < _SMALLEST:
        raise ScmError(f"{case.name}: is {box.canvas}; metrics need {_SMALLEST}x{_SMALLEST} or more")

    def picture(image: UInt8Array) -> UInt8Array:
        if protocol.size is None:
            return fitted(image, box.canvas)
        return _cut(image, protocol.box(Canvas(image.shape[0], image.shape[1]), case.name))

    def masks(labels: UInt8Array | None) -> Tensor | None:
        if labels is None:
            return None
        own = protocol.box(Canvas(labels.shape[0], labels.shape[1]), case.name)
        return one_hot(torch.tensor(own.crop_labels(labels))[None]).to(device)

    def tensor(image: UInt8Array) -> Tensor:
        return to_tensor(image)[None].to(device)

    if protocol.size is None:
        for image in case.answers.values():
            _check_shape(Canvas(*image.shape[:2]), box.canvas, case.name)
    pictures = {answer: picture(image) for answer, image in case.answers.items()}

    def placed(joints: FloatArray | None, own: CropBox) -> FloatArray | None:
        return None if joints is None else np.concatenate([own.to_canvas(joints[:, :2]), joints[:, 2:]], axis=1)

    def own_box(image: UInt8Array) -> CropBox:
        if protocol.size is None:
            return CropBox(0, 0, image.shape[1], image.shape[0], box.canvas)
        return protocol.box(Canvas(image.shape[0], image.shape[1]), case.name)

    return FittedCase(
        case,
        {answer: tensor(image) for answer, image in pictures.items()},
        tensor(_cut(case.reference, box)),
        None if case.source is None else tensor(picture(case.source)),
        masks(case.labels),
        masks(case.source_labels) if protocol.size is not None or case.source_labels is None else _own(case, device),
        placed(case.joints, box),
        None if case.source is None else placed(case.source_joints, own_box(case.source)),
        placed(case.found_joints, own_box(next(iter(case.answers.values())))),
        pictures,
    )


def _own(case: Case, device: torch.device) -> Tensor:
    """Return the source's masks resized to the reference's size, like its image."""
    assert case.source_labels is not None
    height, width = case.reference.shape[:2]
    labels = case.source_labels
    box = CropBox(0, 0, labels.shape[1], labels.shape[0], Canvas(height, width))
    return one_hot(torch.tensor(box.crop_labels(labels))[None]).to(device)


def _cut(image: UInt8Array, box: CropBox) -> UInt8Array:
    whole = (box.left, box.top, box.height, box.width) == (0, 0, *image.shape[:2])
    if whole and (box.canvas.height, box.canvas.width) == image.shape[:2]:
        return image
    return box.crop_image(image, 255)
