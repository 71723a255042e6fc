"""Hands for a person whose photo shows neither hand: a drawn hand in the colour of the person's skin.

Hands in pockets, in long sleeves and behind the back leave a pose without hands: there is no pixel to move, and the
network draws stumps. One in five of Clothing Co-Parsing's val photos shows neither hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.limb_maps import LimbMaps
from scmnet_cli.models.parts import FOREARMS, LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]

_FACE, _UPPER, _BARE_ARMS = (region_id(name) for name in ("face", "upper", "arms"))
_SHOULDERS = (2, 5)
_BARE, _LEAST_SKIN = 0.04, 0.002  # of the torso length squared: area of bare arms, and least area that gives a colour
_LIGHTER = (0.5, 0.9)  # quantiles of lightness between which pixels of the face are skin
_RIM = 2  # pixels
_STEPS, _NEAREST = 25, 0.3  # places along a forearm, and where the first one is, as a share of its length
_LEAST_FOREARM = 0.45  # share of the forearm that must show
_BESIDE, _BEYOND = 0.3, 0.7  # torso lengths beside and beyond the forearm in which nothing but the hand is kept

# A right hand that hangs, seen from its back, with the wrist at the upper edge; fingers from the index on.
_WIDTH, _HEIGHT, _FINER = 120, 200, 3
_LENGTH = 0.36 / 168  # torso lengths a row: the hand has 168 rows
_PALM = ((38, -9), (82, -9), (84, 20), (90, 50), (92, 80), (90, 98), (34, 100), (30, 80), (32, 50), (37, 20))
_FINGERS = (
    (((83, 90), (86, 118), (82, 142), (76, 156)), (19, 17, 15, 12)),
    (((69, 94), (71, 126), (68, 152), (63, 168)), (20, 18, 16, 13)),
    (((53, 95), (53, 124), (51, 149), (48, 164)), (19, 17, 15, 12)),
    (((38, 92), (37, 114), (36, 132), (35, 146)), (17, 15, 13, 11)),
)
_THUMB = (((84, 34), (99, 58), (103, 84), (98, 104)), (26, 22, 18, 14))


def with_hands(
    layers: FloatArray, joints: FloatArray, maps: LimbMaps[FloatArray], arms: Sequence[bool] | _BoolArray, fill: float
) -> tuple[FloatArray, FloatArray] | None:
    """Draw hands at the ends of some forearms; only the forearms of the result are of use.

    A forearm ends where its skin or sleeve does, such as at a pocket; nothing but the hand is left beyond it. A forearm
    of which too little shows stays as it is.

    Args:
        layers: image and masks of the photo.
        joints: its joints.
        maps: how its limbs lie.
        arms: whether right and left arm get a hand.
        fill: value of the background.

    Returns:
        layers and joints; None if the photo shows no skin.

    Shape:
        layers: (H, W, 3 + 8); joints: (18, 3).
    """
    skin = _skin(layers, float(maps.size[0]))
    if skin is None:
        return None
    layers, joints = layers.copy(), joints.copy()
    kept = layers[..., [3 + _UPPER, 3 + _BARE_ARMS]].sum(-1)
    right, left = (maps.completed[0, shoulder, 0] for shoulder in _SHOULDERS)
    for arm, part in enumerate(FOREARMS):
        bone = _Forearm(maps.starts[0, part], maps.ends[0, part], maps.size[0])
        end = bone.end_on(kept)
        if not arms[arm] or end < _LEAST_FOREARM:
            continue
        past, across = bone.past(end, kept.shape)
        beyond = (past > 0) & (past < _BEYOND) & (abs(across) < _BESIDE)
        place = np.nonzero(beyond)
        hand, shade = _hand_at(past[place], across[place] * np.sign(left - right) * (1 if arm else -1))
        bare = np.zeros_like(beyond)
        bare[place] = hand > 0.5
        near = largest_around(bare, _RIM)[place]  # no pale line around the hand where the warp samples between
        colours = ((skin + 1) * shade[:, None] - 1).clip(-1, 1)
        masks = np.eye(layers.shape[-1] - 3, dtype=np.float32)[np.where(bare[place], _BARE_ARMS, BACKGROUND)]
        layers[place] = np.concatenate([np.where(near[:, None], colours, np.float32(fill)), masks], axis=1)
        joints[LIMBS[arm][2], :2] = bone.at(end)
    return layers, joints


@dataclass(frozen=True)
class _Forearm:
    """The axis of a forearm.

    Shape:
        start, tip: (2,), elbow and wrist; size: (), the torso's length.
    """

    start: FloatArray
    tip: FloatArray
    size: np.float32

    @property
    def length(self) -> float:
        """The length in pixels."""
        return max(float(np.hypot(*(self.tip - self.start))), 1e-3)

    def at(self, place: float) -> FloatArray:
        """Return a point on the axis, in lengths of it from the elbow, (2,)."""
        point: FloatArray = self.start + (self.tip - self.start) * np.float32(place)
        return point

    def end_on(self, kept: FloatArray) -> float:
        """Return how far from the elbow the forearm is on a mask without a gap, in its lengths; 0: nowhere."""
        shares = np.linspace(_NEAREST, 1, _STEPS, dtype=np.float32)
        shown = np.logical_and.accumulate([_value(kept, self.at(share)) > 0.5 for share in shares])
        return float((shares * shown).max())

    def past(self, end: float, size: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Return how far each pixel is past the forearm's end along its axis, and from the axis, in torso lengths."""
        rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
        unit_x, unit_y = ((self.tip - self.start) / np.float32(self.length)).tolist()
        dx, dy = columns - self.start[0], rows - self.start[1]
        along, across = dx * unit_x + dy * unit_y, dy * unit_x - dx * unit_y
        return (along - end * self.length) / self.size, across / self.size


def _value(values: FloatArray, point: FloatArray) -> float:
    """Return the value of a map at a point, at its border beyond it."""
    height, width = values.shape
    (x,), (y,) = np.clip(point, 0, [width - 1, height - 1])[:, None]
    return float(_sampled(values[None], x[None], y[None])[0, 0])


def _sampled(values: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return values between pixels, linearly interpolated, (C, H, W) to (C, N) at N points within."""
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = (left + 1).clip(max=values.shape[2] - 1), (top + 1).clip(max=values.shape[1] - 1)
    u, v = x - left, y - top
    upper = values[:, top, left] * (1 - u) + values[:, top, right] * u
    lower = values[:, bottom, left] * (1 - u) + values[:, bottom, right] * u
    sampled: FloatArray = upper * (1 - v) + lower * v
    return sampled


def _skin(layers: FloatArray, size: float) -> FloatArray | None:
    """Return the colour of bare arms or, if they are covered, of the face, (3,); None without skin.

    It is the mean of the lighter half without the lightest pixels: beard, glasses and shadows are no skin.
    """
    for region, least in ((_BARE_ARMS, _BARE), (_FACE, _LEAST_SKIN), (_BARE_ARMS, _LEAST_SKIN)):
        pixels = layers[layers[..., 3 + region] > 0.5, :3]
        if len(pixels) >= max(least * size**2, 1):
            light = pixels.mean(1)
            low, high = np.quantile(light, _LIGHTER)
            colour: FloatArray = pixels[(light >= low) & (light <= high)].mean(0)
            return colour
    return None


def _hand_at(past: FloatArray, across: FloatArray) -> FloatArray:
    """Sample the drawn hand's mask and shading, (2, N); both are 0 beside it.

    Args:
        past: distance past the wrist along the forearm, in torso lengths.
        across: distance from the forearm's axis towards the thumb.

    Shape:
        past, across: (N,).
    """
    framed = np.pad(drawn_hand(), ((0, 0), (1, 1), (1, 1)))
    x, y = across / _LENGTH + (_WIDTH / 2 + 0.5), past / _LENGTH + 0.5
    return _sampled(framed, x.clip(0, _WIDTH + 1), y.clip(0, _HEIGHT + 1))


@lru_cache(1)
def drawn_hand() -> FloatArray:
    """Draw the hand once: its mask, and the factor by which light and shadow change the skin's colour.

    Shape:
        result: (2, 200, 120), the wrist at the first row.
    """
    body = _outline(_PALM)
    for finger in _FINGERS:
        body = np.maximum(body, _rounded(*finger))
    rows = np.linspace(0, _HEIGHT, _HEIGHT * _FINER, dtype=np.float32)[:, None]
    shade: npt.NDArray[np.floating] = _lit(body, 7, 0.72)
    for finger in _FINGERS:
        shape = _rounded(*finger)
        share = shape * ((rows - 88) / 22).clip(0, 1)  # a finger stands out from the knuckles on
        shade = shade * (1 - share) + _lit(shape, 3, 0.66) * share
    thumb = _rounded(*_THUMB)
    share = np.where(body > 0, thumb * ((rows - 40) / 30).clip(0, 1), thumb)
    shade = shade * (1 - share) + _lit(thumb, 4, 0.7) * share
    shade = shade * (1.04 - 0.16 * ((rows - 60) / 120).clip(0, 1))  # darker towards the tips
    layers = (np.maximum(body, thumb), shade)
    size, box = (_WIDTH, _HEIGHT), Image.Resampling.BOX
    drawn: FloatArray = np.stack(
        [np.asarray(Image.fromarray(layer.astype(np.float32)).resize(size, box)) for layer in layers]
    )
    return drawn


def _outline(points: Sequence[tuple[float, float]]) -> FloatArray:
    mask = Image.new("L", (_WIDTH * _FINER, _HEIGHT * _FINER))
    ImageDraw.Draw(mask).polygon([(_FINER * x, _FINER * y) for x, y in points], fill=255)
    return np.asarray(mask).astype(np.float32) / np.float32(255)


def _rounded(points: Sequence[tuple[float, float]], widths: Sequence[float]) -> FloatArray:
    """Return the mask of a finger: discs along a line through points, whose diameters change from point to point."""
    mask = Image.new("L", (_WIDTH * _FINER, _HEIGHT * _FINER))
    pen = ImageDraw.Draw(mask)
    along = np.linspace(0, len(points) - 1, 60)
    x, y, wide = (np.interp(along, range(len(points)), values) for values in (*zip(*points, strict=True), widths))
    for left, top, right, bottom in zip(x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2, strict=True):
        pen.ellipse([_FINER * left, _FINER * top, _FINER * right, _FINER * bottom], fill=255)
    return np.asarray(mask).astype(np.float32) / np.float32(255)


def _lit(mask: FloatArray, rim: float, darkest: float) -> FloatArray:
    """Return the shading of a round shape: 1 inside, ``darkest`` at its outline, over a rim of so many rows."""
    soft = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(rim * _FINER))
    inside = ((np.asarray(soft).astype(np.float32) / 255 - 0.5) * 2).clip(0, 1)
    return (darkest + (1 - darkest) * inside**0.65).astype(np.float32)
