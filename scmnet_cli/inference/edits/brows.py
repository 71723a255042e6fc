"""Brows as hairs over skin: where the hairs are, and how they take the colour of another face's.

Each pixel of a brow is a mixture of skin and hairs, so the hairs' colour changes by the pixel's share of it: thin brows
stay thin. The reference's hairs are seen without the cast of its photo's light, which its skin shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray

_AROUND, _LEAST_SKIN = 0.04, 0.02
"""Reach of the skin around brows as a share of the face's square, and its least share there."""

_STRANDS, _CORE = 90, 0.5
"""Percentile of the distances from the colour of skin beyond which are single strands, and the share of its distance
from which pixels surely are hairs: so thin brows in a wide region have the colour of their hairs too."""

_LEAST_CONTRAST = 7.5
"""Least contrast of brows to the skin in CIELAB, from which the place of a pixel can be seen."""

_FAINT, _DEEP = 0.5, 70
"""Greatest place in brows without contrast, and the percentile of the depths in the region where it is reached."""

_CHANGING = (0.1, 0.4)
"""Places between the colours of skin (0) and hairs (1) between which a pixel's change begins."""

_SEEN, _MOST, _MOST_DARKER = 0.4, 1.3, 1.1
"""Least place of a pixel that shows hairs, and the places from which a stronger strand changes no further, where hairs
become lighter and where they become darker."""

_DARKEST, _LIGHTEST = -48.0, -2.0
"""Bounds of the hairs' lightness, from the skin's; brows of CelebAMask's faces are between -44 and 4."""

_COLDEST, _WARMEST = 5.0, np.array([3.0, 5.0], np.float32)
"""Bounds of the hairs' hue: least value of both axes of colour, unless the face's own hairs have less; greatest ones,
from the skin's. Otherwise grey hairs look blue on warm skin, and hairs behind red glasses red."""


@dataclass(frozen=True)
class Hairs:
    """Hairs over skin.

    Attributes:
        region: (H, W) bool, the brows with the skin between their hairs.
        skin: (3,) mean colour of the skin around, in CIELAB.
        colour: (3,) colour of the hairs.
        place: (H, W) float32 place of each pixel between the skin (0) and the hairs (1); beyond 1 for stronger strands.
    """

    region: npt.NDArray[np.bool_]
    skin: FloatArray
    colour: FloatArray
    place: FloatArray

    @property
    def share(self) -> FloatArray:
        """How much of each pixel may change, (H, W) in [0, 1]: 0 for skin."""
        return rise(self.place, *_CHANGING)

    @property
    def are_seen(self) -> npt.NDArray[np.bool_]:
        """Pixels that show the hairs' colour, (H, W)."""
        seen: npt.NDArray[np.bool_] = self.region & (self.place > _SEEN)
        return seen

    def change_to(self, colour: FloatArray) -> FloatArray:
        """Return the change of each pixel if the hairs get another colour, (H, W, 3) in CIELAB."""
        most = _MOST if colour[0] > self.colour[0] else _MOST_DARKER
        change: FloatArray = self.place.clip(0, most)[..., None] * (colour - self.colour)
        return change


def find_hairs(lab: FloatArray, brows: npt.NDArray[np.bool_], skin: npt.NDArray[np.bool_], side: float) -> Hairs | None:
    """Find the hairs in the region of brows by each pixel's place between the colours of skin and hairs.

    The skin's colour is the local mean, so that shadows are no brows. In brows without contrast, hairs are far from the
    region's border.

    Args:
        lab: the face in CIELAB.
        brows: the region.
        skin: skin and nose.
        side: side of the face's square in pixels.

    Returns:
        the hairs, or None if no skin is around.

    Shape:
        lab: (H, W, 3); brows, skin: (H, W).
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    reach = _AROUND * side
    weight = gaussian_filter(skin.astype(np.float32), reach)
    near = brows & (weight > _LEAST_SKIN)
    if near.sum() < brows.sum() / 2:
        return None
    local = np.stack([gaussian_filter(lab[..., i] * skin, reach) for i in range(3)], axis=-1)
    local /= np.maximum(weight, 1e-6)[..., None]
    apart = lab - local
    distance = np.linalg.norm(apart, axis=-1)
    strands = np.percentile(distance[near], _STRANDS)
    core = apart[near & (distance >= _CORE * strands) & (distance <= strands)].mean(0)
    if np.linalg.norm(core) < _LEAST_CONTRAST:
        depth = distance_transform_edt(brows)
        place = _FAINT * rise(depth, 0, max(1.0, float(np.percentile(depth[brows], _DEEP))))
    else:
        place = np.where(weight > _LEAST_SKIN, apart @ core / (core @ core), 1).astype(np.float32)
    around = local[near].mean(0)
    return Hairs(brows, around, around + core, place)


def colour_of_hairs(own: Hairs, other: Hairs) -> FloatArray:
    """Return the colour of another face's hairs in a face: in the light of its photo, within natural bounds.

    Otherwise brows of a dark photo would be bars in a light one, light brows would glow on darker skin, and brows of a
    photo in green light would be green.

    Shape:
        result: (3,) in CIELAB.
    """
    light, *hue = in_light_of(other.colour, other.skin, own.skin)
    coldest = np.minimum(own.colour[1:], _COLDEST)
    warmest = np.maximum(own.skin[1:] + _WARMEST, coldest)
    light = np.clip(light, own.skin[0] + _DARKEST, own.skin[0] + _LIGHTEST)
    return np.array([light, *np.clip(hue, coldest, warmest)], np.float32)


def in_light_of(colour: FloatArray, skin: FloatArray, other_skin: FloatArray) -> FloatArray:
    """Return a colour beside a skin with the cast of the light on another skin, by von Kries' rule.

    A difference of the skins' hue is that of the light. Their brightness has no part in it: skins are light or dark in
    any light.

    Shape:
        colour, skin, other_skin, result: (3,) in CIELAB.
    """
    from skimage.color import lab2xyz, xyz2lab

    given, before, after = lab2xyz(np.stack([colour, skin, other_skin])).clip(1e-4)
    ratio = after / before
    lit: FloatArray = xyz2lab(given * ratio / ratio[1]).astype(np.float32)
    return lit


def rise(values: FloatArray, first: float, last: float) -> FloatArray:
    """Return weights that rise smoothly from 0 at the first value to 1 at the last."""
    share = ((values - first) / (last - first)).clip(0, 1)
    weights: FloatArray = (share * share * (3 - 2 * share)).astype(np.float32)
    return weights
