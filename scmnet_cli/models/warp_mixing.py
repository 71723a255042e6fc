"""Mix part warps of several photos, or of several versions of a photo, in one pose: of tensors or of arrays alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from scmnet_cli.models.warp_fields import WarpFields

WarpT = TypeVar("WarpT", bound=WarpFields[Any])

_BACKGROUND_COUNTS, _PERSON_HIDES, _SHARP = 0.01, 0.02, 3
"""Weight of background relative to the person; coverage by a person from which on no background counts: arms, in front,
cover up to 20 times as much as what is behind them; power of the person's share, so that no seam shows at an edge."""

_OWN_COUNTS, _OTHER_RIM = 4.0, 0.006
"""The mirrored photo gives way wholly where the photo's own coverage is the inverse of the first; rim around the places
where both show different regions, as a share of the height."""


def mixed(warps: Sequence[WarpT], fill: float) -> WarpT:
    """Average warps of disjoint parts, weighted by coverage; the background beside a part hides no other part.

    Coordinates are those of the warp with the largest weight.
    """
    people = [warp.coverage * (1 - warp.regions[:, :1]) ** _SHARP for warp in warps]
    alone = (1 - sum(people) / _PERSON_HIDES).clip(0)
    weights = [
        person + _BACKGROUND_COUNTS * alone * warp.coverage * warp.regions[:, :1]
        for warp, person in zip(warps, people, strict=True)
    ]
    coordinates, largest, total = warps[0].coordinates, weights[0], sum(weights)
    for warp, weight in zip(warps[1:], weights[1:], strict=True):
        leads = weight > largest
        coordinates = leads * warp.coordinates + ~leads * coordinates
        largest = leads * weight + ~leads * largest
    scale = 1 / total.clip(1e-6)
    image, regions = (
        sum(getattr(warp, name) * weight for warp, weight in zip(warps, weights, strict=True)) * scale
        for name in ("image", "regions")
    )
    return replace(
        warps[0],
        image=image + fill * (1 - total * scale),
        regions=regions,
        coverage=sum(warp.coverage for warp in warps).clip(0, 1),
        coordinates=coordinates,
    )


def over(front: WarpT, behind: WarpT, fill: float) -> WarpT:
    """Composite one warp over another: the one behind fills where it covers more."""
    filled = (behind.coverage - front.coverage).clip(0)
    coverage = front.coverage + filled
    share, rest = front.coverage / coverage.clip(1e-6), filled / coverage.clip(1e-6)
    image = (front.image - fill) * share + (behind.image - fill) * rest + fill
    return replace(front, image=image, regions=front.regions * share + behind.regions * rest, coverage=coverage)


def giving_way(warp: WarpT, own: WarpT, dilated: Callable[[Any, int], Any]) -> WarpT:
    """Return a warp of the mirrored photo that gives way where the photo itself shows another region of the person.

    A mirrored thigh brings along the hem of an open jacket, which hangs on the other side; both at once were a veil.

    Args:
        warp: warp of the mirrored photo.
        own: warp of the photo itself.
        dilated: function that returns the largest value in a square around each pixel, for this kind of fields.
    """
    person = own.regions[:, 1:].sum(1)[:, None]
    same = own.regions[:, 1:].clip(max=warp.regions[:, 1:]).sum(1)[:, None]
    radius = max(round(_OTHER_RIM * person.shape[2]), 1)
    other = dilated((1 - same / person.clip(1e-3)).clip(0, 1), radius)
    return replace(warp, coverage=warp.coverage * (1 - other * (_OWN_COUNTS * own.coverage * person).clip(max=1)))


def in_photo(warp: WarpT, width: int) -> WarpT:
    """Return a warp of the mirrored photo with the coordinates of the photo that is not mirrored."""
    x, covered = warp.coordinates[:, :1], warp.coverage > 0
    coordinates = warp.coordinates + 0  # a copy
    coordinates[:, :1] = covered * (width - 1 - x) + ~covered * x
    return replace(warp, coordinates=coordinates)
