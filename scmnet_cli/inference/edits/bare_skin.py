"""Bare arms and legs below a shorter garment: their outline, and the colour and light of the wearer's own skin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import bone_coordinates, column_of_limb, limb_places, torso_length
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_LEG_WIDTHS = ((0.17, 0.16, 0.13, 0.11), (0.11, 0.12, 0.105, 0.075, 0.06))
_ARM_WIDTHS = ((0.12, 0.095, 0.085), (0.085, 0.08, 0.06, 0.055))
"""Half widths of bare legs and arms at equal distances along their two bones, in torso lengths."""
_LEG_PLACES = np.concatenate([start + np.linspace(0, 1, len(widths)) for start, widths in enumerate(_LEG_WIDTHS)])
_GIRTHS = (0.75, 1.2)
"""Limits of a leg's width relative to these."""
_SIDES, _BEGINS, _EVENS = (0.5, 1.6), 0.15, 0.25
"""Limits of the width of one side of a leg where it begins to show, relative to the typical one; lengths of a bone that
tell it; and over which it becomes the leg's mean width."""
_TIGHT = 1.15
"""Up to this multiple of a limb's width a garment is tight, so the limb has the garment's outline."""
_PAST_END = (1.1, 1.6)
"""Where a limb ends, in lengths of each of its bones."""
_LIMB_EDGE = 0.015
"""Soft edge of a bare limb in torso lengths."""
_SHADING = 0.25
"""How much darker a bare limb is at its outline."""
_SLICES, _LEAST_IN_SLICE, _UNSEEN_EDGE, _ROUND = 17, 5, 0.1, (0.6, 1.2)
"""Slices across a leg that shows, pixels that a slice needs, weight of the usual shade at an outline, against all of
them, and limits of the light across a leg, relative to its usual light."""
_SEAM, _SEEN, _ABOVE_SHOE, _LEAST_SHOWN = 0.03, 0.4, 1.85, 0.004
"""From where to where below a bared leg it is looked at, in lengths of a bone, not below the shoe's top; its least
area, in squared torso lengths."""
_SKIN_HUE, _SKIN_LIGHT, _LEAST_REDNESS = (0.5, 2.0), (0.25, 1.6), 0.03
"""Limits of redness, (red - blue) / sum, and of lightness of skin, relative to the median of face and arms, and the
redness from which it tells skin."""
_MIXED = 0.012
"""Torso lengths from a leg's outline within which its pixels mix with others."""
_MET, _FADES, _SPOTS_FADE = 0.03, 0.4, 0.06
"""Torso lengths below a bared leg that give its colour there, over which that colour fades, and what is special in each
column does."""
_LEAST_SKIN = 0.001  # share of the canvas
_LIT, _LIKE_LIT = 0.65, 8.0
"""Quantile of lightness of the skin that gives its colour, since eyes, hair and shadows are darker; grey levels."""
_VARIATION = 20.0  # of 255: the largest deviation from the skin's colour


def bare_limbs(wearer: Person) -> tuple[FloatArray, FloatArray]:
    """Return a soft mask of bare limbs around the wearer's joints, and their shading: darker towards their outlines.

    Garments are wider than the limbs inside.

    Shape:
        results: (H, W) in [0, 1].
    """
    arm, leg = (wearer.regions == region_id(name) for name in ("upper", "pants"))
    inside = np.zeros(wearer.regions.shape, np.float32)
    edge = np.ones(wearer.regions.shape, np.float32)
    girths = [np.ones_like(inside)] * 2 + _leg_girths(wearer)
    clothed = [np.ones_like(inside)] * 2 + _away_from_shown_legs(wearer)
    widths_of_limbs = (_ARM_WIDTHS, _ARM_WIDTHS, _LEG_WIDTHS, _LEG_WIDTHS)
    for bones, widths_of_bones, girth, away, tight in zip(
        bone_coordinates(wearer), widths_of_limbs, girths, clothed, (arm, arm, leg, leg), strict=True
    ):
        reach = 1 + (_TIGHT - 1) * away
        for past_end, (u, v), widths in zip(_PAST_END, bones, widths_of_bones, strict=True):
            width = girth * np.interp(u, np.linspace(0, 1, len(widths)), widths)
            width = np.where((u > -0.1) & (u < past_end), width, 0)
            inside = np.maximum(inside, ((width - v) / _LIMB_EDGE + 0.5).clip(0, 1) * (width > 0))
            inside = np.maximum(inside, tight * ((reach * width - v) / _LIMB_EDGE + 0.5).clip(0, 1) * (width > 0))
            edge = np.minimum(edge, v / width.clip(min=1e-6))
    return inside.astype(np.float32), (1 - _SHADING * edge.clip(0, 1) ** 2).astype(np.float32)


def _away_from_shown_legs(wearer: Person) -> list[FloatArray]:
    """Return how far above the part of each leg that shows a pixel is, (H, W) in [0, 1] each; 1 where none shows.

    A leg has no step where it begins to show.
    """
    shown = wearer.regions == region_id("legs")
    legs = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in legs], axis=0)
    found = []
    for index, (place, away) in enumerate(legs):
        seen = shown & (nearest == index) & (place < _ABOVE_SHOE) & (away < 2 * _LEG_WIDTHS[0][0])
        if seen.sum() < _LEAST_SHOWN * torso_length(wearer) ** 2:
            found.append(np.ones(shown.shape, np.float32))
            continue
        top = float(np.quantile(place[seen], 0.05))
        found.append(((top - place) / _EVENS).clip(0, 1).astype(np.float32))
    return found


def _leg_girths(wearer: Person) -> list[FloatArray]:
    """Return how wide each leg is, relative to the typical widths, (H, W) each; 1 where none of it shows.

    Where a leg begins to show, each of its sides has the width that it has there; farther up both have its mean width.
    """
    shown = wearer.regions == region_id("legs")
    legs = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in legs], axis=0)
    size = torso_length(wearer)
    columns = np.arange(shown.shape[1])
    girths = []
    for index, (place, away) in enumerate(legs):
        girth = np.ones(shown.shape, np.float32)
        girths.append(girth)
        seen = shown & (nearest == index) & (place < _ABOVE_SHOE) & (away < 2 * _LEG_WIDTHS[0][0])
        if seen.sum() < _LEAST_SHOWN * size**2:
            continue
        top = float(np.quantile(place[seen], 0.05))
        seen &= place < top + _SEEN
        typical = np.interp(place, _LEG_PLACES, np.concatenate(_LEG_WIDTHS))
        counts = seen.sum(1)  # a leg is about vertical, so that its rows are as long as it is wide
        wide = 2 * size * (np.where(seen, typical, 0).sum(1) / counts.clip(min=1)).sum()
        girth += float(np.clip(counts.sum() / max(wide, 1e-6), *_GIRTHS)) - 1
        side = np.sign(columns - column_of_limb(wearer, LIMBS[2 + index])[:, None])
        share = np.exp(-(top - place).clip(0) / _EVENS)
        for left_or_right in (-1, 1):
            there = seen & (side == left_or_right) & (place < top + _BEGINS)
            if there.sum() >= _LEAST_IN_SLICE:
                own = np.clip(np.quantile(away[there] / typical[there], 0.95), *_SIDES)
                girth += np.where(side == left_or_right, share * (own - girth), 0)
    return girths


def skin_toned(wearer: Person, drawn: npt.NDArray[np.float32], skin: _BoolArray) -> npt.NDArray[np.float32]:
    """Give drawn pixels the colour of the wearer's lit skin: that of face and arms, and for legs that of legs too.

    Their lightness varies as it does in the drawn pixels, by half as much and up to a limit.
    """
    own = np.isin(wearer.regions, [region_id("arms"), region_id("face")])
    if not skin.any() or own.mean() <= _LEAST_SKIN:
        return drawn
    legs = (wearer.regions == region_id("legs")) & like_skin(wearer)
    places = [away for _, away in limb_places(wearer)]
    on_legs = np.minimum(*places[2:]) < np.minimum(*places[:2])
    toned = drawn.astype(np.float32)
    for part, seen in ((skin & ~on_legs, own & like_skin(wearer)), (skin & on_legs, own & like_skin(wearer) | legs)):
        if not part.any():
            continue
        colours = wearer.image[seen if seen.any() else own]
        lightness = colours.mean(-1)
        lit = colours[abs(lightness - np.quantile(lightness, _LIT)) <= _LIKE_LIT]
        light = drawn[part].mean(-1, keepdims=True)
        varied = lit.mean(0) + ((light - np.median(light)) / 2).clip(-_VARIATION, _VARIATION)
        toned[part] = varied.clip(0, 255)
    return toned


def legs_continued(wearer: Person, drawn: npt.NDArray[np.float32], skin: _BoolArray) -> npt.NDArray[np.float32]:
    """Continue legs that show below bared ones upwards, with the light across them.

    Shape:
        drawn, result: (H, W, 3); skin: (H, W).
    """
    from scipy import ndimage

    drawn = drawn.astype(np.float32)
    columns = np.arange(skin.shape[1])
    size = torso_length(wearer)
    legs = wearer.regions == region_id("legs")
    cloth = skin & ~legs
    shown = legs & ndimage.binary_erosion(legs | skin, iterations=max(1, round(_MIXED * size))) & like_skin(wearer)
    if cloth.any():
        shown &= ndimage.distance_transform_edt(~cloth) > _MET * size
    bones = bone_coordinates(wearer)[2:]
    places = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in places], axis=0)
    for index, ((place, _), ((_, upper), (_, lower)), limb) in enumerate(zip(places, bones, LIMBS[2:], strict=True)):
        mine = nearest == index
        bared = skin & mine & np.isfinite(upper)
        if not (bared & cloth).any():
            continue
        end = float(np.quantile(place[bared & cloth], 0.95))
        below = shown & mine & (place > end + _SEAM) & (place < min(end + _SEEN, _ABOVE_SHOE))
        width = np.interp(place, _LEG_PLACES, np.concatenate(_LEG_WIDTHS))
        across = np.sign(columns - column_of_limb(wearer, limb)[:, None]) * np.where(place > 1, lower, upper) / width
        slices = (across.clip(-1, 1) + 1) / 2 * (_SLICES - 1)
        number = slices.round().astype(np.int64)[below]
        counts = np.bincount(number, minlength=_SLICES)
        known = np.flatnonzero(counts >= _LEAST_IN_SLICE)
        if counts.sum() < _LEAST_SHOWN * size**2 or not len(known):
            continue
        colours = wearer.image[below].astype(np.float32)
        light = (np.bincount(number, colours.mean(-1), _SLICES)[known] / counts[known]).astype(np.float32)
        profile = _rounded(known, light, counts[known])
        drawn[bared] = np.median(colours, axis=0) * np.interp(slices[bared], np.arange(_SLICES), profile)[:, None]
        drawn = _evened(drawn, wearer, (bared, bared & cloth), shown & mine)
    return drawn


def _rounded(slices: npt.NDArray[np.int64], light: FloatArray, counts: npt.NDArray[np.int64]) -> FloatArray:
    """Return the light across a leg as on something round, relative to its usual light, (slices,).

    So spots of shadow do not become stripes along the leg, and where none of it shows it is darker at its outline.

    Shape:
        slices, light, counts: (num,), the slices that show, their light and numbers of pixels.
    """
    usual = float(np.average(light, weights=counts))
    places = np.append(slices, (0, _SLICES - 1))
    values = np.append(light / max(usual, 1.0), (1 - _SHADING, 1 - _SHADING))
    weights = np.sqrt(np.append(counts, (_UNSEEN_EDGE * counts.sum(),) * 2))
    degree = min(2, len(np.unique(places)) - 1)  # if only the outermost slice shows
    curve = np.polyval(np.polyfit(places, values, degree, w=weights), np.arange(_SLICES))
    return np.asarray(curve.clip(*_ROUND), np.float32)


def like_skin(wearer: Person) -> _BoolArray:
    """Return the pixels with the hue of the wearer's face and arms: shoes, socks and tights on legs have others.

    Shape:
        result: (H, W), all True if too little skin shows.
    """
    own = np.isin(wearer.regions, [region_id("arms"), region_id("face")])
    if own.mean() <= _LEAST_SKIN:
        return np.ones_like(own)
    image = wearer.image.astype(np.float32)
    redness = (image[..., 0] - image[..., 2]) / image.sum(-1).clip(1)
    typical, light = float(np.median(redness[own])), image.mean(-1) / max(float(np.median(image[own].mean(-1))), 1.0)
    if typical < _LEAST_REDNESS:
        return np.ones_like(own)
    found = (redness > _SKIN_HUE[0] * typical) & (redness < _SKIN_HUE[1] * typical)
    return np.asarray(found & (light > _SKIN_LIGHT[0]) & (light < _SKIN_LIGHT[1]), np.bool_)


def _evened(
    drawn: FloatArray, wearer: Person, drawn_leg: tuple[_BoolArray, _BoolArray], shown: _BoolArray
) -> FloatArray:
    """Let a bared leg have the colours of the leg below where they meet, and its own farther up.

    Args:
        drawn: (H, W, 3) colours.
        wearer: the person.
        drawn_leg: what is drawn of the leg, and the part of it that cloth covered.
        shown: what the photo shows of the leg.
    """
    from scipy import ndimage

    size = torso_length(wearer)
    bared, cloth = drawn_leg
    rows = np.arange(len(bared))[:, None]
    lowest = np.where(cloth, rows, -1).max(0)
    depth, gap = max(2, round(_MET * size)), max(2, round(_MET * size))
    below = shown & (rows > lowest) & (rows <= lowest + gap + depth)
    columns = np.flatnonzero((lowest >= 0) & (below.sum(0) >= depth))
    if not len(columns):
        return drawn
    there = below[:, columns]
    seen = (wearer.image[:, columns] * there[..., None]).sum(0) / there.sum(0)[:, None]
    off = ndimage.median_filter(seen - drawn[lowest[columns], columns], (5, 1), mode="nearest")
    off = ndimage.gaussian_filter1d(off, max(1.0, _MET / 2 * size), axis=0, mode="nearest")
    usual = np.median(off, axis=0)
    columnwise = [np.interp(np.arange(bared.shape[1]), columns, off[:, channel]) for channel in range(3)]
    above = ((lowest[None] - rows).clip(0) / size)[..., None]
    added = usual * np.exp(-above / _FADES) + (np.stack(columnwise, -1) - usual) * np.exp(-above / _SPOTS_FADE)
    return np.where(bared[..., None], (drawn + added).clip(0, 255), drawn).astype(np.float32)
