"""Region maps drawn from joints, for photos without a parser's map.

Limbs are tapered capsules, the trunk is filled between shoulders and hips, the head is an ellipse. Sizes are relative
to the trunk (neck to mid-hip), which a pose shows most reliably. Joints do not show clothes, so the map assumes what
most people in Market-1501 wear, short sleeves and knee-length trousers: upper to the middle of the upper arm, arms
below, pants to the knee, legs below, never a skirt.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_Point = npt.NDArray[np.float64]

_NECK, _NOSE = 1, 0
_ARMS, _LEGS = ((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13))
_EYES, _EARS = (14, 15), (16, 17)

_LIMB_LENGTHS = {(8, 9): 0.73, (11, 12): 0.73, (9, 10): 0.72, (12, 13): 0.72, (2, 3): 0.54, (5, 6): 0.54}
"""Lengths of limbs relative to the trunk: medians over the joints of Market-1501."""

_NUM_TRUNK_STRIPS = 7
_SLEEVE = 0.55
"""End of the sleeve, as a share of the way from shoulder to elbow."""


def draw_region_map(joints: FloatArray, photo: Canvas) -> UInt8Array:
    """Draw the regions of a person from the joints that are known.

    Shape:
        joints: (18, 3) in pixels of the photo; result: (H, W) uint8 0-7, all background if no joint is known.
    """
    pen = _Pen(joints, photo)
    for hip, knee, ankle in _LEGS:
        pen.shin(knee, ankle)
        pen.thigh(hip, knee)
    pen.trunk()
    for shoulder, elbow, wrist in _ARMS:
        pen.arm(shoulder, elbow, wrist)
    pen.head()
    return pen.regions


class _Pen:
    """Draws the parts of one body; later parts cover earlier ones."""

    def __init__(self, joints: FloatArray, photo: Canvas) -> None:
        self.at: dict[int, _Point] = {
            k: joints[k, :2].astype(np.float64) for k in range(len(joints)) if joints[k, 2] > 0
        }
        self.regions = np.zeros((photo.height, photo.width), np.uint8)
        self._y, self._x = np.ogrid[: photo.height, : photo.width]
        self.hips = self._mean(8, 11)
        self.trunk_length = self._trunk_length(photo)

    def _mean(self, *joints: int) -> _Point | None:
        known = [self.at[k] for k in joints if k in self.at]
        return np.mean(known, axis=0) if known else None

    def _trunk_length(self, photo: Canvas) -> float:
        """Return the length of the trunk in pixels: the median of the estimates from each limb.

        Foreshortened limbs underestimate it, and joints of another person overestimate it.
        """
        estimates = [
            float(np.linalg.norm(self.at[a] - self.at[b])) / length
            for (a, b), length in _LIMB_LENGTHS.items()
            if a in self.at and b in self.at
        ]
        if _NECK in self.at and self.hips is not None:
            estimates += 3 * [float(np.linalg.norm(self.at[_NECK] - self.hips))]
        return max(float(np.median(estimates)) if estimates else 0.28 * photo.height, 2.0)

    def up(self, trunks: float) -> _Point:
        """Return the vector upwards by so many trunk lengths."""
        return np.array([0, -trunks * self.trunk_length])

    def fill(self, region: str, start: _Point, end: _Point, start_width: float, end_width: float) -> None:
        """Fill a capsule between two points; widths are radii at its ends in trunk lengths."""
        widest = max(self.trunk_length * max(start_width, end_width), 0.7)
        first = np.maximum(np.minimum(start, end) - widest, 0).astype(int)
        last = np.maximum(np.maximum(start, end) + widest + 1, 0).astype(int)
        box = (slice(first[1], last[1] + 1), slice(first[0], last[0] + 1))
        along = end - start
        x, y = self._x[:, box[1]] - start[0], self._y[box[0]] - start[1]
        position = ((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6)).clip(0, 1)
        radius = (self.trunk_length * (start_width + position * (end_width - start_width))).clip(0.7)
        inside = (x - position * along[0]) ** 2 + (y - position * along[1]) ** 2 <= radius**2
        self.regions[box][inside] = region_id(region)

    def ellipse(self, region: str, centre: _Point, half_width: float, half_height: float) -> None:
        """Fill an upright ellipse; half width and half height are in trunk lengths."""
        x, y = (self._x - centre[0]) / half_width, (self._y - centre[1]) / half_height
        self.regions[np.hypot(x, y) <= max(self.trunk_length, 4.0)] = region_id(region)

    def shin(self, knee: int, ankle: int) -> None:
        """Draw a leg below the knee, with its foot."""
        if knee in self.at and ankle in self.at:
            self.fill("legs", self.at[knee], self.at[ankle], 0.12, 0.09)
        if ankle in self.at:
            self.fill("legs", self.at[ankle], self.at[ankle] - self.up(0.12), 0.09, 0.11)

    def thigh(self, hip: int, knee: int) -> None:
        """Draw a leg above the knee."""
        if hip in self.at and knee in self.at:
            self.fill("pants", self.at[hip], self.at[knee], 0.19, 0.14)

    def trunk(self) -> None:
        """Draw the trunk as strips from shoulders to hips; estimate hidden ones."""
        top = self.at.get(_NECK, self._mean(2, 5))
        if top is None:
            if self.hips is None:
                return
            top = self.hips + self.up(1)
        shoulders = [self.at.get(k, top) for k in (2, 5)]
        if (2 in self.at) != (5 in self.at):  # seen from the side: the hidden half appears half as wide
            hidden = 0 if 5 in self.at else 1
            shoulders[hidden] = top - 0.5 * (shoulders[1 - hidden] - top)
        if self.hips is None:
            hips = [shoulder + 0.35 * (top - shoulder) - self.up(1) for shoulder in shoulders]
        else:
            hips = [self.at.get(k, self.hips) for k in (8, 11)]
        for share in np.linspace(0, 1, _NUM_TRUNK_STRIPS):
            start, end = (a + share * (b - a) for a, b in (shoulders, hips))
            self.fill("upper", start, end, 0.1, 0.15)

    def arm(self, shoulder: int, elbow: int, wrist: int) -> None:
        """Draw a sleeve, the bare part of the arm, and the hand."""
        if shoulder in self.at and elbow in self.at:
            cuff = self.at[shoulder] + _SLEEVE * (self.at[elbow] - self.at[shoulder])
            self.fill("arms", cuff, self.at[elbow], 0.1, 0.09)
            self.fill("upper", self.at[shoulder], cuff, 0.13, 0.12)
        if elbow in self.at and wrist in self.at:
            hand = self.at[wrist] + 0.3 * (self.at[wrist] - self.at[elbow])
            self.fill("arms", self.at[elbow], self.at[wrist], 0.09, 0.07)
            self.fill("arms", self.at[wrist], hand, 0.08, 0.07)

    def head(self) -> None:
        """Draw hair, and the face over it if an eye or the nose is known; a head seen from behind is all hair."""
        face, ears = self._mean(_NOSE, *_EYES), self._mean(*_EARS)
        both_ears = all(ear in self.at for ear in _EARS)
        if ears is not None and (both_ears or face is None):
            centre = ears
        elif face is not None:
            centre = face if ears is None else (face + ears) / 2
        elif _NECK in self.at:
            centre = self.at[_NECK] + self.up(0.42)
        else:
            return
        if _NECK in self.at:
            self.fill("hair" if face is None else "face", self.at[_NECK], centre, 0.1, 0.1)
        self.ellipse("hair", centre + self.up(0.07), 0.21, 0.27)
        if face is not None:
            self.ellipse("face", face - self.up(0.06), 0.15, 0.18)
