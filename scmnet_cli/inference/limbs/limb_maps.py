"""How the limbs of a source lie on its body: found by ``crossed_arms.py``, read by what makes versions of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from scmnet_cli.models.warp_fields import ArrayT


@dataclass(frozen=True)
class LimbMaps(Generic[ArrayT]):
    """How the limbs of a source lie on the body, as tensors or as arrays: what its versions are made from.

    Shape:
        kinds: (B, 5, 4) in {0, 1}: whether each limb is a forearm across the torso, hangs against the body, is unseen,
        has hair on it, or has no hand; on_map: (B, 18, 3), the source's joints with limbs that end where the region map
        does; completed: (B, 18, 3), likewise, without missing ones; starts, ends: (B, 10, 2), ends of the parts of
        these; half, size: (B,), half width of the torso and its length; across, whole: (B, 2, H, W) in {0, 1}, pixels
        of each forearm on the torso, and of all of an arm that is unseen; hanging: (B, 2, H, W) in {0, 1}, pixels of
        each forearm if it hangs; outside: (B, 2, H, W) in [0, 1], softness of each upper arm.
    """

    kinds: ArrayT
    on_map: ArrayT
    completed: ArrayT
    starts: ArrayT
    ends: ArrayT
    half: ArrayT
    size: ArrayT
    across: ArrayT
    whole: ArrayT
    hanging: ArrayT
    outside: ArrayT
