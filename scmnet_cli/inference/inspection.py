"""Inspect a transfer: from which source positions each position of the result takes its style.

The network generates the result from F_s*, the source's style features moved along the correlation field (the paper's
3.3). Region masks, colours and pixels that are moved along the same field show where the style comes from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import collate
from scmnet_cli.domains import Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.feature_maps import FeatureMaps, compute_feature_maps, in_colours, principal_axes
from scmnet_cli.inference.field_parts import Part, PointOfField, field_rows, find_parts, shares_by_region
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result
from scmnet_cli.metrics.correspondence import region_accuracy
from scmnet_cli.models.correlation import Field
from scmnet_cli.models.style import Style
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, one_hot
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array


@dataclass(frozen=True)
class WarpShown:
    """The part warp of a transfer, and the masks that the network predicts for it.

    Attributes:
        warped: (H, W, 3), the source warped to the pose part by part.
        coverage: (H, W) in [0, 1], visible share of the source at each pixel.
        blend: (H, W) in [0, 1], c, the share of the warped pixels.
        drawn: (H, W, 3), the network's own image.
        foreground: (H, W) in [0, 1], alpha; None if the network generates the background.
    """

    warped: UInt8Array
    coverage: FloatArray
    blend: FloatArray
    drawn: UInt8Array
    foreground: FloatArray | None


@dataclass(frozen=True)
class Inspection:
    """Measurements of one transfer; h, w is the grid of the field, an eighth of the canvas.

    Attributes:
        source: the source on the model's canvas.
        pose: the pose on the model's canvas.
        result: the result of :meth:`Pipeline.transfer`.
        regions: (H, W), region map of the result: that of the pose's own photo, else ``result.moved_regions``.
        regions_known: whether the pose has a photo with regions.
        moved_colours: (h, w, 3), the source's mean colours moved along the field.
        moved_pixels: (H, W, 3), the source's blocks of 8x8 pixels moved likewise.
        moved_regions: (8, h, w), share of each position's weight on each region of the source.
        entropy: (h, w) in nats, entropy of the field's rows: from 0 (one position) to log(h w) (uniform).
        parts: parts of the body and the origin of their style, large ones first.
        right_shares: share of the weight on the same region of the source, averaged over each region's pixels; only for
            regions that the source shows.
        region_accuracy: share of the person's positions that take most of their style from the right region; None if
            not known.
        points: the field at single pixels.
        features: style features of the model.
        moved_feature_colours: (h, w, 3), F_s* in the colours of ``features.colours``.
        compared: style features of the same source in another model.
        part_warp: the part warp, if the model has one.
    """

    source: Person
    pose: Pose
    result: Result
    regions: UInt8Array
    regions_known: bool
    moved_colours: UInt8Array
    moved_pixels: UInt8Array
    moved_regions: FloatArray
    entropy: FloatArray
    parts: tuple[Part, ...]
    right_shares: dict[str, float]
    region_accuracy: float | None
    points: tuple[PointOfField, ...]
    features: FeatureMaps
    moved_feature_colours: UInt8Array
    compared: FeatureMaps | None
    part_warp: WarpShown | None = None

    def as_json(self) -> dict[str, object]:
        """Return the measurements as plain values."""
        mean = float(self.entropy.mean())
        found = [self.features] + ([self.compared] if self.compared else [])
        return {
            "grid": list(self.entropy.shape),
            "entropy_nats": mean,
            "entropy_share_of_largest": mean / math.log(self.entropy.size),
            "positions_mixed": math.exp(mean),
            "regions_known": self.regions_known,
            "region_accuracy": self.region_accuracy,
            "right_share": self.right_shares,
            "parts": [asdict(part) for part in self.parts],
            "points": [
                {"at": [point.x, point.y], "entropy_nats": point.entropy, "region_shares": point.region_shares}
                for point in self.points
            ],
            "features": [
                {"model": maps.model, "decomposed": maps.decomposed, "strength_variation": maps.variation}
                for maps in found
            ],
        }


@torch.inference_mode()
def inspect_transfer(
    pipeline: Pipeline,
    source: Person | EncodedSource,
    pose: Person | Pose,
    points: Sequence[tuple[int, int]] = (),
    compare: Pipeline | None = None,
) -> Inspection:
    """Transfer the source to the pose, and measure where each position's style comes from.

    Args:
        pipeline: the model.
        source: the source.
        pose: the target pose; the regions of a person serve as the result's regions.
        points: pixels x, y of the result at which to return the field.
        compare: another model whose style features are shown too, for example one trained with ``style: global``.

    Raises:
        ScmError: if a point lies outside the canvas, or source or pose cannot be used.
    """
    _check_points(points, pipeline.canvas)
    encoded = source if isinstance(source, EncodedSource) else pipeline.encode(source)
    fitted = pipeline.fit_pose(pose)
    result = pipeline.transfer(replace(encoded, edit=None), fitted, pipeline.canvas)
    field = _field(pipeline, encoded, fitted)
    moved = _move(pipeline, encoded, field)
    regions, regions_known = _regions_of(pose, pipeline.canvas, result)
    wanted = one_hot(torch.tensor(regions)[None].to(pipeline.device))
    accuracy = float(region_accuracy(moved.regions, wanted, moved.masks)) if regions_known else math.nan
    stride = pipeline.model.stride
    singles = [(y // stride) * field.size[1] + x // stride for x, y in points]
    parts, rows = find_parts(pipeline.domain, regions, field, moved.regions, singles)
    entropy: FloatArray = field.entropy()[0].cpu().numpy()
    shares: FloatArray = F.avg_pool2d(moved.masks, stride)[0].cpu().numpy()  # (8, h, w)
    fused = encoded.style.features[0]
    return Inspection(
        source=encoded.person,
        pose=fitted,
        result=result,
        regions=regions,
        regions_known=regions_known,
        moved_colours=to_uint8(F.avg_pool2d(moved.pixels, stride)[0]),
        moved_pixels=to_uint8(moved.pixels[0]),
        moved_regions=moved.regions[0].cpu().numpy(),
        entropy=entropy,
        parts=parts,
        right_shares=_right_shares(pipeline.domain, encoded.person, regions, wanted, moved.regions),
        region_accuracy=None if math.isnan(accuracy) else accuracy,
        points=tuple(
            PointOfField(
                x, y, row, float(entropy.ravel()[position]), shares_by_region(shares, row, pipeline.domain.regions)
            )
            for (x, y), position, row in zip(points, singles, rows, strict=True)
        ),
        features=compute_feature_maps(pipeline, encoded),
        moved_feature_colours=in_colours(moved.style.features[0], principal_axes(fused), fused),
        compared=None if compare is None else compute_feature_maps(compare, compare.encode(encoded.person)),
        part_warp=_warp_shown(pipeline, encoded, fitted),
    )


def _warp_shown(pipeline: Pipeline, encoded: EncodedSource, pose: Pose) -> WarpShown | None:
    structure = pipeline.structure(encoded, [pose])
    painted = pipeline.paint(structure, encoded.style, pipeline.photo(encoded))
    warp, rendering = painted.warp, painted.rendering
    if warp is None or rendering.blend is None or rendering.drawn is None:
        return None
    return WarpShown(
        warped=to_uint8(warp.image[0]),
        coverage=warp.coverage[0, 0].cpu().numpy(),
        blend=rendering.blend[0, 0].cpu().numpy(),
        drawn=to_uint8(rendering.drawn[0]),
        foreground=None if rendering.alpha is None else rendering.alpha[0, 0].cpu().numpy(),
    )


@dataclass(frozen=True)
class _Moved:
    """The source's masks, and the source moved along the field.

    Shape:
        masks: (1, 8, H, W), not moved; regions: (1, 8, h, w), region shares; pixels: (1, 3, H, W), moved in blocks of
        a position's pixels.
    """

    masks: Tensor
    regions: Tensor
    pixels: Tensor
    style: Style


def _move(pipeline: Pipeline, encoded: EncodedSource, field: Field) -> _Moved:
    worn = collate([encoded.person], pipeline.device)
    masks = one_hot(worn.labels)
    stride = pipeline.model.stride
    blocks = F.pixel_unshuffle(worn.image, stride)  # (1, 3 stride^2, h, w)
    carried = torch.cat([F.avg_pool2d(masks, stride), blocks], dim=1)
    rearranged, moved = pipeline.model.rearrange(field, encoded.style, carried)
    assert moved is not None
    return _Moved(masks, moved[:, :NUM_REGIONS], F.pixel_shuffle(moved[:, NUM_REGIONS:], stride), rearranged)


def _regions_of(pose: Person | Pose, canvas: Canvas, result: Result) -> tuple[UInt8Array, bool]:
    """Return the region map of the result, (H, W), and whether it is the pose's own or else the field's."""
    known = resized(pose, canvas).regions if isinstance(pose, Person) else np.zeros_like(result.moved_regions)
    regions_known = bool((known != BACKGROUND).any())
    return known if regions_known else result.moved_regions, regions_known


def _right_shares(
    domain: Domain, source: Person, regions: UInt8Array, wanted: Tensor, moved_regions: Tensor
) -> dict[str, float]:
    """Return, for each region that source and result show, the share of its weight on the same source region."""
    stride = regions.shape[0] // moved_regions.shape[2]
    by_region = torch.einsum("rhw,rhw->r", F.avg_pool2d(wanted, stride)[0], moved_regions[0]) * stride**2
    return {
        domain.regions[region]: float(by_region[region]) / int((regions == region).sum())
        for region in map(int, np.unique(source.regions))
        if (regions == region).any()
    }


@torch.inference_mode()
def inspect_point(
    pipeline: Pipeline, source: Person | EncodedSource, pose: Person | Pose, x: int, y: int
) -> PointOfField:
    """Return the correlation field of one pixel of a transfer, without the rest of :func:`inspect_transfer`.

    Raises:
        ScmError: if the point lies outside the canvas, or source or pose cannot be used.
    """
    _check_points([(x, y)], pipeline.canvas)
    encoded = source if isinstance(source, EncodedSource) else pipeline.encode(source)
    field = _field(pipeline, encoded, pipeline.fit_pose(pose))
    (height, width), stride = field.size, pipeline.model.stride
    position = (y // stride) * width + x // stride
    nothing = torch.zeros(0, height * width, device=pipeline.device)
    _, (row,) = field_rows(field, nothing, [position])
    entropy = field.entropy()[0].flatten()[position]
    worn = one_hot(collate([encoded.person], pipeline.device).labels)
    shares: FloatArray = F.avg_pool2d(worn, stride)[0].cpu().numpy()
    return PointOfField(x, y, row, float(entropy), shares_by_region(shares, row, pipeline.domain.regions))


def _check_points(points: Sequence[tuple[int, int]], canvas: Canvas) -> None:
    for x, y in points:
        if not (0 <= x < canvas.width and 0 <= y < canvas.height):
            raise ScmError(f"--at {x},{y}: is outside the result; x is 0-{canvas.width - 1}, y 0-{canvas.height - 1}")


def _field(pipeline: Pipeline, encoded: EncodedSource, pose: Pose) -> Field:
    """Return the correlation field of a source and a pose on the canvas."""
    structure = pipeline.structure(encoded, [pose])
    warp = pipeline.warp(structure, pipeline.photo(encoded))
    pose_features = pipeline.model.encode_pose(pipeline.domain.maps(structure, pipeline.canvas), warp)
    return pipeline.model.field(pose_features, encoded.style, warp)
