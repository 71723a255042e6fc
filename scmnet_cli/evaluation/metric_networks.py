"""The table of metrics, and the networks that they need."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scmnet_cli.analyser.people import SHIPPED, Analyser
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.metrics.face_crop import face_crop
from scmnet_cli.metrics.fd_vgg16 import Vgg16Features
from scmnet_cli.metrics.frechet import frechet_distance
from scmnet_cli.metrics.inception import Inception
from scmnet_cli.metrics.inception_score import SPLITS
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.pck import NEAR, pck
from scmnet_cli.metrics.psnr import psnr
from scmnet_cli.metrics.region_consistency import region_colour_distance, region_consistency
from scmnet_cli.metrics.ssim import ssim_masked, ssim_raw
from scmnet_cli.weights import find_backbone


@dataclass(frozen=True)
class Metric:
    """One metric: a row of :data:`METRICS` and a column of the results.

    Attributes:
        better: ``higher`` or ``lower``.
        what: short description for the report.
        compute: for a metric per image, takes the inputs of ``needs`` for images of one size and returns one value per
            image; for a metric of a set, takes the feature statistics of answer and references. None for IS, which is
            computed from class probabilities.
        needs: inputs, attributes of :class:`scmnet_cli.evaluation.pictures.Pictures`. If one is not known, the metric
            is left out with the reason, unless the input ends with a question mark. For a metric of a set, its network.
        weights: the backbone it needs, or ``analyser``; empty for none.
        of_set: whether it is a metric of the whole set, not a mean over images.
    """

    name: str
    title: str
    better: str
    what: str
    compute: Callable[..., Any] | None
    needs: tuple[str, ...]
    weights: str = ""
    of_set: bool = False


def _call(function: Callable[..., Tensor], *given: Tensor) -> Tensor:
    return function(*given)


_PAIR = ("images", "truth")
_REGIONS = ("images", "masks", "source", "source_masks")

# fmt: off
METRICS = {metric.name: metric for metric in (
    Metric("ssim", "SSIM", "higher", "by the protocol",
           _call, ("ssim", *_PAIR)),
    Metric("ssim_raw", "SSIM raw", "higher", "without padding, data range 255",
           ssim_raw, _PAIR),
    Metric("ssim_person", "SSIM person", "higher", "mean of the raw SSIM map over the reference's person",
           ssim_masked, (*_PAIR, "person")),
    Metric("psnr", "PSNR", "higher", "dB, in float",
           psnr, _PAIR),
    Metric("l1", "L1", "lower", "mean absolute difference in [-1, 1], 0 to 2",
           l1, _PAIR),
    Metric("l1_person", "L1 person", "lower", "the same over the reference's person",
           l1, (*_PAIR, "person")),
    Metric("lpips_alex", "LPIPS-alex", "lower", "official package, version 0.1",
           _call, ("lpips_alex", *_PAIR), "alexnet"),
    Metric("lpips_alex_person", "LPIPS-alex person", "lower", "mean of its map over the person",
           _call, ("lpips_alex", *_PAIR, "person"), "alexnet"),
    Metric("face_crop", "face crop", "lower", "LPIPS-alex of a 64x64 crop of the head, where both show the face",
           face_crop, ("lpips_alex", *_PAIR, "joints", "masks", "source_joints", "source_masks"), "alexnet"),
    Metric("lpips_vgg", "LPIPS-vgg", "lower", "official package, version 0.1",
           _call, ("lpips_vgg", *_PAIR), "vgg16"),
    Metric("copy_score", "copy", "lower", "1: the unmoved source; 0: as far from it as the reference",
           copy_score, ("images", "source", "truth", "person?")),
    Metric("region_consistency", "consistency", "higher", "colours of each region against the source's",
           region_consistency, _REGIONS),
    Metric("region_colour", "colour distance", "lower", "mean colours of each region against the source's, 0 to 2",
           region_colour_distance, _REGIONS),
    Metric("edge_f1", "edge F1", "higher", "Canny's edges against the reference's, within 1 px",
           edge_f1, ("found_edges", "edges")),
    Metric("pck", "PCK", "higher", f"joints found in the picture within {NEAR} of the reference's",
           pck, ("found_joints", "joints"), "analyser"),
    Metric("fid", "FID", "lower", "pytorch-fid's Inception, 2,048 features",
           frechet_distance, ("inception",), "inception", of_set=True),
    Metric("is", "IS", "higher", f"{SPLITS} splits, 1,008 logits of the same network",
           None, ("inception",), "inception", of_set=True),
    Metric("fd_vgg16", "FD-VGG16", "lower", "Fréchet distance on mean relu5_3; no FID",
           frechet_distance, ("vgg16",), "vgg16", of_set=True),
)}
# fmt: on
"""Metrics by name, in the order of the tables."""


class MetricNetworks:
    """Networks of the metrics, loaded once; ``not_computed`` lists metrics whose weights are missing."""

    def __init__(
        self, wanted: Collection[str] | None = None, weights_dir: Path | None = None, device: str | torch.device = "cpu"
    ) -> None:
        """Load the networks of the wanted metrics; None for all metrics.

        Raises:
            ScmError: if a metric is unknown, or a weight file is damaged.
        """
        for name in wanted or ():
            if name not in METRICS:
                raise ScmError(f"--metrics: '{name}' is not one of {', '.join(METRICS)}{nearest(name, METRICS)}")
        self.wanted = [name for name in METRICS if wanted is None or name in wanted]
        self.asked_for = frozenset(wanted or ())
        self.device = torch.device(device)
        self.not_computed: dict[str, str] = {}
        self.weights: dict[str, dict[str, str]] = {}
        for name in list(self.wanted):
            source = METRICS[name].weights
            if not source:
                continue
            try:
                path = _weights_of(source, weights_dir)
            except ScmError as error:
                self.not_computed[name] = str(error)
                continue
            self.weights[name] = {"name": path.name, "sha256": sha256(path)}
        self.lpips_alex = Lpips("alex", weights_dir).to(self.device) if self._can("lpips_alex", "face_crop") else None
        self.lpips_vgg = Lpips("vgg", weights_dir).to(self.device) if self._can("lpips_vgg") else None
        self.inception = Inception(weights_dir).to(self.device) if self._can("fid", "is") else None
        self.vgg16 = Vgg16Features(weights_dir).to(self.device) if self._can("fd_vgg16") else None
        self.analyser = Analyser.load() if self._can("pck") else None

    def _can(self, *names: str) -> bool:
        """Return whether a metric with one of these prefixes is wanted and its weights are present."""
        return any(metric.startswith(name) and metric in self.weights for name in names for metric in self.wanted)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features for metrics of sets by the network's name."""
        found = {}
        if self.inception is not None:
            found["inception"] = self.inception(images)
        if self.vgg16 is not None:
            found["vgg16"] = self.vgg16(images)
        return found


def _weights_of(source: str, weights_dir: Path | None) -> Path:
    return SHIPPED if source == "analyser" else find_backbone(source, weights_dir)
