"""Divide the top of a person, from whom others get it, into trunk and sleeves, without what hands hold.

Sleeves that hang beside the body touch it, and so do bags below an arm: to the region map all that is one garment. A
forearm shows on its outer side; a minimum cut divides the other side by the colours of that and of what is beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.garment_faults import share_of_colour
from scmnet_cli.inference.edits.uncovered import sleeve_end
from scmnet_cli.inference.graph_cut import inside_of_cut
from scmnet_cli.inference.hidden_places import from_the_side
from scmnet_cli.inference.limb_places import beyond_torso, column_of_limb, limb_places, within
from scmnet_cli.inference.shape_matching import largest
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import region_id
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]

_UPPER = region_id("upper")
_FOREARM, _SEEN, _UPPER_ARM = (0.8, 2.6), (0.8, 1.95), (0.4, 1.0)
"""Where along an arm, in lengths of its bones, a sleeve is divided from the trunk; where its middle is; and where its
colours count too."""
_MIDDLE, _WIDE, _REACH = 0.06, 0.12, 0.4
"""Torso lengths from an arm's bones: its outer half, the widest sleeve, and what is beside it."""
_MIXED = 2  # pixels at an outline whose colours mix
_LONG = 1.5  # lengths of an arm's bones that a sleeve reaches at least
_RARE = 0.003  # share of a colour that a top lacks
_TRUNK = -0.08  # torso lengths beyond the line from shoulder to hip: surely the trunk


@dataclass(frozen=True)
class Top:
    """Parts of a worn top.

    Shape:
        trunk, sleeves: (H, W) bool. The trunk has no forearms, the sleeves nothing of the trunk beside them.
    """

    trunk: _BoolArray
    sleeves: _BoolArray


def divided_top(person: Person) -> Top | None:
    """Return trunk and sleeves of a worn top.

    None if no sleeve reaches below an elbow, without a ``scene``, and seen from the side, where arms hide the trunk.
    """
    from scipy import ndimage

    own = person.regions == _UPPER
    if person.scene is None or not own.any() or from_the_side(person):
        return None
    arms = limb_places(person)[:2]
    nearest = np.argmin([away for _, away in arms], axis=0)
    deep = ndimage.distance_transform_edt(own) > _MIXED
    apart = ndimage.distance_transform_edt(~own) > _MIXED
    columns = np.arange(own.shape[1])
    forearms, beside = np.zeros_like(own), np.zeros_like(own)
    for index, (place, away) in enumerate(arms):
        mine = own & (nearest == index)
        column = column_of_limb(person, LIMBS[index])[:, None]
        outer = columns < column if index == 0 else columns > column
        lower = (nearest == index) & within(place, _FOREARM) & (away < _REACH)
        middle = mine & deep & outer & (away < _MIDDLE) & within(place, _SEEN)
        if sleeve_end(place, own, (nearest == index) & (away < _MIDDLE)) < _LONG or not middle.any():
            continue
        typical = middle | (mine & deep & (away < _MIDDLE) & within(place, _UPPER_ARM))
        doubtful = mine & lower & ~middle & (away < _WIDE)
        others = lower & ((~own & apart) | (own & (away >= _WIDE)))
        inside = inside_of_cut(person.scene, middle, others, doubtful, typical)
        sleeve = largest(ndimage.binary_opening(middle | (doubtful & inside), iterations=_MIXED))
        forearms |= sleeve
        beside |= mine & lower & ~sleeve
    if not forearms.any():
        return None
    rare = share_of_colour(person.scene, own & deep & ~beside) < _RARE
    outside = np.maximum(*(beyond_torso(person, side) for side in (0, 1))) > _TRUNK
    trunk = own & ~forearms & ~(beside & rare & outside)
    trunk = largest(ndimage.binary_opening(trunk, iterations=_MIXED))
    trunk |= ndimage.binary_closing(trunk, iterations=2 * _MIXED) & own & ~forearms  # edges of a pattern are rare too
    above = np.zeros_like(own)
    for index, (place, away) in enumerate(arms):
        above |= own & (nearest == index) & (place <= _FOREARM[0]) & (away < _REACH)
    return Top(trunk, forearms | above)
