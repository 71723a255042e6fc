"""Fill the pixels that an edit uncovers when it removes hair: head, neck, clothes, skin or background.

The network draws blurred skin wherever a head may be, and the mixed pixels at the edge of the old hair stay as a rim.
So the head's outline comes from the joints, what it shows is continued from the nearest visible pixels, and pixels with
the old hair's colour go with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person, UInt8Array

_BoolArray = npt.NDArray[np.bool_]

_HAIR, _FACE, _UPPER = (region_id(name) for name in ("hair", "face", "upper"))
_SKIN = (_FACE, region_id("arms"), region_id("legs"))
_EARS, _EYES = ("right_ear", "left_ear"), ("right_eye", "left_eye")

# In torso lengths, from val people with short hair. Half the width of a head is a multiple of the distance of its ears.
_PER_EARS, _HEAD_WIDTHS = 0.62, (0.1, 0.15)
_HEAD_HEIGHT, _BELOW_EYES, _JAW = 0.22, 0.02, 0.35
_NECK_WIDTH, _EDGE = 0.065, 0.012
_INNER, _BROWS, _CHIN = 0.85, 0.05, 0.16
_RIM, _FACE_RIM, _FRAYED = 0.06, 0.02, 0.02
"""Widths of the rim of the old hair, of that rim in the face, and of the unreliable edge of a region beside hair."""
_NOTCH, _GAP = 0.1, 0.03
"""Half widths of a notch that hair cuts into the outline of clothes, and of a gap between face and new hair."""
_OUTLINE = 0.018
_SKIN_BLUR = 0.04

_LESS_RED, _DARK, _NOISE = 0.03, 20.0, 5.0
"""Least difference of redness, (red - green) / sum, of skin and hair that tells them; grey levels that noise adds to
dark pixels, and between which pixels are as light."""
_EYE = 0.04  # torso lengths around an eye

_MIXED = 0.3
"""A pixel with more than this share of the hair's colour shows hair."""

_PURE = 0.8  # of a pixel, from which share on it shows hair alone
_STRAND, _CHIN_AT = 0.15, 0.52
"""Torso lengths that strands hang beside the region of hair; where the chin is between eyes (0) and neck (1)."""
_WISP, _FAINT, _WISP_WIDTH, _OFF_WISP, _UNEVEN = 0.22, 0.1, 0.05, 30.0, 0.12
"""Shares of the old hair's colour in a wisp: of its clearest pixel, and up to where it fades; torso lengths wider than
wisps and their gaps; grey levels that a wisp may be off the mixture; standard deviation of the background, relative
to its contrast to hair, from which on colours do not tell wisps."""
_CLEAR_CONTRAST = 80.0  # of 255, between dark hair and skin
_LEAST_CONTRAST = 35.0  # of 255, between hair and skin
_LEAST_SOUND = 20
_SHADING = 0.3  # how much darker continued skin is at the outline of head and neck


def bare_head(wearer: Person) -> FloatArray:
    """Return a soft mask of head and neck without hair, (H, W) in [0, 1]; 0 everywhere if the eyes are unknown."""
    inside = (1 - _from_axis(wearer)) / (_EDGE / _HEAD_WIDTHS[0]) + 0.5
    return np.asarray(inside.clip(0, 1), np.float32)


def whole_head(wearer: Person) -> FloatArray:
    """Return the bare head together with the visible face, with a smooth outline, (H, W) in [0, 1]."""
    from scipy import ndimage

    head = bare_head(wearer)
    either = np.maximum(head, wearer.regions == _FACE).astype(np.float32)
    smooth = (ndimage.gaussian_filter(either, _OUTLINE * _size(wearer)) - 0.4) / 0.4
    whole: FloatArray = np.maximum(head, smooth.clip(0, 1) * (head.max() > 0)).astype(np.float32)
    return whole


def _from_axis(wearer: Person) -> FloatArray:
    """Return the distance from the middle of head and neck, 1 at their outline; infinite if the eyes are unknown."""
    ears, eyes, neck = (_known(wearer, names) for names in (_EARS, _EYES, ("neck",)))
    size = _size(wearer)
    rows, columns = np.mgrid[: len(wearer.regions), : wearer.regions.shape[1]].astype(np.float32)
    if not len(eyes):
        return np.full(wearer.regions.shape, np.inf, np.float32)
    apart = float(np.hypot(*(ears[0] - ears[1]))) if len(ears) == 2 else 0.0
    half = min(max(_PER_EARS * apart, _HEAD_WIDTHS[0] * size), _HEAD_WIDTHS[1] * size)
    x = float((ears if len(ears) == 2 else eyes)[:, 0].mean())
    y = float(eyes[:, 1].mean()) + _BELOW_EYES * size
    down = (rows - y) / (_HEAD_HEIGHT * size)
    away = np.hypot((columns - x) / (half * (1 - _JAW * down.clip(0, 1) ** 2)), down)
    if len(neck):
        along = ((rows - y) / max(float(neck[0, 1]) - y, 1)).clip(0, 1)
        beside = abs(columns - x - along * (neck[0, 0] - x)) / (_NECK_WIDTH * size)
        away = np.where((rows > y) & (rows < neck[0, 1]), np.minimum(away, beside), away)
    return np.asarray(away, np.float32)


def with_seen_face(wearer: Person) -> Person:
    """Relabel pixels that are annotated as hair and show the face: a fringe's annotation often covers an eye.

    Hair of a colour that is near the skin's is relabelled around the eyes alone.
    """
    from scipy import ndimage

    share = _hair_share(wearer, wearer.regions == _FACE)
    if share is None:
        return wearer
    hair = wearer.regions == _HAIR
    skin = hair & (bare_head(wearer) > 0.5) & (share < _MIXED)
    skin = ndimage.binary_opening(skin | (wearer.regions == _FACE), iterations=1)
    face = ndimage.binary_fill_holes(skin | (wearer.regions == _FACE))
    face = ndimage.binary_propagation(wearer.regions == _FACE, mask=face)
    image = wearer.image.astype(np.float32)
    apart = np.median(image[wearer.regions == _FACE], axis=0) - np.median(image[hair], axis=0)
    if np.linalg.norm(apart) < _CLEAR_CONTRAST:
        face &= near_eyes(wearer)
    return replace(wearer, regions=np.where(hair & face, np.uint8(_FACE), wearer.regions).astype(np.uint8))


def with_hair_beside_face(wearer: Person) -> Person:
    """Relabel pixels that are annotated as the face and show hair: locks behind an ear or beside the neck.

    Hair is less red than skin. Where a photo does not tell the two so, nothing is changed.
    """
    from scipy import ndimage

    away = _from_axis(wearer)
    own, hair = wearer.regions == _FACE, wearer.regions == _HAIR
    skin, core = own & (away < _INNER), ndimage.binary_erosion(hair, iterations=2)
    if skin.sum() < _LEAST_SOUND or core.sum() < _LEAST_SOUND:
        return wearer
    photo = wearer.image if wearer.scene is None else wearer.scene
    image = ndimage.gaussian_filter(photo.astype(np.float32), (1, 1, 0))
    light = image.mean(-1)
    redness = (image[..., 0] - image[..., 1]) / (3 * light + _DARK)
    if np.quantile(redness[skin], 0.25) - np.quantile(redness[core], 0.75) < _LESS_RED:
        return wearer
    between = (np.median(redness[skin]) + np.median(redness[core])) / 2
    darkest, lightest = np.quantile(light[core], (0.05, 0.95))
    alike = own & (away > _INNER) & (redness < between) & (light > darkest - _NOISE) & (light < lightest + _NOISE)
    locks = ndimage.binary_opening(alike | hair, iterations=2) & alike
    locks = ndimage.binary_dilation(locks, iterations=2, mask=own & (away > _INNER))  # its edge mixes with skin
    return replace(wearer, regions=np.where(locks, np.uint8(_HAIR), wearer.regions).astype(np.uint8))


def near_eyes(wearer: Person) -> _BoolArray:
    """Return the pixels around the eyes, (H, W)."""
    rows, columns = np.mgrid[: len(wearer.regions), : wearer.regions.shape[1]]
    near = np.zeros(wearer.regions.shape, np.bool_)
    for x, y in _known(wearer, _EYES):
        near |= np.hypot(rows - y, columns - x) < _EYE * _size(wearer)
    return near


def _hair_share(wearer: Person, own: _BoolArray) -> FloatArray | None:
    """Estimate the share of the hair's colour in each pixel, in a mixture with a region's; None without contrast.

    Shape:
        own: (H, W), the region; result: (H, W), 0 for the region's smoothed colour, 1 for the nearest hair's.
    """
    from scipy import ndimage

    hair = wearer.regions == _HAIR
    core = ndimage.binary_erosion(hair, iterations=2)
    sound = own & (ndimage.distance_transform_edt(~hair) > 2 * _FRAYED * _size(wearer))
    if core.sum() < _LEAST_SOUND or sound.sum() < _LEAST_SOUND:
        return None
    image = wearer.image.astype(np.float32)
    region = _smooth(image, sound, 2 * _SKIN_BLUR * _size(wearer))
    between = _smooth(image, core, _SKIN_BLUR * _size(wearer)) - region
    contrast = np.square(between).sum(-1)
    share = ((image - region) * between).sum(-1) / contrast.clip(1)
    return np.where(contrast > _LEAST_CONTRAST**2, share, 0).astype(np.float32)


def hair_rim(wearer: Person) -> _BoolArray:
    """Return the pixels beside the wearer's hair that show some of it.

    Along the edge of hair pixels mix both colours, and an annotation cuts through single strands.
    """
    from scipy import ndimage

    hair = wearer.regions == _HAIR
    rim = np.zeros_like(hair)
    if not hair.any():
        return np.asarray(rim, np.bool_)
    size = _size(wearer)
    away = ndimage.distance_transform_edt(~hair)
    for region in np.unique(wearer.regions[~hair & (away <= _RIM * size)]):
        own = wearer.regions == region
        share = None if region == BACKGROUND else _hair_share(wearer, own)
        if share is not None:  # brows and eyes have the colour of hair too
            mixed = own & (away <= max(1.5, (_FACE_RIM if region == _FACE else _RIM) * size)) & (share > _MIXED)
            rim |= mixed & ~(_thick(wearer, mixed) & (region == _UPPER))
    return np.asarray(rim & ndimage.binary_propagation(hair, mask=hair | rim))


def _thin(wearer: Person) -> int:
    """Return half the width of what is thin, in pixels."""
    return max(2, round(_EDGE * _size(wearer)))


def _thick(wearer: Person, mixed: _BoolArray) -> _BoolArray:
    """Return where a mask is wider than strands, not at hair: a pattern of the cloth that has the colour of hair."""
    from scipy import ndimage

    thick = ndimage.binary_dilation(ndimage.binary_opening(mixed, iterations=_thin(wearer)), iterations=2)
    edge = ndimage.binary_dilation(wearer.regions == _HAIR, iterations=_thin(wearer))
    return np.asarray(mixed & thick & ~edge)


def strands_beside(wearer: Person) -> tuple[FloatArray, FloatArray]:
    """Return the share of the wearer's hair in pixels of neck and clothes beside it, and that hair's colour.

    Single strands hang where a region map shows neck and clothes. Only those of a clearly different colour are found.

    Shape:
        results: (H, W) in [0, 1], (H, W, 3) in 0-255.
    """
    from scipy import ndimage

    hair = wearer.regions == _HAIR
    core = ndimage.binary_erosion(hair, iterations=2)
    image = wearer.image.astype(np.float32)
    found = np.zeros(hair.shape, np.float32)
    eyes, neck, size = _known(wearer, _EYES), _known(wearer, ("neck",)), _size(wearer)
    if core.sum() < _LEAST_SOUND or not len(eyes) or not len(neck):
        return found, image
    chin = (1 - _CHIN_AT) * eyes[:, 1].mean() + _CHIN_AT * neck[0, 1]
    away = ndimage.distance_transform_edt(~hair)
    near = (away <= _STRAND * size) & (np.arange(len(hair))[:, None] > chin)
    for region in (_FACE, _UPPER):
        own = wearer.regions == region
        if not (own & near).any():
            continue
        apart = np.linalg.norm(np.median(image[own], axis=0) - np.median(image[core], axis=0))
        share = _hair_share(wearer, own) if apart > _CLEAR_CONTRAST else None
        if share is not None:
            thick = _thick(wearer, own & near & (share > _MIXED)) & (region == _UPPER)
            clear = ((share - _MIXED) / (_PURE - _MIXED)).clip(0, 1)
            found = np.where(own & near & ~thick, clear, found)
    joined = ndimage.binary_propagation(hair, mask=hair | (found > 0))
    return np.where(joined, found, 0).astype(np.float32), _smooth(image, core, _SKIN_BLUR * size)


def wisps_beside(wearer: Person) -> _BoolArray:
    """Return the thin strands of the wearer's hair that a region map shows as background, (H, W).

    A wisp has a colour between the hair's and that of the background around it, and grows from the hair. None is found
    before an uneven background.
    """
    from scipy import ndimage

    hair = wearer.regions == _HAIR
    core = ndimage.binary_erosion(hair, iterations=2)
    if wearer.scene is None or core.sum() < _LEAST_SOUND:
        return np.zeros(hair.shape, np.bool_)
    size, found = _size(wearer), np.zeros(hair.shape, np.bool_)
    rows, columns = (np.flatnonzero(hair.any(axis)) for axis in (1, 0))
    reach = round(2 * _STRAND * size) + 1
    part = tuple(slice(max(0, int(ends[0]) - reach), int(ends[-1]) + reach) for ends in (rows, columns))
    image = wearer.scene[part].astype(np.float32)
    empty, core, hair = wearer.regions[part] == BACKGROUND, core[part], hair[part]
    away = ndimage.distance_transform_edt(~hair)
    clear = empty & (ndimage.distance_transform_edt(empty) > _RIM * size)
    if not clear.any():
        return found
    nearest = ndimage.distance_transform_edt(~clear, return_distances=False, return_indices=True)
    width = 2 * round(_WISP_WIDTH * size) + 1
    around = ndimage.median_filter(image[tuple(nearest)], (width, width, 1))
    between = _smooth(image, core, _SKIN_BLUR * size) - around
    contrast = np.square(between).sum(-1)
    share = ((image - around) * between).sum(-1) / contrast.clip(1)
    off = np.abs(image - around - share[..., None] * between).max(-1)
    mixed = empty & (contrast > _LEAST_CONTRAST**2) & (off < _OFF_WISP) & (share > _FAINT)
    far = (clear & (away > _STRAND * size)).astype(np.float32)
    mean = _smooth(image, far > 0, _STRAND * size)
    spread = np.sqrt(_smooth(np.square(image - mean), far > 0, _STRAND * size).sum(-1))
    mixed &= (away <= _STRAND * size) & (spread < _UNEVEN * np.sqrt(contrast))
    strands = mixed & ~ndimage.binary_opening(mixed & (away > _RIM * size), iterations=max(2, round(_FRAYED * size)))
    grown = ndimage.binary_propagation(ndimage.binary_dilation(hair, iterations=2), mask=hair | strands | (away <= 2))
    pieces, num = ndimage.label(grown & strands, np.ones((3, 3)))
    seen = np.concatenate([[False], np.atleast_1d(ndimage.maximum(share, pieces, np.arange(1, num + 1))) > _WISP])
    found[part] = ndimage.binary_dilation(seen[pieces], iterations=1) & empty  # a wisp fades out
    return found


def beside(mask: _BoolArray, wearer: Person) -> _BoolArray:
    """Return the pixels within the width of a rim of a mask, (H, W)."""
    from scipy import ndimage

    if not mask.any():
        return mask
    near: _BoolArray = ndimage.distance_transform_edt(~mask) <= _RIM * _size(wearer)
    return near


def over_clothes(wearer: Person) -> _BoolArray:
    """Return the pixels of hair inside the outline of the clothes: hair on a shoulder cuts a notch into it."""
    dressed = (wearer.regions == _UPPER) | np.isin(wearer.regions, _SKIN[1:])
    size = _size(wearer)
    beside_neck = _closed(dressed | (wearer.regions == _FACE), _GAP * size)
    return np.asarray((_closed(dressed, _NOTCH * size) | beside_neck) & (wearer.regions == _HAIR))


def _closed(mask: _BoolArray, reach: float) -> _BoolArray:
    """Return the morphological closing of a mask by a disc."""
    from scipy import ndimage

    border = int(reach) + 2
    grown = ndimage.distance_transform_edt(np.pad(~mask, border, constant_values=True)) <= reach
    closed = ndimage.distance_transform_edt(grown)[border:-border, border:-border] > reach
    return np.asarray(closed | mask)


def gap_at_face(wearer: Person, worn: _BoolArray) -> _BoolArray:
    """Return the narrow gaps between new hair and the face, (H, W): they are hair too."""
    from scipy import ndimage

    free = np.isin(wearer.regions, (BACKGROUND, _HAIR)) | face_outline(wearer)
    near = ndimage.distance_transform_edt(~worn) <= 2 * _GAP * _size(wearer)
    closing = _closed(worn | (wearer.regions == _FACE), _GAP * _size(wearer))
    return np.asarray(closing & free & near & ~worn)


def face_outline(wearer: Person) -> _BoolArray:
    """Return the pixels of the face beside the background, which mix with it: new hair beside the face covers them."""
    from scipy import ndimage

    reach = max(1.0, _OUTLINE * _size(wearer))
    beside = ndimage.distance_transform_edt(wearer.regions != BACKGROUND) <= reach
    return np.asarray(beside & (wearer.regions == _FACE))


def hidden_face(wearer: Person, worn: _BoolArray) -> float:
    """Return the share of the face, from brows to chin, that the old hair hides and the new hair does not."""
    eyes = _known(wearer, _EYES)
    if not len(eyes):
        return 0.0
    size, y = _size(wearer), float(eyes[:, 1].mean())
    rows = np.arange(len(wearer.regions))[:, None]
    inner = (_from_axis(wearer) < _INNER) & (rows > y - _BROWS * size) & (rows < y + _CHIN * size)
    return float((inner & ~worn & (wearer.regions == _HAIR)).sum() / max(1, inner.sum()))


def behind_hair(
    wearer: Person, bare: _BoolArray, rim: _BoolArray, alpha: FloatArray
) -> tuple[FloatArray, FloatArray, UInt8Array]:
    """Continue head, skin and clothes behind removed hair.

    Args:
        wearer: with the old hair.
        bare: pixels that the removed hair uncovers.
        rim: pixels of other regions that show some of the old hair, see :func:`hair_rim`.
        alpha: foreground mask below the shoulders.

    Returns:
        colours, (H, W, 3) in 0-255; foreground mask, (H, W) in [0, 1]; region ids, (H, W).
    """
    from scipy import ndimage

    size = _size(wearer)
    image = wearer.image.astype(np.float32)
    margin = max(1.0, _FRAYED * size)
    person = wearer.regions != BACKGROUND
    hidden = (wearer.regions == _HAIR) | rim
    clear = (
        person & (ndimage.distance_transform_edt(~hidden) > margin) & (ndimage.distance_transform_edt(person) > margin)
    )
    clothes = over_clothes(wearer)
    head = whole_head(wearer)
    face = clear & (wearer.regions == _FACE)
    on_head = (head > 0) & ~clothes & (~rim | (wearer.regions == _FACE))
    colour, labels = image.copy(), wearer.regions.copy()
    if face.sum() >= _LEAST_SOUND:
        shade = 1 - _SHADING * _from_axis(wearer).clip(0, 1)[..., None] ** 3
        part = bare & on_head
        colour[part], labels[part] = (_smooth(image, face, _SKIN_BLUR * size) * shade)[part], _FACE
    part = bare & ~on_head
    if part.any() and clear.sum() >= _LEAST_SOUND:
        colour[part], labels[part] = _continued(image, wearer.regions, clear, size, part)
    opaque = np.where(clothes | rim, np.float32(1), np.where(on_head, head, alpha))
    return colour, opaque.astype(np.float32), labels


def _continued(
    image: FloatArray, labels: UInt8Array, sound: _BoolArray, size: float, part: _BoolArray
) -> tuple[FloatArray, UInt8Array]:
    """Continue pixels into a part: cloth is mirrored at its edge, skin is smooth.

    Returns:
        colours (n, 3) and region ids (n,) of the part's pixels.
    """
    from scipy import ndimage

    rows, columns = np.nonzero(part)
    nearest = ndimage.distance_transform_edt(~sound, return_distances=False, return_indices=True)
    edge_rows, edge_columns = (index[part] for index in nearest)
    far_rows = (2 * edge_rows - rows).clip(0, labels.shape[0] - 1)
    far_columns = (2 * edge_columns - columns).clip(0, labels.shape[1] - 1)
    kinds = labels[edge_rows, edge_columns]
    same = sound[far_rows, far_columns] & (labels[far_rows, far_columns] == kinds)
    found = image[np.where(same, far_rows, edge_rows), np.where(same, far_columns, edge_columns)]
    skin = sound & np.isin(labels, _SKIN)
    if skin.any():
        found = np.where(np.isin(kinds, _SKIN)[:, None], _smooth(image, skin, _SKIN_BLUR * size)[part], found)
    return found.astype(np.float32), kinds


def _smooth(image: FloatArray, mask: _BoolArray, sigma: float) -> FloatArray:
    """Return the Gaussian mean of a mask's colours around each pixel; far away, that of the nearest such pixels."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(image * mask[..., None], (sigma, sigma, 0))
    mean = total / weight.clip(1e-20)[..., None]
    enough = weight > 1e-3
    rows, columns = ndimage.distance_transform_edt(~enough, return_distances=False, return_indices=True)
    filled: FloatArray = ndimage.gaussian_filter(mean[rows, columns], (sigma, sigma, 0))
    return filled


def _known(wearer: Person, names: tuple[str, ...]) -> FloatArray:
    joints = wearer.joints[[JOINTS.index(name) for name in names]]
    known: FloatArray = joints[joints[:, 2] > 0, :2]
    return known


def _size(wearer: Person) -> float:
    return float(body_size(torch.from_numpy(wearer.joints)[None])[0])
