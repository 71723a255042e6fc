"""Hands for a person whose photo shows neither hand: a drawn hand in the colour of the person's skin.

Hands in pockets, in long sleeves and behind the back leave a pose without hands: there is no pixel to move, and the
network draws stumps. One in five of Clothing Co-Parsing's val photos shows neither hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.limbs.drawn_hand import HAND_HEIGHT, HAND_ROWS, HAND_WIDTH, drawn_hand
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.models.parts import FOREARMS, LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]

_FACE, _UPPER, _BARE_ARMS = (region_id(name) for name in ("face", "upper", "arms"))
_SHOULDERS = (2, 5)
_BARE, _LEAST_SKIN = 0.04, 0.002  # of the torso length squared: area of bare arms, and least area that gives a colour
_LIGHTER = (0.5, 0.9)  # quantiles of lightness between which pixels of the face are skin
_WRIST, _BESIDE_WRIST, _LEAST_WRIST = 0.2, 0.1, 0.004
"""Torso lengths before a hand and across, where a bare wrist gives the hand's colour, and its least area."""
_FADE = 0.06  # torso lengths in which bare skin past the wrist turns into the drawn hand
_RIM = 2  # pixels
_STEPS, _NEAREST = 25, 0.3  # places along a forearm, and where the first one is, as a share of its length
_LEAST_FOREARM = 0.45  # share of the forearm that must show
_BESIDE, _BEYOND = 0.3, 0.7  # torso lengths beside and beyond the forearm in which nothing but the hand is kept

_LENGTH = 0.36 / HAND_ROWS  # torso lengths a row
_FOREARM_OF_POSES, _SHORTER = 0.5, (0.8, 2.0)
"""Torso lengths: of which length a pose shows a forearm. The part warp stretches a forearm that points away from the
viewer to it, so its hand is drawn shorter, within limits."""
_OF_SHADOW = np.array([0.85, 1.08, 1.2], np.float32)  # powers of light for red, green, blue: shaded skin is redder


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
        shorter = float(np.clip(_FOREARM_OF_POSES * bone.size / (end * bone.length), *_SHORTER))
        hand, shade = _hand_at(past[place] * shorter, across[place] * np.sign(left - right) * (1 if arm else -1))
        bare = np.zeros_like(beyond)
        bare[place] = hand > 0.5
        near = largest_around(bare, _RIM)[place]  # no pale line around the hand where the warp samples between
        near_wrist = (past <= 0) & (past > -_WRIST) & (abs(across) < _BESIDE_WRIST)
        own = _colour(layers, near_wrist & (layers[..., 3 + _BARE_ARMS] > 0.5), _LEAST_WRIST * float(bone.size) ** 2)
        colours = (((skin if own is None else own) + 1) * shade[:, None] ** _OF_SHADOW - 1).clip(-1, 1)
        shown = layers[place]
        fading = (1 - past[place] / _FADE).clip(0) * (shown[:, 3 + _BARE_ARMS] > 0.5)
        colours += (shown[:, :3] - colours) * fading[:, None]
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
        colour = _colour(layers, layers[..., 3 + region] > 0.5, least * size**2)
        if colour is not None:
            return colour
    return None


def _colour(layers: FloatArray, where: _BoolArray, least: float) -> FloatArray | None:
    """Return the mean of the lighter half of some pixels without the lightest ones, (3,); None of too few."""
    pixels = layers[where, :3]
    if len(pixels) < max(least, 1):
        return None
    light = pixels.mean(1)
    low, high = np.quantile(light, _LIGHTER, method="nearest")  # values of pixels, else none may lie between
    colour: FloatArray = pixels[(light >= low) & (light <= high)].mean(0)
    return colour


def _hand_at(past: FloatArray, across: FloatArray) -> FloatArray:
    """Sample the drawn hand's mask and shading, (2, N); both are 0 beside it.

    Args:
        past: distance past the wrist along the forearm, in torso lengths.
        across: distance from the forearm's axis towards the thumb.

    Shape:
        past, across: (N,).
    """
    framed = np.pad(drawn_hand(), ((0, 0), (1, 1), (1, 1)))
    x, y = across / _LENGTH + (HAND_WIDTH / 2 + 0.5), past / _LENGTH + 0.5
    return _sampled(framed, x.clip(0, HAND_WIDTH + 1), y.clip(0, HAND_HEIGHT + 1))
