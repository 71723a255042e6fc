"""Metrics of a single result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.data.cropping import resized
from scmnet_cli.domains import DOMAINS
from scmnet_cli.edges import CANNY, canny_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.images import to_tensor
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.region_consistency import mean_over_person, region_closeness
from scmnet_cli.metrics.ssim import ssim_patn, ssim_raw
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.types import Canvas, Person, UInt8Array

BENCHMARK = Canvas(256, 176)
"""Canvas of the benchmark's ``patn`` protocol."""

_UNKNOWN = "the true target is not known"


@dataclass(frozen=True)
class Measures:
    """Metrics of one result, and the reason for each that was not computed."""

    values: dict[str, Any]
    not_computed: dict[str, str]


class TransferMetrics:
    """Metrics of single results; LPIPS is loaded when the first true target is known."""

    def __init__(self) -> None:
        self._lpips: Lpips | None = None
        self._no_lpips = ""

    def measure(
        self, result: Result, source: ReadySource, layout: Person | None, target: Person | None, *, moves: bool
    ) -> Measures:
        """Compute the metrics of one result.

        Args:
            result: the result.
            source: the source of the style.
            layout: the person of the target pose, if it has a region map.
            target: the true target, if it is known.
            moves: whether the source changes its pose; if not, there is no copy score.
        """
        canvas = source.person.canvas
        resized_output = result.image.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS)
        output, source_image = _image(np.asarray(resized_output)), _image(source.person.image)
        source_masks = _masks(source.person.regions)
        if layout is None:
            masks, where = _masks(result.moved_regions), "where the field moved it"
        else:
            masks, where = _masks(resized(layout, source.person.canvas).regions), "where the pose shows it"
        person = 1 - masks[:, BACKGROUND : BACKGROUND + 1]

        values: dict[str, float] = {"field_entropy": result.entropy}
        closeness = region_closeness(output, masks, source_image, source_masks)
        values["region_consistency"] = float(mean_over_person(closeness))
        missing: dict[str, str] = {}
        if result.edges is not None:
            values["edge_f1"] = float(
                edge_f1(_edges(canny_edges(np.asarray(resized_output))), _edges(result.edges & CANNY))
            )
        notes: dict[str, Any] = {"region_consistency_taken": where}
        notes["region_closeness"] = {
            name: value
            for name, value in zip(DOMAINS[source.person.domain].regions, closeness[0].tolist(), strict=True)
            if not math.isnan(value)
        }
        if target is None:
            truth, notes["copy_score_reference"] = _image(np.asarray(result.moved_source)), "the moved source"
            missing |= dict.fromkeys(("l1", "ssim_raw", "ssim_patn", "lpips_alex"), _UNKNOWN)
        else:
            truth = _image(resized(target, source.person.canvas).image)
            notes["copy_score_reference"] = "the true target"
            compared = self._compare(output, truth, person, source.person.canvas)
            values |= compared.values
            missing |= compared.not_computed
        if moves:
            values["copy_score"] = float(copy_score(output, source_image, truth, person))
        else:
            del notes["copy_score_reference"]
            missing["copy_score"] = "the source stays in its own pose"
        missing |= {name: "no region or pixel to compare" for name, value in values.items() if not math.isfinite(value)}
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        return Measures(finite | notes, missing)

    def _compare(self, output: Tensor, truth: Tensor, person: Tensor, canvas: Canvas) -> Measures:
        """Compute the metrics between the output and the true target."""
        values: dict[str, Any] = {"l1": float(l1(output, truth)), "l1_person": float(l1(output, truth, person))}
        values["ssim_raw"] = float(ssim_raw(output, truth))
        missing: dict[str, str] = {}
        if canvas == BENCHMARK:
            values["ssim_patn"] = float(ssim_patn(output, truth))
        else:
            missing["ssim_patn"] = f"the benchmark's protocol is for {BENCHMARK}"
        if lpips := self._find_lpips():
            values["lpips_alex"] = float(lpips(output, truth))
            values["lpips_alex_person"] = float(lpips(output, truth, person))
        else:
            missing["lpips_alex"] = self._no_lpips
        return Measures(values, missing)

    def _find_lpips(self) -> Lpips | None:
        if self._lpips is None and not self._no_lpips:
            try:
                self._lpips = Lpips("alex")
            except ScmError as error:
                self._no_lpips = str(error)
        return self._lpips


def _image(pixels: UInt8Array) -> Tensor:
    return to_tensor(pixels)[None]  # (1, 3, H, W)


def _edges(edges: npt.NDArray[Any]) -> Tensor:
    return torch.tensor(edges)[None] > 0  # (1, H, W)


def _masks(regions: UInt8Array) -> Tensor:
    return one_hot(torch.tensor(regions)[None])  # (1, 8, H, W)
