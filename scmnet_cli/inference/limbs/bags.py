"""Bags: the clothes continue behind them; where they cannot, a person keeps the bags that touch the clothes.

To the region map a bag is background, so a pose would show a notch in the clothes, and a garment that somebody else
puts on would have a hole. The outline behind a bag is taken to be a straight line from where the bag begins to where it
ends, or that of the body's other side.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.images.morphology import components, grown, shrunk, touched, within
from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.shape_matching import largest
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person, UInt8Array

_GARMENTS = _SKIRT, _PANTS, _UPPER = tuple(region_id(name) for name in ("skirt", "pants", "upper"))
_TORSO = 0.3  # of the person's height: a torso length; of a half body it is too long, which does no harm
_TOUCHING, _MOSTLY = 0.25, 0.38
"""Shares of a bag's surroundings that are clothes, from which on the bag stays with them: if it lies between clothes,
and anywhere. What hangs beside the body would fade half way, since a part's pixels do not reach so far."""

_BETWEEN = 0.3  # share of a bag with clothes above and below it, or on both sides: it lies between clothes
_OPEN_BODY, _OPEN_BETWEEN, _OPEN_BESIDE, _BEFORE_BODY = 0.25, 0.3, 0.25, 0.1
"""Shares that may stay open without a bag: of trunk and thighs, and of the bag, with clothes on both sides. The latter
is smaller where less of the bag than the last share is before trunk and thighs."""

_THIGH = 0.3  # width of a thigh, in lengths of its bone
_TRUNK = tuple(JOINTS.index(name) for name in ("neck", "right_shoulder", "left_shoulder", "right_hip", "left_hip"))
_FRONTAL, _WIDTH, _BELOW_HIPS = 0.22, 1.1, 1.3
"""Half the width of the shoulders, in torso lengths, of somebody seen from the front; half the width of the trunk, as a
multiple of it; end of the trunk in torso lengths from the neck."""

_LEAST_HIDDEN = 0.002  # torso lengths squared: smaller gaps stay
_RIM = 0.05  # torso lengths around a bag in which an outline is the bag's, and rows that give the outline beside it

_ABOVE, _WIDE = 6, 0.8
"""Rims above a bag whose outline counts for upper garments, and its quantile: the arm that holds the bag hides some."""

_BoolArray = npt.NDArray[np.bool_]


def complete_at_bags(person: Person) -> Person:
    """Return a person without bags where the clothes behind can be completed, and with others that touch the clothes.

    A bag that stays moves with the garment that it touches most. Bags that hang beside the body are background.

    Args:
        person: the person on a canvas, with the mask of what they carry and, if the background is plain, the scene.
    """
    if person.carried is None or not person.carried.any():
        return person
    rim = _rim(person)
    bags, num = components(person.carried, diagonal=False)
    clothes = np.isin(person.regions, _GARMENTS)
    between = _between(clothes) | _between(clothes.T).T
    result = person
    for number in range(1, num + 1):
        box = _box_around(bags == number, 2 * rim)
        bag = bags[box] == number
        near = grown(bag, rim, diagonal=False)
        around = near & ~bag
        touching = {region: np.count_nonzero(around & (person.regions[box] == region)) for region in _GARMENTS}
        lies_between = np.count_nonzero(between[box] & bag) > _BETWEEN * np.count_nonzero(bag)
        if sum(touching.values()) > (_TOUCHING if lies_between else _MOSTLY) * np.count_nonzero(around):
            closed = shrunk(grown(np.pad(bag, rim), rim, diagonal=False), rim, diagonal=False)
            bag = closed[rim:-rim, rim:-rim]
            without = None if person.scene is None else _completed(result, _placed(bag, box, person), rim)
            kept = max(touching, key=lambda region: touching[region])
            result = _kept(result, bag, box, kept) if without is None else without
    return result


def _box_around(mask: _BoolArray, margin: int) -> tuple[slice, slice]:
    """Return the box of a mask with a margin, within the map."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _placed(mask: _BoolArray, box: tuple[slice, slice], person: Person) -> _BoolArray:
    """Return the mask of a box as a mask of the canvas."""
    placed = np.zeros(person.regions.shape, np.bool_)
    placed[box] = mask
    return placed


def _kept(person: Person, bag: _BoolArray, box: tuple[slice, slice], region: int) -> Person:
    """Return a person with a bag, whose mask is that of a box, as part of a garment."""
    kept = bag & (person.regions[box] == BACKGROUND)
    image, regions = person.image.copy(), person.regions.copy()
    image[box][kept] = (person.image if person.scene is None else person.scene)[box][kept]
    regions[box][kept] = region
    return replace(person, image=image, regions=regions)


def _completed(person: Person, bag: _BoolArray, rim: int) -> Person | None:
    """Return a person whose clothes continue behind one bag; None if trunk or thighs would have a hole there.

    Shape:
        bag: (H, W).
    """
    near = within(bag, rim)
    edge = max(2, rim // 2)
    seam = within(bag, edge)
    mirrored, mirrored_image = _other_side(person, near)
    image, regions = person.image, person.regions
    free = regions == BACKGROUND
    behind = np.zeros_like(regions)
    for region in (_SKIRT, _PANTS):  # the outline of a top is that of its sleeves
        behind[_hidden(regions, region, near, rim) & near & (behind == BACKGROUND)] = region
    behind = np.where(bag & free & (behind == BACKGROUND), mirrored, behind)
    for region in _GARMENTS:
        own = largest(person.regions == region)
        hidden = touched(own | (behind == region), own) & (behind == region)
        filled = hidden | (seam & own & hidden.any())
        if filled.any():
            shown = filled & shrunk(mirrored == region, edge, diagonal=False)  # an outline mixes colours
            cloth = shown | shrunk(own & ~near, max(1, rim // 2), diagonal=False)
            image = np.where(
                shown[..., None], _matched(mirrored_image, image, own & near & (mirrored == region)), image
            )
            image = _continued(image, cloth, filled & ~shown, upwards=region == _UPPER)
            regions = np.where(hidden, np.uint8(region), regions)
    open_ = bag & (regions == BACKGROUND)
    clothes = np.isin(regions, _GARMENTS)
    body, between = _trunk_and_thighs(person) & bag & free, _between(clothes) | _between(clothes.T).T
    most = _OPEN_BETWEEN if np.count_nonzero(body) > _BEFORE_BODY * np.count_nonzero(bag) else _OPEN_BESIDE
    if np.count_nonzero(open_ & body) > _OPEN_BODY * np.count_nonzero(body):
        return None
    if np.count_nonzero(open_ & between) > most * np.count_nonzero(bag):
        return None
    scraps = _scraps(regions, near)
    return replace(
        person,
        image=np.where(scraps[..., None], np.uint8(PLAIN_GREY), image),
        regions=np.where(scraps, np.uint8(BACKGROUND), regions),
    )


def _matched(mirrored: UInt8Array, image: UInt8Array, both: _BoolArray) -> UInt8Array:
    """Return mirrored colours with the light of this side, by the pixels that both show."""
    if not both.any():
        return mirrored
    light = image[both].mean(0) - mirrored[both].mean(0)
    lit: UInt8Array = (mirrored + light).round().clip(0, 255).astype(np.uint8)
    return lit


def _trunk_and_thighs(person: Person) -> _BoolArray:
    """Return the pixels of the trunk and the thighs, as far as the joints are known."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (person.regions.shape[1], person.regions.shape[0]))
    draw = ImageDraw.Draw(canvas)
    joints = {name: person.joints[JOINTS.index(name)] for name in JOINTS}
    corners = [joints[name] for name in ("right_shoulder", "left_shoulder", "left_hip", "right_hip")]
    if all(joint[2] > 0 for joint in corners):
        draw.polygon([(float(x), float(y)) for x, y, _ in corners], fill=1)
    for hip, knee in ((joints[f"{side}_hip"], joints[f"{side}_knee"]) for side in ("right", "left")):
        if hip[2] > 0 and knee[2] > 0:
            width = round(_THIGH * float(np.hypot(*(knee - hip)[:2])))
            draw.line([(float(hip[0]), float(hip[1])), (float(knee[0]), float(knee[1]))], fill=1, width=width)
    return np.asarray(canvas)


def _scraps(regions: UInt8Array, near: _BoolArray) -> _BoolArray:
    """Return the pieces near a bag that are not connected with the person: pieces of the bag."""
    present = regions != BACKGROUND
    pieces, _ = components(present, diagonal=False)
    person = np.bincount(pieces.ravel())[1:].argmax() + 1
    scraps = np.isin(pieces, np.setdiff1d(pieces[near & present], [person]))
    return np.asarray(grown(scraps, 2, diagonal=False) & (scraps | ~present))


def _other_side(person: Person, near: _BoolArray) -> tuple[UInt8Array, UInt8Array]:
    """Return what the other side of the body shows in place of a bag: garments of the trunk, and skirts.

    Args:
        person: the person.
        near: the pixels of the bag, and near it.

    Returns:
        regions and image; background for everything else, and for people seen from the side.
    """
    joints = person.joints[list(_TRUNK)]
    neck, right, left, *hips = joints[:, :2].astype(np.float64)
    hip = (hips[0] + hips[1]) / 2
    length = float(np.linalg.norm(hip - neck))
    down = (hip - neck) / max(length, 1e-6)
    across = np.array([-down[1], down[0]])
    half = abs(float((left - right) @ across)) / 2
    if (joints[:, 2] <= 0).any() or half < _FRONTAL * length:
        return np.zeros_like(person.regions), person.image
    height, width = person.regions.shape
    rows, columns = np.nonzero(near)
    away = (columns - neck[0]) * across[0] + (rows - neck[1]) * across[1]
    along = ((columns - neck[0]) * down[0] + (rows - neck[1]) * down[1]) / length
    x = np.rint(columns - 2 * away * across[0]).astype(np.int64)
    y = np.rint(rows - 2 * away * across[1]).astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    torso = (np.abs(away) < _WIDTH * half) & (along > 0) & (along < _BELOW_HIPS)
    there = person.regions[y, x]
    shown = inside & ~near[y, x] & np.isin(there, _GARMENTS) & (torso | (there == _SKIRT))
    regions, image = np.zeros_like(person.regions), person.image.copy()
    regions[rows, columns] = np.where(shown, there, np.uint8(BACKGROUND))
    image[rows, columns] = person.image[y, x]
    return regions, image


def without_bags(person: Person) -> Person:
    """Return a person whose clothes continue behind bags; the same person if no bag hides them.

    Args:
        person: the person on a canvas, with the mask of what they carry.
    """
    if person.carried is None or not person.carried.any():
        return person
    rim = _rim(person)
    near = grown(person.carried, rim, diagonal=False)
    image, regions = person.image, person.regions
    for region in _GARMENTS:
        hidden = _hidden(regions, region, near, rim)
        if np.count_nonzero(hidden & near) >= _LEAST_HIDDEN * (rim / _RIM) ** 2:
            cloth = shrunk(largest(regions == region) & ~near, max(1, rim // 2), diagonal=False)
            image = _continued(image, cloth, hidden, upwards=region == _UPPER)
            regions = np.where(hidden, np.uint8(region), regions)
    return person if image is person.image else replace(person, image=image, regions=regions)


def _between(clothes: _BoolArray) -> _BoolArray:
    """Return the pixels with clothes above and below them."""
    above = np.logical_or.accumulate(clothes, axis=0)
    return np.asarray(above & np.logical_or.accumulate(clothes[::-1], axis=0)[::-1])


def _rim(person: Person) -> int:
    """Return the width of a bag's rim in pixels."""
    return max(1, round(_RIM * _TORSO * int(np.count_nonzero(person.regions.any(1)))))


def _hidden(regions: UInt8Array, region: int, near: _BoolArray, rim: int) -> _BoolArray:
    """Return the background between a garment and its outline on both sides, where a bag hides that."""
    worn = largest(regions == region)
    above = (_ABOVE * rim, _WIDE) if region == _UPPER else (rim, 0.5)
    behind = _behind(worn, near, rim, above) | _behind(worn[:, ::-1], near[:, ::-1], rim, above)[:, ::-1]
    return np.asarray(behind & (regions == BACKGROUND))


def _continued(image: UInt8Array, cloth: _BoolArray, hidden: _BoolArray, *, upwards: bool) -> UInt8Array:
    """Continue a garment over what is hidden: from above and below, or from the sides.

    Beside a bag before an upper garment are buttons, a lining and a shirt; above and below it is the same cloth.
    """
    colours = image.astype(np.float32)
    if upwards:
        filled = continued(colours, cloth, hidden)
    else:
        filled = continued(colours.swapaxes(0, 1), cloth.T, hidden.T).swapaxes(0, 1)
    pixels: UInt8Array = filled.round().clip(0, 255).astype(np.uint8)
    return pixels


def _behind(worn: _BoolArray, near: _BoolArray, rim: int, above: tuple[int, float]) -> _BoolArray:
    """Return the pixels between a garment and its outline on the right, where a bag hides that.

    Args:
        worn: the garment's mask.
        near: the bag's, and what is near it.
        rim: rows below the bag that give the outline there.
        above: number of rows above the bag that give the outline there, and the quantile of it.

    Shape:
        worn, near, result: (H, W).
    """
    rows = np.flatnonzero(worn.any(1))
    hidden = np.zeros_like(worn)
    if len(rows) == 0:
        return hidden
    outline = worn.shape[1] - 1 - worn[rows, ::-1].argmax(1)
    touched = near[rows, np.minimum(outline + 1, worn.shape[1] - 1)]
    for start, stop in _runs(touched, rim):
        before, below = outline[max(0, start - above[0]) : start], outline[stop : stop + rim]
        if len(below):  # at the waist the outline starts where it is seen
            ends = (float(np.quantile(before if len(before) else outline[start], above[1])), float(np.median(below)))
            line = _majorant(np.concatenate([[ends[0]], outline[start + 1 : stop], [ends[1]]]).astype(np.float64))[:-1]
            columns = np.arange(worn.shape[1])
            hidden[rows[start:stop]] = (columns > outline[start:stop, None]) & (columns <= line[:, None])
    return hidden


def _majorant(outline: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the lowest concave line that is nowhere below an outline: what shows of a garment is less than all of it.

    Shape:
        outline, result: (N,).
    """
    corners: list[int] = []
    for place, height in enumerate(outline.tolist()):
        while len(corners) > 1:
            first, last = corners[-2:]
            rise = (outline[last] - outline[first]) * (place - first)
            if rise > (height - outline[first]) * (last - first):
                break
            corners.pop()
        corners.append(place)
    return np.interp(np.arange(len(outline)), corners, outline[corners])


def _runs(mask: npt.NDArray[np.bool_], shortest_gap: int) -> list[tuple[int, int]]:
    """Return start and end of each run of True; runs with a shorter gap between them are one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < shortest_gap:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs
