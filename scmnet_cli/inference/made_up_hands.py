"""Hands for a person whose photo shows neither hand: a drawn hand in the colour of the person's skin.

Hands in pockets, in long sleeves and behind the back leave a pose without hands: there is no pixel to move, and the
network draws stumps. One in five of Clothing Co-Parsing's val photos shows neither hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_ownership import Bone, sampled
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import WarpSource
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_FACE, _UPPER, _BARE_ARMS = (region_id(name) for name in ("face", "upper", "arms"))
_FOREARMS = (3, 5)  # parts
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


def with_hands(source: WarpSource, arms: Sequence[bool]) -> WarpSource:
    """Return a photo with drawn hands at the ends of some forearms; only the forearms of the result are of use.

    A forearm ends where its skin or sleeve does, such as at a pocket; nothing but the hand is left beyond it. A forearm
    of which too little shows stays as it is, and so do all if the photo shows no skin.

    Args:
        source: the photo.
        arms: whether right and left arm get a hand.
    """
    shapes = PartShapes.of(source.completed)
    skin = _skin(source, float(shapes.size[0]))
    if skin is None:
        return source
    image, masks, joints = source.image.float().clone(), source.masks.float().clone(), source.joints.clone()
    facing = float(torch.sign(source.completed[0, _SHOULDERS[1], 0] - source.completed[0, _SHOULDERS[0], 0]))
    kept = masks[:, [_UPPER, _BARE_ARMS]].sum(1)
    whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
    shares = torch.linspace(_NEAREST, 1, _STEPS, device=masks.device)
    for arm, part in enumerate(_FOREARMS):
        bone = Bone.of(shapes, part)
        end = float((shares * (sampled(kept, bone.at(shares[:, None])) > 0.5).float().cumprod(1)).amax())
        if not arms[arm] or end < _LEAST_FOREARM:
            continue
        u, v = bone.local(whole)
        past = (u - end) * (bone.length / bone.size)[:, None, None]  # torso lengths
        hand, shade = _hand_at(past, v * (facing if arm else -facing))
        beyond = (past > 0) & (past < _BEYOND) & (v.abs() < _BESIDE)
        bare = beyond & (hand > 0.5)
        image = torch.where(beyond[:, None], source.fill, image)
        rim = dilated(bare[:, None].float(), _RIM) > 0  # no pale line around the hand where the warp samples between
        colours = ((skin[None, :, None, None] + 1) * shade[:, None] - 1).clamp(-1, 1)
        image = torch.where(rim & beyond[:, None], colours, image)
        for region, where in ((BACKGROUND, beyond & ~bare), (_BARE_ARMS, bare)):
            masks = torch.where(where[:, None], _only(region, masks), masks)
        joints[:, LIMBS[arm][2], :2] = bone.at(shares.new_tensor([[end]]))[:, 0]
    return WarpSource(image, masks, joints, source.fill)


def _only(region: int, like: Tensor) -> Tensor:
    """Return masks with one region alone, (1, 8, 1, 1)."""
    masks = like.new_zeros(1, like.shape[1], 1, 1)
    masks[:, region] = 1
    return masks


def _skin(source: WarpSource, size: float) -> Tensor | None:
    """Return the colour of bare arms or, if they are covered, of the face, (3,); None without skin.

    It is the mean of the lighter half without the lightest pixels: beard, glasses and shadows are no skin.
    """
    for region, least in ((_BARE_ARMS, _BARE), (_FACE, _LEAST_SKIN), (_BARE_ARMS, _LEAST_SKIN)):
        pixels = source.image[0].float()[:, source.masks[0, region] > 0.5]
        if pixels.shape[1] >= max(least * size**2, 1):
            light = pixels.mean(0)
            low, high = torch.quantile(light, light.new_tensor(_LIGHTER))
            return pixels[:, (light >= low) & (light <= high)].mean(1)
    return None


def _hand_at(past: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Sample the drawn hand.

    Args:
        past: distance past the wrist along the forearm, in torso lengths.
        across: distance from the forearm's axis towards the thumb.

    Shape:
        all: (1, H, W); the results are the hand's mask and its shading.
    """
    picture = torch.from_numpy(drawn_hand()).to(past.device)[None]  # (1, 2, h, w)
    x = (_WIDTH / 2 + across / _LENGTH) / _WIDTH * 2 - 1
    y = past / _LENGTH / _HEIGHT * 2 - 1
    found = F.grid_sample(picture, torch.stack([x, y], -1), mode="bilinear", align_corners=False)
    return found[:, 0], found[:, 1]


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
