"""Memberships of a leg's parts where the photo shows which leg owns a pixel; for tensors and for arrays.

Importing this imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scmnet_cli.models.arrays import namespace
from scmnet_cli.models.parts import LIMB_PARTS

if TYPE_CHECKING:
    from torch import Tensor

LEG_PARTS = (*LIMB_PARTS[2], *LIMB_PARTS[3])
"""Thigh and shin of the right leg, and of the left one."""

_LOST, _OWN, _OTHERS = 0.5, 0.9, 0.3
"""A pixel whose membership in its whole leg is below the first value was assigned elsewhere and gets the second one;
the other leg's pixels get the third."""


def other_leg_of(part: int) -> tuple[int, int]:
    """Return thigh and shin of the other leg."""
    return LIMB_PARTS[3] if part in LIMB_PARTS[2] else LIMB_PARTS[2]


def of_own_leg(part: int, own: Tensor, ends: Tensor, whole: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Return a part's membership and ends where owners of the pixels are known: the other leg is background to it.

    Args:
        part: a part of a leg.
        own: how much each pixel belongs to the part.
        ends: 1 where pixels are background to it.
        whole: how much each pixel belongs to its leg.
        owners: the part that each pixel belongs to; 0: unknown.

    Shape:
        own, ends, whole, owners, results: (1, h, w).
    """
    xp = namespace(own)
    (first, last), (other_first, other_last) = other_leg_of(other_leg_of(part)[0]), other_leg_of(part)
    mine, theirs = (owners == first) | (owners == last), (owners == other_first) | (owners == other_last)
    own = xp.where((owners == part) & (whole < _LOST), _OWN, own)
    return xp.where(theirs, _OTHERS, own), xp.where(theirs, 1.0, xp.where(mine, 0.0, ends))
