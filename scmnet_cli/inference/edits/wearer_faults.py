"""Correct the region map of a person who gets a new garment, where the colours and edges of the photo contradict it.

Each fault is a kind of mistake of the analyser: shadows that count as trousers, gaps between fingers that count as a
hand, cloth that counts as the bag before it, shoulders that count as background.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.images.morphology import grown, shrunk
from scmnet_cli.images.morphology import within as within_distance
from scmnet_cli.inference.edits.bare_skin import like_skin
from scmnet_cli.inference.edits.cuffs import cuffs_at_hands
from scmnet_cli.inference.edits.hip_flaps import flaps_at_hands
from scmnet_cli.inference.edits.mirrored_hands import mirrored_hands
from scmnet_cli.inference.garments import ON_TORSO
from scmnet_cli.inference.graph_cut import inside_of_cut, told_apart
from scmnet_cli.inference.limb_places import (
    BESIDE_CLOTHES,
    below_hips,
    column_of_limb,
    limb_places,
    torso_length,
    within,
)
from scmnet_cli.inference.shape_matching import closed, smoothed
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Person, UInt8Array

_BoolArray = npt.NDArray[np.bool_]

_PANTS, _SKIRT, _UPPER, _ARMS = (region_id(name) for name in ("pants", "skirt", "upper", "arms"))
_GARMENTS = (_PANTS, _SKIRT, _UPPER)
_CLOTHES = ("upper", "dress", "pants", "skirt")
_WATCH, _WRIST = 0.05, (1.7, 2.05)
"""Half width of a watch in torso lengths, and where on an arm it may be, in lengths of its bones."""
_LIMB, _THIGH, _RIM, _BETA = 0.1, 0.15, 0.08, 300
"""Half width of the sure part of a limb in torso lengths, where on the thigh it begins, width of the doubtful rim of a
garment, and weight of colour differences for random walks."""
_BESIDE = 0.03
"""Share of the height beside trousers that gives the colours there."""
_KNEE, _WIDENS, _SLACK, _NARROW, _LEAST_SHADOW = 0.5, 0.12, 0.03, 0.08, 0.005
"""Where on a leg shadows are looked for; by how much a trouser leg widens over a bone; by how much more, and over
which half width, it is a shadow, in torso lengths; and its least area, in squared torso lengths."""
_LOWER_LEG = 0.8  # lengths of a bone from the hip: skirts are seen higher
_ROUNDS = 3  # of cutting shadows off
_PLACES, _LEAST_SEEN = 0.05, 5
"""Length of a piece of a leg whose width is measured, in bones, and pixels that it needs."""
_MIDDLE, _NEAR = 0.05, 0.25
"""Half width of a leg's sure middle, and distance of the background that gives the colours beside it."""
_FINGERS, _FOREARM, _HAND, _BESIDE_HAND, _TOUCHING, _MOST_WRONG = 2.2, (1.2, 2.1), 0.03, 0.12, 0.03, 0.35
"""Where on an arm fingers begin; where a forearm is and half the width of its middle; how far beside a hand colours
count; how near to clothes a part of an arm may be cloth; the largest share of it that is."""
_BAG_EDGE, _BAG_RIM, _BAG_INSIDE, _LEAST_BAG = 0.015, 0.12, 0.05, 0.01
"""Torso lengths: widths of a bag's mixed edge and of its rim that may be cloth, and depth of its sure inside; the least
area of that in squared torso lengths."""
_EVEN_BAG = (0.02, 0.04)
"""Torso lengths: smoothness of a bag's outline and half width of gaps beside it, how near to clothes it is evened."""
_TOLD = (0.7, 0.85)
"""Share of the pixels of a bag, and of a garment, whose colours must tell them from what is beside them."""


_SURELY_TOLD, _LARGE_SHADOW = 0.9, 0.075
"""Share of the pixels of the legs whose colours must tell them from the ground; squared torso lengths of a shadow."""
_SCRAP, _SURROUNDED = 0.02, 0.75
"""Area of a scrap of a garment in squared torso lengths, and the share of its surroundings that are another's."""
_HEM = 0.04
"""Torso lengths on both sides of a hem within which the region map is doubtful."""


_DARK = 0.4
"""Pixels of arms that are darker than this, relative to the median, are no typical skin."""


def corrected(wearer: Person, kind: str) -> Person:
    """Correct the wearer's region map where the photo contradicts it.

    Args:
        wearer: in the old clothes; without a ``scene`` nothing is corrected.
        kind: kind of the new garment.
    """
    if kind not in _CLOTHES or wearer.scene is None:
        return wearer
    wearer = _relabelled(wearer, _at_wrists(wearer), _ARMS)
    wearer = _relabelled(wearer, flaps_at_hands(wearer), BACKGROUND)
    if kind in ON_TORSO:
        wearer = _relabelled(wearer, cuffs_at_hands(wearer), _UPPER)
    own = wearer.regions == _PANTS
    if kind != "upper" and own.any():
        wearer = _relabelled(wearer, _shadows(wearer, own), BACKGROUND)
    own = wearer.regions == _PANTS
    if kind == "pants" and own.any():
        wearer = _relabelled(wearer, _beside_trousers(wearer, own) | _ground(wearer, own), BACKGROUND)
    wearer = _without_islands(_hems(_even_bags(_cloth_at_bags(wearer))))
    wearer = _relabelled(wearer, mirrored_hands(wearer), _nearest_cloth(wearer))
    return _relabelled(wearer, *_no_hand(wearer))


def trousers_corrected(reference: Person) -> Person:
    """Correct the trousers of a person from whom others get them.

    Lower halves of legs that count as a skirt belong to them; ground between the legs and shadows do not. Without a
    ``scene`` nothing is corrected.
    """
    from scipy import ndimage

    own = reference.regions == _PANTS
    if reference.scene is None or not own.any():
        return reference
    places, beside = zip(*limb_places(reference)[2:], strict=True)
    lower = (reference.regions == _SKIRT) & (np.where(beside[0] < beside[1], *places) > _LOWER_LEG)
    reference = _relabelled(reference, lower & ndimage.binary_propagation(own, mask=own | lower), _PANTS)
    own = reference.regions == _PANTS
    return _relabelled(reference, _shadows(reference, own) | _ground(reference, own), BACKGROUND)


def without_shadows(person: Person) -> Person:
    """Take large shadows beside the calves and ground between the legs off the trousers, where colours tell them apart.

    Small ones are as often puffy cuffs and crossed legs. Without a ``scene`` nothing is changed.
    """
    own = person.regions == _PANTS
    if person.scene is None or not own.any():
        return person
    middle, outside, _ = _legs_and_ground(person, own)
    if told_apart(person.scene, middle, outside) < _SURELY_TOLD:
        return person
    shadows, ground = _shadows(person, own), _ground(person, own)
    if shadows.sum() > _LARGE_SHADOW * torso_length(person) ** 2:
        ground |= shadows
    return _relabelled(person, ground, BACKGROUND)


def _legs_and_ground(person: Person, own: _BoolArray) -> tuple[_BoolArray, _BoolArray, _BoolArray]:
    """Return the middle of both legs, the background beside them, and all below the hips."""
    away = np.minimum(*(beside for _, beside in limb_places(person)[2:]))
    below = below_hips(person)
    near = within_distance(own, _NEAR * torso_length(person))
    return own & (away < _MIDDLE), (person.regions == BACKGROUND) & near & below, below


def _ground(person: Person, own: _BoolArray) -> _BoolArray:
    """Return what the region map takes for trousers between and beside the legs, though it has the ground's colours."""
    assert person.scene is not None
    middle, outside, below = _legs_and_ground(person, own)
    doubtful = own & ~middle & below
    wrong = doubtful & ~inside_of_cut(person.scene, middle, outside, doubtful, own)
    return grown(shrunk(wrong, 2, diagonal=False), 2, diagonal=False)


def _relabelled(wearer: Person, pixels: _BoolArray, labels: int | UInt8Array) -> Person:
    """Return a person some of whose pixels have other labels; what becomes background is plain."""
    if not pixels.any():
        return wearer
    assert wearer.scene is not None
    regions = np.where(pixels, np.uint8(labels) if isinstance(labels, int) else labels, wearer.regions)
    image = np.where(pixels[..., None], wearer.scene, wearer.image)
    image = np.where((pixels & (regions == BACKGROUND))[..., None], np.uint8(PLAIN_GREY), image)
    return replace(wearer, regions=regions.astype(np.uint8), image=image)


def _at_wrists(wearer: Person) -> _BoolArray:
    """Return what the region map leaves out between a forearm and its hand: a watch or a bracelet."""
    arms = wearer.regions == _ARMS
    closing = closed(arms, _WATCH * torso_length(wearer)) & (wearer.regions == BACKGROUND)
    near = np.zeros_like(arms)
    for place, away in limb_places(wearer)[:2]:
        near |= (away < _LIMB) & within(place, _WRIST)
    return np.asarray(closing & near, np.bool_)


def _shadows(wearer: Person, own: _BoolArray) -> _BoolArray:
    """Return what the region map takes for trousers below the knees, though no leg is so wide: a shadow on the ground.

    The width of a leg tells where the shadow is, its colours tell how far it reaches.
    """
    assert wearer.scene is not None
    wide = grown(shrunk(_too_wide(wearer, own), 2, diagonal=False), 2, diagonal=False)
    size = torso_length(wearer)
    if wide.sum() < _LEAST_SHADOW * size**2:
        return np.zeros_like(own)
    from scipy import ndimage

    places, beside = zip(*limb_places(wearer)[2:], strict=True)
    away = np.minimum(*beside)
    below = np.where(beside[0] < beside[1], *places) > _KNEE + 0.3
    middle = own & below & (away < _MIDDLE)
    near = ndimage.distance_transform_edt(~own) < _NEAR * size
    doubtful, shadow = own & below & ~middle & ~wide, wide
    for _ in range(_ROUNDS):  # each tells the next more of the shadow's colours
        outside = shadow | ((wearer.regions == BACKGROUND) & near & below)
        shadow = wide | (doubtful & ~inside_of_cut(wearer.scene, middle, outside, doubtful))
    legs = own & ~shadow
    solid = ndimage.binary_dilation(ndimage.binary_opening(legs, iterations=4), iterations=3)
    return np.asarray(own & below & ~(legs & solid), np.bool_)


def _too_wide(wearer: Person, own: _BoolArray) -> _BoolArray:
    """Return the pixels of trousers that lie farther from the leg than its width above and below allows."""
    legs = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in legs], axis=0)
    columns = np.arange(own.shape[1])
    wide = np.zeros_like(own)
    for index, ((place, away), limb) in enumerate(zip(legs, LIMBS[2:], strict=True)):
        side = np.sign(columns - column_of_limb(wearer, limb)[:, None])
        piece = ((place - _KNEE) / _PLACES).astype(np.int64)
        for left_or_right in (-1, 1):
            mine = own & (nearest == index) & (side == left_or_right) & within(place, (_KNEE, 2.1))
            widths = np.full(round(1.6 / _PLACES), np.nan)
            for number in range(len(widths)):
                seen = away[mine & (piece == number)]
                if len(seen) > _LEAST_SEEN:
                    widths[number] = np.quantile(seen, 0.97)
            known = np.flatnonzero(np.isfinite(widths))
            if len(known) < _LEAST_SEEN:
                continue
            apart = _WIDENS * _PLACES * abs(np.arange(len(widths))[:, None] - known)
            allowed = np.maximum((widths[known] + apart).min(1) + _SLACK, _NARROW)
            wide |= mine & (away > allowed[piece.clip(0, len(widths) - 1)])
    return wide


def _beside_trousers(wearer: Person, own: _BoolArray) -> _BoolArray:
    """Return what the region map takes for trousers beside the legs, though the photo's edges separate it from them."""
    from scipy import ndimage

    assert wearer.scene is not None
    places, beside = zip(*limb_places(wearer)[2:], strict=True)
    right, left = (column_of_limb(wearer, leg) for leg in LIMBS[2:])
    columns = np.arange(own.shape[1])
    between = (columns > np.minimum(right, left)[:, None]) & (columns < np.maximum(right, left)[:, None])
    rim = (np.minimum(*beside) > _LIMB) & (np.maximum(*places) > _THIGH) & ~between
    rim &= ndimage.distance_transform_edt(own) < _RIM * torso_length(wearer)
    return _separate(wearer.scene, own & rim, own)


def _separate(scene: UInt8Array, doubtful: _BoolArray, own: _BoolArray) -> _BoolArray:
    """Return the doubtful pixels of a garment that belong to what is beside it: random walks reach that first.

    A piece counts only if some of its colours are those of what is beside the garment too.

    Shape:
        scene: (H, W, 3); doubtful, own, result: (H, W).
    """
    from scipy import ndimage
    from skimage.segmentation import random_walker

    if not doubtful.any() or not (own & ~doubtful).any():
        return np.zeros_like(own)
    seeds = np.where(doubtful, 0, np.where(own, 1, 2))
    rows, columns = (np.flatnonzero(doubtful.any(axis)) for axis in (1, 0))
    box = (slice(max(0, rows[0] - 4), rows[-1] + 5), slice(max(0, columns[0] - 4), columns[-1] + 5))
    if len(np.unique(seeds[box])) < 3:
        return np.zeros_like(own)
    smooth = ndimage.gaussian_filter(scene.astype(np.float64) / 255, (1, 1, 0))
    found = np.zeros_like(own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found[box] = random_walker(smooth[box], seeds[box], beta=_BETA, mode="cg_j", channel_axis=-1) == 2
    found = ndimage.binary_opening(found & doubtful, iterations=2)
    beside = ~own & (ndimage.distance_transform_edt(~own) < len(own) * _BESIDE)
    by_colour = doubtful & ~inside_of_cut(scene, own & ~doubtful, beside, doubtful)
    by_colour = ndimage.binary_opening(by_colour, iterations=2)
    return np.asarray(ndimage.binary_propagation(found & by_colour, mask=found), np.bool_)


def _nearest_cloth(wearer: Person) -> UInt8Array:
    """Return the garment that is nearest to each pixel, (H, W)."""
    from scipy import ndimage

    cloth = np.isin(wearer.regions, _GARMENTS)
    rows, columns = ndimage.distance_transform_edt(~cloth, return_distances=False, return_indices=True)
    return np.asarray(wearer.regions[rows, columns], np.uint8)


def _no_hand(wearer: Person) -> tuple[_BoolArray, UInt8Array]:
    """Return what the region map takes for a hand, though it is cloth beside it or a gap between fingers.

    Returns:
        its pixels, and the labels of what is there instead, (H, W).
    """
    from scipy import ndimage

    assert wearer.scene is not None
    own, size = wearer.regions == _ARMS, torso_length(wearer)
    found = np.zeros_like(own)
    beside = np.isin(wearer.regions, (BACKGROUND, *_GARMENTS))
    if not own.any() or not beside.any():
        return found, wearer.regions
    away_from_arms = ndimage.distance_transform_edt(~own)
    cloth = np.isin(wearer.regions, _GARMENTS)
    at_cloth = ndimage.distance_transform_edt(~cloth) < _TOUCHING * size if cloth.any() else cloth
    beside_hips = below_hips(wearer, BESIDE_CLOTHES)  # a hand before the chest may hold a phone
    skin, light = like_skin(wearer), wearer.scene.mean(-1)
    typical = own & (light > _DARK * np.median(light[own]))
    for place, away in limb_places(wearer)[:2]:
        lower = (place > _FOREARM[0]) & (away < 2 * _LIMB)
        middle = own & within(place, _FOREARM) & (away < _HAND) & (ndimage.distance_transform_edt(own) > 2)
        outside = beside & lower & (away_from_arms < _BESIDE_HAND * size) & (away_from_arms > 2)
        doubtful = own & lower & ~middle & ((place > _FINGERS) | at_cloth) & beside_hips
        wrong = doubtful & ~inside_of_cut(wearer.scene, middle, outside, doubtful, typical) & ~skin
        if wrong.sum() < _MOST_WRONG * doubtful.sum():  # else colours do not tell what is skin
            found |= wrong
    pieces, _ = ndimage.label(found, np.ones((3, 3)))
    at_edge = np.unique(pieces[ndimage.binary_dilation(wearer.regions == BACKGROUND, iterations=2)])
    of_cloth = np.unique(pieces[ndimage.binary_dilation(cloth, iterations=2)])
    found &= np.isin(pieces, of_cloth) | ~np.isin(pieces, at_edge)  # at the background, bright skin looks like it
    rows, columns = ndimage.distance_transform_edt(~beside, return_distances=False, return_indices=True)
    gap = ~np.isin(pieces, of_cloth)
    return found, np.where(gap, np.uint8(BACKGROUND), wearer.regions[rows, columns])


def _cloth_at_bags(wearer: Person) -> Person:
    """Return a person whose clothes reach to the bags before them: the rim of a bag may show the cloth beside it."""
    from scipy import ndimage

    if wearer.carried is None or not wearer.carried.any():
        return wearer
    assert wearer.scene is not None
    size = torso_length(wearer)
    carried = wearer.carried
    free = carried | (wearer.regions == BACKGROUND)
    near_bag = ndimage.distance_transform_edt(~carried) < _BAG_EDGE * size
    inside_bag = carried & (ndimage.distance_transform_edt(carried) > _BAG_INSIDE * size)
    if inside_bag.sum() < _LEAST_BAG * size**2:
        return wearer
    for region in _GARMENTS:
        own = wearer.regions == region
        if not (ndimage.binary_dilation(own, iterations=3) & near_bag).any():
            continue
        near = ndimage.distance_transform_edt(~own)
        beside_bag = own & (ndimage.distance_transform_edt(~carried) < 2 * _BAG_RIM * size)
        if told_apart(wearer.scene, inside_bag, beside_bag) < _TOLD[0]:
            continue
        doubtful = free & near_bag & (near < _BAG_RIM * size) & ~inside_bag
        outside = inside_bag | (free & (near > _BAG_RIM * size) & (near < 3 * _BAG_RIM * size))
        cloth = doubtful & ~inside_of_cut(wearer.scene, outside, beside_bag, doubtful, outside | carried)
        cloth = ndimage.binary_propagation(own, mask=own | cloth) & cloth
        cloth = ndimage.binary_opening(cloth | own, iterations=1) & cloth
        cloth |= _enclosed(own | cloth, doubtful & ~cloth, _SCRAP * size**2)
        wearer = _relabelled(wearer, cloth, region)
        carried = carried & ~cloth
    return replace(wearer, carried=carried)


def _even_bags(wearer: Person) -> Person:
    """Return a person whose bags have a smooth outline before the clothes, without slivers of background between."""
    from scipy import ndimage

    if wearer.carried is None or not wearer.carried.any():
        return wearer
    size = torso_length(wearer)
    cloth = np.isin(wearer.regions, _GARMENTS)
    free = wearer.regions == BACKGROUND
    near = (ndimage.distance_transform_edt(~cloth) < _EVEN_BAG[1] * size) if cloth.any() else cloth
    slivers = free & near & closed(wearer.carried | cloth, _EVEN_BAG[0] * size)
    slivers &= ndimage.distance_transform_edt(~wearer.carried) < 2 * _EVEN_BAG[0] * size
    carried = wearer.carried | slivers
    even = smoothed(carried, _EVEN_BAG[0] * size)
    lost, won = carried & free & near & ~even, cloth & even
    wearer = _relabelled(wearer, lost, _nearest_cloth(wearer))
    wearer = _relabelled(wearer, won, BACKGROUND)
    return replace(wearer, carried=(carried & ~lost) | won)


def _without_islands(wearer: Person) -> Person:
    """Return a person without scraps of one garment inside another, such as buckles."""
    most = _SCRAP * torso_length(wearer) ** 2
    for region in _GARMENTS:
        own = wearer.regions == region
        others = np.isin(wearer.regions, [other for other in _GARMENTS if other != region])
        wearer = _relabelled(wearer, _enclosed(own, others, most), region)
    return wearer


def _enclosed(own: _BoolArray, others: _BoolArray, most: float) -> _BoolArray:
    """Return the pieces of a mask, smaller than ``most`` pixels, whose surroundings belong to another mask."""
    from scipy import ndimage

    pieces, num = ndimage.label(others, np.ones((3, 3)))
    if not num or not own.any():
        return np.zeros_like(own)
    areas = np.bincount(pieces.ravel(), minlength=num + 1)
    rows, columns = ndimage.distance_transform_edt(~others, return_distances=False, return_indices=True)
    ring = ndimage.binary_dilation(others, iterations=2) & ~others
    number = pieces[rows, columns][ring]
    around = np.bincount(number, minlength=num + 1)
    of_own = np.bincount(number, own[ring], minlength=num + 1)
    small = (areas < most) & (of_own > _SURROUNDED * around) & (np.arange(num + 1) > 0)
    return np.asarray(small[pieces], np.bool_)


def _hems(wearer: Person) -> Person:
    """Return a person whose top ends where colours change to those of the trousers or the skirt below."""
    from scipy import ndimage

    assert wearer.scene is not None
    upper = wearer.regions == _UPPER
    size = torso_length(wearer)
    for region in (_PANTS, _SKIRT):
        below = wearer.regions == region
        if not (ndimage.binary_dilation(upper, iterations=2) & below).any():
            continue
        to_upper, to_below = (ndimage.distance_transform_edt(~mask) for mask in (upper, below))
        rim = _HEM * size
        doubtful = (below & (to_upper < rim)) | (upper & (to_below < rim))
        inside = below & ~doubtful & (to_upper < 4 * rim)
        outside = upper & ~doubtful & (to_below < 4 * rim)
        apart = (told_apart(wearer.scene, one, other) for one, other in ((inside, outside), (outside, inside)))
        if min(apart) < _TOLD[1]:
            continue
        found = inside_of_cut(wearer.scene, inside, outside, doubtful)
        found = doubtful & ndimage.median_filter(np.where(doubtful, found, below).astype(np.uint8), 5).astype(np.bool_)
        wearer = _relabelled(wearer, doubtful, np.where(found, np.uint8(region), np.uint8(_UPPER)).astype(np.uint8))
        upper = wearer.regions == _UPPER
    return wearer
