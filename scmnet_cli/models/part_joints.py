"""Joints for the part warp: the size of the body, and completion of missing joints.

The functions take tensors or arrays, and importing this imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from scmnet_cli.models.arrays import ValuesT, constant, namespace, norm, unstacked
from scmnet_cli.models.parts import FACE_JOINTS, LEFT_HIP, LEFT_SHOULDER, LIMBS, NECK, RIGHT_HIP, RIGHT_SHOULDER

# (joint, joint, factor): bone length times factor is an upper estimate of the torso length.
_FROM_BONE = (
    (2, 5, 1.45), (2, 3, 1.7), (5, 6, 1.7), (3, 4, 1.9), (6, 7, 1.9), (8, 9, 1.15), (11, 12, 1.15), (9, 10, 1.2),
    (12, 13, 1.2), (0, 1, 2.6), (8, 11, 2.4),
)  # fmt: skip
# Typical lengths of a limb's two bones in torso lengths, by its first joint.
_LENGTHS = {2: (0.6, 0.5), 5: (0.6, 0.5), 8: (0.85, 0.8), 11: (0.85, 0.8)}
_HIPS = (RIGHT_HIP, LEFT_HIP)
_FORESHORTENED = 0.6  # a torso shorter than this share of the other bones' estimate is foreshortened
_HIPS_PER_SHOULDERS = 0.6
_LEAST_SIZE = 8.0  # pixels of a torso
_LEAST_SCORE = 0.1  # score of a joint that is placed here
_SHOULDERS_APART = 0.15  # torso lengths; shoulders closer than this show neither front nor back


def body_size(joints: ValuesT) -> ValuesT:
    """Return the size of the body: its torso length in pixels, at least 8.

    The torso length is the distance from neck to hips. If these are missing or the torso is foreshortened, it is the
    largest estimate from the other bones.

    Shape:
        joints: (B, 18, 3); result: (B,).
    """
    places, present = joints[..., :2], joints[..., 2] > 0
    hips, has_hip = middle(places, present, RIGHT_HIP, LEFT_HIP)
    torso = norm(places[:, NECK] - hips)
    has_torso = present[:, NECK] & has_hip
    starts, ends = [start for start, _, _ in _FROM_BONE], [end for _, end, _ in _FROM_BONE]
    factors = constant([factor for _, _, factor in _FROM_BONE], joints)
    lengths = norm(places[:, starts] - places[:, ends]) * factors  # (B, 10)
    xp = namespace(joints)
    longest = xp.amax(xp.where(present[:, starts] & present[:, ends], lengths, 0), 1)
    known = has_torso & (torso > _FORESHORTENED * longest)
    size: ValuesT = xp.where(known, torso, xp.maximum(longest, xp.where(has_torso, torso, 0))).clip(_LEAST_SIZE)
    return size


def middle(places: ValuesT, present: ValuesT, first: int, second: int) -> tuple[ValuesT, ValuesT]:
    """Return the midpoint of two joints, or the one that is present, and whether any is.

    Shape:
        places: (B, 18, 2); present: (B, 18) bool; results: (B, 2) and (B,) bool.
    """
    return _between(places[:, first], present[:, first], places[:, second], present[:, second])


def _between(first: ValuesT, has_first: ValuesT, second: ValuesT, has_second: ValuesT) -> tuple[ValuesT, ValuesT]:
    xp = namespace(first)
    one = xp.where(has_first[:, None], first, second)
    both = xp.where((has_first & has_second)[:, None], (first + second) / 2, one)
    return both, has_first | has_second


def hidden_faces(source: ValuesT, target: ValuesT) -> ValuesT:
    """Return for each pair whether the face must not be warped.

    It must not if the target shows neither nose nor eyes, or if left and right shoulder change sides: then source or
    target is seen from behind.

    Shape:
        source, target: (B, 18, 3), as detected; result: (B,) bool.
    """
    faceless = ~(target[:, FACE_JOINTS, 2] > 0).any(1)
    xp, num = namespace(source), len(source)
    joints = xp.concatenate([source, target])
    across = joints[:, LEFT_SHOULDER, 0] - joints[:, RIGHT_SHOULDER, 0]
    known = (joints[:, LEFT_SHOULDER, 2] > 0) & (joints[:, RIGHT_SHOULDER, 2] > 0)
    apart = abs(across) > _SHOULDERS_APART * body_size(joints)
    sides = xp.where(known & apart, xp.sign(across), 0)
    hidden: ValuesT = faceless | (sides[:num] * sides[num:] < 0)
    return hidden


def complete_joints(joints: ValuesT) -> ValuesT:
    """Place missing joints where a straight, relaxed body has them, if the other joints suffice.

    The neck goes between the shoulders. A shoulder or hip mirrors the other one. Both hips go one torso length below
    the neck. Wrists go along their arm, elbows, knees and ankles along the torso, at typical lengths: thighs point at
    each other, shins do not. Joints of the head stay missing.

    Shape:
        joints: (B, 18, 3), x, y, score; result: (B, 18, 3), with a score of at least 0.1 for known and placed joints.
    """
    xp = namespace(joints)
    body = _Body(unstacked(joints[..., :2]), unstacked(joints[..., 2] > 0), body_size(joints)[:, None])
    body.place_shoulders()
    down = body.downwards()
    body.place_hips(down)
    body.place_limbs(down)
    known = xp.stack(body.present, 1)
    score = xp.where(known, joints[..., 2].clip(_LEAST_SCORE), 0)
    places = xp.where(known[..., None], xp.stack(body.places, 1), 0)
    completed: ValuesT = xp.concatenate([places, score[..., None]], -1)
    return completed


@dataclass(frozen=True)
class _Body(Generic[ValuesT]):
    """Joints that :func:`complete_joints` completes; lists, since a graph copies what is written into a tensor.

    Shape:
        places: (B, 2) for each joint; present: (B,) bool for each; size: (B, 1).
    """

    places: list[ValuesT]
    present: list[ValuesT]
    size: ValuesT

    def place(self, joint: int, where: ValuesT, allowed: ValuesT) -> None:
        """Place a joint at ``where``, (B, 2), if it is missing and ``allowed``, (B,) bool."""
        new = allowed & ~self.present[joint]
        self.places[joint] = namespace(where).where(new[:, None], where, self.places[joint])
        self.present[joint] = self.present[joint] | new

    def place_shoulders(self) -> None:
        """Place the neck between the shoulders, or a shoulder opposite the other one."""
        places, present = self.places, self.present
        right, left = places[RIGHT_SHOULDER], places[LEFT_SHOULDER]
        self.place(NECK, (right + left) / 2, present[RIGHT_SHOULDER] & present[LEFT_SHOULDER])
        self.place(RIGHT_SHOULDER, 2 * places[NECK] - left, present[NECK] & present[LEFT_SHOULDER])
        self.place(LEFT_SHOULDER, 2 * places[NECK] - places[RIGHT_SHOULDER], present[NECK] & present[RIGHT_SHOULDER])

    def downwards(self) -> ValuesT:
        """Return the unit vector from neck to hips, (B, 2); straight down if one of them is missing."""
        places, present = self.places, self.present
        hips, has_hip = _between(places[RIGHT_HIP], present[RIGHT_HIP], places[LEFT_HIP], present[LEFT_HIP])
        xp, below = namespace(hips), constant([0.0, 1.0], hips)
        along = xp.where((has_hip & present[NECK])[:, None], hips - places[NECK], below)
        down = along / norm(along)[:, None].clip(1e-3)
        downwards: ValuesT = xp.where(norm(down)[:, None] > 0.5, down, below)
        return downwards

    def place_hips(self, down: ValuesT) -> None:
        """Place a hip beside the other one, or both below the neck."""
        places, present = self.places, self.present
        has_shoulders = present[NECK] & present[RIGHT_SHOULDER] & present[LEFT_SHOULDER]
        right_known, left_known = present[RIGHT_HIP][:, None], present[LEFT_HIP][:, None]
        right, left = places[RIGHT_HIP], places[LEFT_HIP]
        half = (places[LEFT_SHOULDER] - places[RIGHT_SHOULDER]) * (_HIPS_PER_SHOULDERS / 2)
        straight = places[NECK] + down * self.size
        xp = namespace(down)
        self.place(RIGHT_HIP, xp.where(left_known, left - 2 * half, straight - half), has_shoulders)
        self.place(LEFT_HIP, xp.where(right_known, right + 2 * half, straight + half), has_shoulders)

    def place_limbs(self, down: ValuesT) -> None:
        """Place elbows and knees along the torso, wrists along their arm, and ankles along the torso again."""
        places, present = self.places, self.present
        for start, joint, end in LIMBS:
            upper, lower = _LENGTHS[start]
            self.place(joint, places[start] + down * self.size * upper, present[start])
            bone = places[joint] - places[start]
            bone = down if start in _HIPS else bone / norm(bone)[:, None].clip(1e-3)
            self.place(end, places[joint] + bone * self.size * lower, present[start] & present[joint])
