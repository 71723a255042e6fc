"""Fit a warped garment to the wearer: its outline follows the wearer's where their clothes have one.

The part warp knows bones, not bodies: a garment of somebody else is wider here and narrower there. Where the wearer's
old garment shows the outline of the body, the new one takes it, so nothing beside the body is uncovered and the edges
are those of the photo. Sleeves and hems end where the reference's do. The cloth is moved smoothly to the new outline.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.cloth_light import shading
from scmnet_cli.inference.edits.garment_faults import held_in_hands, label
from scmnet_cli.inference.edits.hip_flaps import without_hip_bumps
from scmnet_cli.inference.edits.new_hair import glare, hair_shape, inner_hair, strands
from scmnet_cli.inference.edits.sleeves import sleeved, without_bumps
from scmnet_cli.inference.garments import ON_TORSO
from scmnet_cli.inference.limb_places import below_hips, limb_places, torso_length
from scmnet_cli.inference.shape_matching import closed, continued_colours, displacement, smoothed, soft_edged
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_PANTS, _SKIRT, _UPPER, _ARMS, _LEGS, _FACE, _HAIR = (
    region_id(name) for name in ("pants", "skirt", "upper", "arms", "legs", "face", "hair")
)
FITTED = ("upper", "dress", "pants", "skirt", "hair")
"""Kinds of garments that are fitted."""

_OLD: Mapping[str, tuple[int, ...]] = {
    "upper": (_UPPER,),
    "dress": (_UPPER, _PANTS, _SKIRT),
    "pants": (_PANTS, _SKIRT),
    "skirt": (_PANTS, _SKIRT),
    "hair": (),
}
"""Regions that a garment replaces."""
_LEAST_OWN = 0.35
"""Share of the new garment's area that the wearer's own garment must have to give it an outline."""
_SAME_LEG = 0.3
"""Ends of trouser legs that are nearer than this share of a bone are the same."""
_SLIT, _EVEN_LEG, _AT_HEM = 0.02, 0.02, 0.12
"""Torso lengths: half width of slits in trousers that come where a skirt was, smoothness of their outline, and how far
below the skirt's hem that is."""
_SAME_HEM, _COAT = 0.3, 0.6
"""Hems of tops that are nearer than this, in torso lengths, are the same; a top longer by the second is cut."""
_SPECK = 0.05
"""Least area of a piece of trousers or a skirt, relative to the largest."""
_EVEN = (0.1, 0.025)
"""Torso lengths: widths of the median and the mean that even out the hem of a top over trousers."""
_OVERHANG = 0.025
"""Torso lengths that a new top reaches below the old one."""
_REACH = 0.2
"""Torso lengths from which on a garment's outline is moved."""
_SMOOTHNESS, _CLOSED, _BAY = 0.05, 0.06, 0.04
"""Torso lengths: smoothness of the move; half widths of gaps that arms and hair cut into a garment, and of bays that
the region map cuts into a top."""
_ROUGH = 0.015
"""Torso lengths over which the outline of a warped garment is smoothed."""
_FLARE, _HIPS = 0.4, 0.2
"""Pixels that a skirt may widen on each side, for a pixel down; torso lengths below its waist that tell its width."""
_HEM = (0.15, 0.03, 0.25, 0.08)
"""Torso lengths: widths of the median and the mean that even out a hem, height above it that is filled, and the most
that a column becomes longer."""
_BUMP = 0.06
"""Half width in torso lengths of bumps at the sides of a skirt."""
_BLUR = 0.02
"""Torso lengths: blur of cloth that is continued far."""
_NECK, _COLLAR = 0.16, 0.13
"""Half width of the neck with a collar, and from where above the shoulders it is one, in torso lengths."""


def fitted(
    wearer: Person,
    kind: str,
    garment: tuple[FloatArray, npt.NDArray[np.float32]],
    sleeves: _BoolArray,
    *,
    flat: bool,
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """Fit a garment to the wearer's outline.

    Args:
        wearer: in the old clothes.
        kind: kind of the garment.
        garment: coverage and colours of the warped garment.
        sleeves: coverage of its sleeves.
        flat: whether it was photographed without a wearer.

    Shape:
        garment and result: (H, W) in [0, 1] and (H, W, 3) in 0-255; sleeves: (H, W).
    """
    cover, colour = garment
    size = torso_length(wearer)
    worn = smoothed(cover > 0.5, _ROUGH * size)
    if kind in ON_TORSO:
        worn = without_bumps(wearer, worn, sleeves)
        target = (_top if kind == "upper" else _dress)(wearer, worn, sleeves)
    else:
        if kind == "skirt":
            worn &= _flaring(wearer, np.logical_or.accumulate(worn.any(1, keepdims=True) & np.ones_like(worn)))
        target = {"pants": _trousers, "skirt": _skirt, "hair": hair_shape}[kind](wearer, worn)
    if not target.any():
        return cover, colour
    from scipy import ndimage

    target &= ~own_collar(wearer, kind, cover)
    if flat and kind == "upper":
        worn = _cut_at_hem(wearer, worn, target, sleeves)
    if kind in ON_TORSO:
        target |= worn & (wearer.regions == BACKGROUND) & closed(target, _BAY * size)
    own = target & np.isin(wearer.regions, _OLD[kind])  # slivers of the old garment beside a hand are covered too
    target = ndimage.binary_opening(target, iterations=2) | own
    moved = displacement(
        closed(worn, _CLOSED * size), closed(target, _CLOSED * size), _REACH * size, _SMOOTHNESS * size
    )
    sound = ndimage.binary_erosion(worn & (cover > 0.9), iterations=max(1, round(0.012 * size)))
    if kind == "hair":
        sound = inner_hair(worn & (cover > 0.9), size)
        sound &= ~glare(wearer, colour, sound)
    if kind in ON_TORSO:
        sound &= ~(label(wearer, worn, colour) if flat else held_in_hands(wearer, sleeves, colour))
    # between trouser legs that stand apart a mirror image would double seams and pockets
    spread = continued_colours(colour, sound, _BLUR * size, mirrored=kind in ON_TORSO)
    places = np.mgrid[: worn.shape[0], : worn.shape[1]].astype(np.float32) + moved
    pixels = np.stack(
        [ndimage.map_coordinates(spread[..., channel], places, order=1, mode="nearest") for channel in range(3)],
        axis=-1,
    )
    if kind == "hair":
        away = ndimage.map_coordinates(ndimage.distance_transform_edt(~sound), places, order=1, mode="nearest")
        pixels = pixels * strands(wearer, away / size)[..., None]
    if flat:
        pixels = pixels * shading(wearer, kind, target)[..., None]
    # at the outline of the old garment the photo's own edge is recoloured; a soft edge would bare its corners
    return np.maximum(soft_edged(target), own), pixels.clip(0, 255).astype(np.float32)


def own_collar(wearer: Person, kind: str, cover: FloatArray) -> _BoolArray:
    """Return the wearer's collar or polo neck above the neckline of a new top or dress: it stays, as if worn beneath.

    Shape:
        cover, result: (H, W).
    """
    own = wearer.regions == _UPPER
    neck = wearer.joints[JOINTS.index("neck")]
    worn = cover > 0.5
    if kind not in ON_TORSO or neck[2] <= 0 or not worn.any():
        return np.zeros_like(own)
    size = torso_length(wearer)
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    top = np.where(worn.any(0), worn.argmax(0), len(worn))
    zone = (abs(columns - neck[0]) < _NECK * size) & (rows < neck[1] + _NECK * size)
    found: _BoolArray = own & zone & (rows < top) & (rows < neck[1] - _COLLAR * size)
    return found


def _trousers(wearer: Person, worn: _BoolArray) -> _BoolArray:
    own = wearer.regions == _PANTS
    legs = limb_places(wearer)[2:]
    if own.sum() < _LEAST_OWN * worn.sum():
        return _trousers_on_legs(wearer, worn)
    target: _BoolArray = own.copy()
    nearest = np.argmin([away for _, away in legs], axis=0)
    for index, (place, away) in enumerate(legs):
        mine = nearest == index
        near = mine & (away < _REACH)
        new, old = _end(place, worn & near), _end(place, own & near)
        if new is None or old is None:
            continue
        target |= near & (wearer.regions == _LEGS) & (place < min(new, old))  # skin that shows through torn jeans
        if abs(new - old) < _SAME_LEG:
            continue
        if new > old:
            target |= mine & (wearer.regions == _LEGS) & (place <= min(new, 2.0))
        else:
            target &= ~(mine & (place > new))
    return target


def _trousers_on_legs(wearer: Person, worn: _BoolArray) -> _BoolArray:
    """Return trousers of a wearer in a skirt: below it they follow the legs."""
    shown = wearer.regions == _LEGS
    if not shown.any():
        return worn
    below = np.arange(len(worn))[:, None] > np.median(shown.argmax(0)[shown.any(0)])
    target: _BoolArray = worn & ~below
    legs = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in legs], axis=0)
    for index, (place, _) in enumerate(legs):
        end = _end(place, worn & (nearest == index))
        target |= shown & (nearest == index) & below & (place <= min(end or 0, 2.0))
    size = torso_length(wearer)
    hips = ~below | (np.arange(len(worn))[:, None] < below.argmax() + _AT_HEM * size)
    even = smoothed(without_hip_bumps(closed(target & hips, _SLIT * size), size), _EVEN_LEG * size)
    target = np.where(hips, even, target)
    return _without_specks(target & ~np.isin(wearer.regions, (_HAIR, _FACE, _UPPER, _ARMS)))


def _without_specks(mask: _BoolArray) -> _BoolArray:
    """Return a mask without pieces much smaller than the largest: hips of wide garments beyond a hanging arm."""
    from scipy import ndimage

    pieces, num = ndimage.label(mask)
    if num < 2:
        return mask
    areas = np.bincount(pieces.ravel())[1:]
    kept: _BoolArray = np.concatenate([[False], areas >= _SPECK * areas.max()])[pieces]
    return kept


def _top(wearer: Person, worn: _BoolArray, sleeves: _BoolArray) -> _BoolArray:
    own = wearer.regions == _UPPER
    if own.sum() < _LEAST_OWN * worn.sum():
        return worn
    target, on_arms = sleeved(wearer, sleeves, own)
    size = torso_length(wearer)
    trunk = ~on_arms & between_shoulders(wearer)
    new, old = _hem(worn & trunk), _hem(own & trunk)
    rows = np.arange(len(worn))[:, None]
    below_waist = np.isin(wearer.regions, (_PANTS, _SKIRT))
    over = round(_OVERHANG * size)  # the hem of the old top, where the map gives it to the trousers
    for down in range(1, over + 1):
        target[down:] |= own[:-down] & below_waist[down:]
    target = _with_smooth_end(target, trunk & below_waist, size)
    if new > old + _SAME_HEM * size:
        target |= below_waist & (rows <= _hem_line(worn & ~on_arms))
    elif new < old - _COAT * size:
        target &= on_arms | (rows <= new)
    return target


def _cut_at_hem(wearer: Person, worn: _BoolArray, target: _BoolArray, sleeves: _BoolArray) -> _BoolArray:
    """Return a top without what is longer than its place: squeezed into it, stripes would crowd at the hem.

    Shape:
        worn, target, sleeves, result: (H, W).
    """
    trunk = ~sleeves & between_shoulders(wearer)
    end = _hem(target & trunk)
    rows = np.arange(len(worn))[:, None]
    return worn & (sleeves | (rows <= end)) if _hem(worn & trunk) > end else worn


def _with_smooth_end(target: _BoolArray, zone: _BoolArray, size: float) -> _BoolArray:
    """Return a top whose hem is smooth where it lies over trousers or a skirt.

    Shape:
        target, zone, result: (H, W).
    """
    from scipy import ndimage

    rows = np.arange(len(target))[:, None]
    ends = np.where(target & (zone | np.roll(zone, -1, 0)), rows, 0).max(0).astype(np.float32)
    columns = np.flatnonzero(ends)
    if not len(columns):
        return target
    even = ndimage.median_filter(ends[columns], max(3, round(_EVEN[0] * size)), mode="nearest")
    hem = np.zeros(target.shape[1])
    hem[columns] = ndimage.gaussian_filter1d(even, _EVEN[1] * size, mode="nearest")
    over = zone & (hem > 0)
    return np.asarray((target | (over & (rows <= hem))) & ~(over & (rows > hem)), np.bool_)


def between_shoulders(wearer: Person) -> _BoolArray:
    """Return the columns between the shoulders, (1, W): sleeves of lifted arms have no hem; all if one is unknown."""
    columns = np.arange(wearer.regions.shape[1])[None]
    shoulders = wearer.joints[[JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")]]
    if not (shoulders[:, 2] > 0).all():
        return np.ones_like(columns, bool)
    return np.asarray((columns >= shoulders[:, 0].min()) & (columns <= shoulders[:, 0].max()))


def _dress(wearer: Person, worn: _BoolArray, sleeves: _BoolArray) -> _BoolArray:
    own = wearer.regions == _UPPER
    below = np.broadcast_to(below_hips(wearer, 0.2), worn.shape)
    target, _ = sleeved(wearer, sleeves, own)
    skirt = _skirt(wearer, worn & below & _flaring(wearer, below), (_HAIR, _FACE, _ARMS))
    above_hem = np.arange(len(worn))[:, None] <= _hem(skirt)
    found: _BoolArray = skirt | (target & (~below | above_hem))
    return found


def _flaring(wearer: Person, below: _BoolArray) -> _BoolArray:
    """Return where a skirt may be: at its waist as wide as the body, farther down wider."""
    rows = np.flatnonzero(below.any(1))
    allowed = below.copy()
    if not len(rows):
        return allowed
    hips = wearer.regions[rows[0] : rows[0] + round(_HIPS * torso_length(wearer))]
    body = np.flatnonzero(np.isin(hips, (_PANTS, _SKIRT, _UPPER)).any(0))  # a jacket may cover most of the hips
    if not len(body):
        return allowed
    more = _FLARE * (np.arange(len(below)) - rows[0])[:, None] + _ROUGH * torso_length(wearer)
    columns = np.arange(below.shape[1])
    allowed &= (columns > body[0] - more) & (columns < body[-1] + more)
    return allowed


def _skirt(wearer: Person, worn: _BoolArray, in_front: tuple[int, ...] = (_HAIR, _FACE, _UPPER, _ARMS)) -> _BoolArray:
    size = torso_length(wearer)
    worn, hem = _with_even_hem(_with_even_sides(worn, size), size)
    rows = np.arange(len(worn))[:, None]
    own = np.isin(wearer.regions, (_PANTS, _SKIRT))
    front = np.isin(wearer.regions, in_front)
    target: _BoolArray = (worn | (own & (rows <= hem))) & ~front
    seen = target if wearer.carried is None else target & ~wearer.carried
    return target & ~(seen & ~_without_specks(seen))


def _with_even_sides(worn: _BoolArray, size: float) -> _BoolArray:
    """Return a skirt without bays, such as hands leave in its sides, and without bumps: its convex hull."""
    from scipy import ndimage
    from skimage.morphology import convex_hull_image

    border = round(_BUMP * size) + 2
    inside = ndimage.distance_transform_edt(np.pad(worn, border)) > _BUMP * size
    smooth = (ndimage.distance_transform_edt(~inside) <= _BUMP * size)[border:-border, border:-border]
    if not smooth.any():
        return worn
    return np.asarray(convex_hull_image(smooth), np.bool_)  # type: ignore[no-untyped-call]


def _with_even_hem(worn: _BoolArray, size: float) -> tuple[_BoolArray, FloatArray]:
    """Return a skirt with a smooth hem, and the hem's row in each column, 0 beside the skirt, (W,)."""
    from scipy import ndimage

    columns = np.flatnonzero(worn.any(0))
    hem = np.zeros(worn.shape[1], np.float32)
    if not len(columns):
        return worn, hem
    rows = np.arange(len(worn))[:, None]
    ends = np.where(worn, rows, 0).max(0)[columns].astype(np.float32)
    even = ndimage.median_filter(ends, max(3, round(_HEM[0] * size)), mode="nearest")
    even = ndimage.gaussian_filter1d(even, _HEM[1] * size, mode="nearest")
    hem[columns] = np.minimum(even, ends + _HEM[3] * size)  # the corners of a flared skirt stay round
    starts = np.where(worn.any(0), worn.argmax(0), len(worn))
    return (rows >= starts) & (rows <= hem) & ((rows > hem - _HEM[2] * size) | worn), hem


def _end(place: FloatArray, pixels: _BoolArray) -> float | None:
    """Return how far along a limb a garment reaches; None if it is not there."""
    found = place[pixels & (place < 2.2)]
    return float(np.quantile(found, 0.97)) if len(found) > 20 else None


def _hem(worn: _BoolArray) -> float:
    """Return the row where a garment ends: the median of the columns that reach far down."""
    rows = np.arange(len(worn))[:, None]
    ends = np.where(worn, rows, 0).max(0)
    ends = ends[ends > 0]
    return float(np.quantile(ends, 0.6)) if len(ends) else 0.0


def _hem_line(worn: _BoolArray) -> FloatArray:
    """Return the row where a garment ends in each column, smoothed, (W,)."""
    from scipy import ndimage

    rows = np.arange(len(worn))[:, None]
    ends = np.where(worn, rows, 0).max(0).astype(np.float32)
    columns = np.flatnonzero(ends)
    first, last = np.quantile(columns, (0.3, 0.7))
    inner = columns[(columns >= first) & (columns <= last)]
    line = np.interp(np.arange(worn.shape[1]), inner, ends[inner])
    width = max(3, len(inner) // 3)
    smooth: FloatArray = ndimage.gaussian_filter1d(ndimage.median_filter(line, width, mode="nearest"), width / 4)
    return smooth
