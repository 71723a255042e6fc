"""Limbs that a photo hardly shows, while it shows the other one: a pose that moves one gets the other one mirrored.

A forearm that points at the camera, or lies behind hair or a bag, has too few pixels to be stretched into a pose: they
smear. So has a leg with a hole in the region map. Clothes are nearly always alike on both sides, so the other limb of
the mirrored photo is the better guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.part_ownership import running_products
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, region_id

NUM_REPLACED = 6
"""Four limbs and two hands: the length of :func:`replaced_limbs`."""

MIDDLES, ENDS = ([limb[end] for limb in LIMBS] for end in (1, 2))
"""Elbows and knees; wrists and ankles."""

_HIPS, _KNEES, _ANKLES = ([limb[end] for limb in LIMBS[2:]] for end in (0, 1, 2))
ELBOWS, WRISTS = MIDDLES[:2], ENDS[:2]
"""Joints of the right and of the left arm."""

_BARE_ARMS = region_id("arms")
_POINTS, _ASIDE = 25, 0.05  # along a bone; torso lengths: beside its axis
_HAND, _BESIDE_HAND = (0.02, 0.26, 9), (-0.1, 0.1, 7)  # torso lengths past the wrist and across, and number of samples
_SHORTEST, _LONG = 0.25, 0.3  # torso lengths: a shorter forearm points at the camera; a longer one shows
_OFF_PERSON, _HOLED, _ON_PERSON = 0.5, 0.75, 0.8
"""Shares of a bone on the person: hardly any of it shows; a leg has a hole, such as a bag before it; it shows."""
_BARE, _LESS_BARE = 0.6, 0.6  # least bare share of a bare forearm; a covered one has less than this share of it
_SHOWN_HAND, _HIDDEN_HAND = 0.15, 0.1  # bare shares of where a hand is
_GARMENTS = [region_id(name) for name in ("pants", "skirt", "upper")]
_ALONG_HAND, _ACROSS_HAND, _SHORT_HAND = (0.0, 0.5, 51), (-0.08, 0.08, 9), 0.165
"""Torso lengths past the wrist and across, and number of places; a hand that is shorter and ends at garments is in a
pocket."""


def unseen_limbs(masks: Tensor, joints: Tensor) -> Tensor:
    """Return which of right and left arm, right and left leg the photo hardly shows while it shows the other one.

    A forearm is not shown if its joints are unknown, it points at the camera, most of it is not on the person, much
    less of it is bare than of the other one, or its hand is hidden and the other one is not. A leg is not shown if a
    quarter of its thigh or of its shin is not on the person.

    Shape:
        masks: (B, 8, H, W); joints: (B, 18, 3), as detected; result: (B, 4) bool.
    """
    return _found(masks, joints)[0]


def replaced_limbs(masks: Tensor, joints: Tensor) -> Tensor:
    """Return the unseen limbs and the arms without a hand: what a pose that moves them gets from elsewhere.

    Shape:
        masks: (B, 8, H, W); joints: (B, 18, 3), as detected; result: (B, 6) bool, :func:`unseen_limbs` and
        :func:`hidden_hands`.
    """
    return torch.cat([unseen_limbs(masks, joints), hidden_hands(masks, joints)], dim=1)


def hidden_hands(masks: Tensor, joints: Tensor) -> Tensor:
    """Return which of right and left arm end without a hand, and cannot have the other one, mirrored.

    Shape:
        masks: (B, 8, H, W); joints: (B, 18, 3), as detected; result: (B, 2) bool.
    """
    arms = _Visibility.of(masks, joints)
    return arms.known & (arms.length > _LONG) & (arms.hand < _HIDDEN_HAND) & ~arms.unseen


def absent_joints(masks: Tensor, joints: Tensor) -> Tensor:
    """Return the joints that a pose must not have, so that unseen limbs that the photo lacks altogether are not drawn.

    These are the wrist or ankle of an unseen limb whose joints are unknown or whose forearm or shin is mostly not on
    the person, and its elbow or knee if that is unknown.

    Shape:
        masks: (B, 8, H, W); joints: (B, 18, 3), as detected; result: (B, 18) bool.
    """
    unseen, on_person = _found(masks, joints)
    known = (joints[:, MIDDLES, 2] > 0) & (joints[:, ENDS, 2] > 0)
    absent = unseen & (~known | (on_person < _OFF_PERSON))
    left_out = torch.zeros_like(joints[..., 2], dtype=torch.bool)
    left_out[:, ENDS] = absent
    left_out[:, MIDDLES] = absent & (joints[:, MIDDLES, 2] <= 0)
    return left_out


def _found(masks: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Return which limbs are unseen, (B, 4) bool, and the share of each forearm and shin on the person, (B, 4)."""
    arms, legs = _Visibility.of(masks, joints), _legs_on_person(masks, joints)
    shown = (legs > _ON_PERSON).all(2) & (joints[:, _KNEES, 2] > 0) & (joints[:, _ANKLES, 2] > 0)
    unseen_legs = (legs < _HOLED).any(2) & shown.flip(1)
    return torch.cat([arms.unseen, unseen_legs], dim=1), torch.cat([arms.person, legs[..., 1]], dim=1)


def _legs_on_person(masks: Tensor, joints: Tensor) -> Tensor:
    """Return the shares of thigh and shin on the person, (B, 2, 2): right and left leg, thigh and shin."""
    completed = complete_joints(joints.float())
    start, end = completed[:, [_HIPS, _KNEES], :2].flatten(1, 2), completed[:, [_KNEES, _ANKLES], :2].flatten(1, 2)
    regions = _along(masks.float(), start, end - start, body_size(completed))  # (B, 8, 4, 3, K)
    shares = (1 - regions[:, BACKGROUND, :, 1]).mean(-1)
    return shares.view(-1, 2, 2).transpose(1, 2)


@dataclass(frozen=True)
class _Visibility:
    """How much a photo shows of right and left forearm.

    Shape:
        known: (B, 2) bool, whether elbow and wrist are known; length: (B, 2), in torso lengths; person: (B, 2), share
        on the person; bare, hand: (B, 2), bare shares of the forearm and of where its hand is.
    """

    known: Tensor
    length: Tensor
    person: Tensor
    bare: Tensor
    hand: Tensor

    @classmethod
    def of(cls, masks: Tensor, joints: Tensor) -> _Visibility:
        completed = complete_joints(joints.float())
        forearm = completed[:, WRISTS, :2] - completed[:, ELBOWS, :2]  # (B, 2, 2)
        regions = _along(masks.float(), completed[:, ELBOWS, :2], forearm, body_size(completed))  # (B, 8, 2, 3, K)
        return cls(
            known=(joints[:, ELBOWS, 2] > 0) & (joints[:, WRISTS, 2] > 0),
            length=_lengths(completed),
            person=(1 - regions[:, BACKGROUND, :, 1]).mean(-1),
            bare=regions[:, _BARE_ARMS, :, 1].mean(-1),
            hand=_hands(masks.float(), completed) * ~_in_pockets(masks.float(), completed),
        )

    @property
    def unseen(self) -> Tensor:
        """Which forearm hardly shows while the other one does, (B, 2) bool."""
        shown = self.known & (self.length > _LONG) & (self.person > _ON_PERSON)
        covered = (self.bare < _LESS_BARE * self.bare.flip(1)) & (self.bare.flip(1) > _BARE)
        covered = covered | (self.hand < _HIDDEN_HAND) & (self.hand.flip(1) > _SHOWN_HAND)
        unseen = ~self.known | (self.length < _SHORTEST) | (self.person < _OFF_PERSON) | covered
        return unseen & shown.flip(1) & ~unseen.flip(1)


def _hands(masks: Tensor, completed: Tensor) -> Tensor:
    """Return the bare shares of where both hands are, past the wrists, (B, 2)."""
    return _past_wrists(masks[:, _BARE_ARMS, None], completed, _HAND, _BESIDE_HAND)[:, 0].mean((-2, -1))


def _in_pockets(masks: Tensor, completed: Tensor) -> Tensor:
    """Return which hands end shortly past the wrist at a garment: the rest is in a pocket, (B, 2) bool."""
    regions = _past_wrists(masks, completed, _ALONG_HAND, _ACROSS_HAND)  # (B, 8, 2, K, J)
    bare = running_products(regions[:, _BARE_ARMS].amax(-1))  # (B, 2, K)
    length = bare.sum(-1)
    garments = regions[:, _GARMENTS].sum(1).mean(-1)
    after = (length.long() + 1).clamp(max=_ALONG_HAND[2] - 1)
    at_garment = garments.gather(-1, after[..., None])[..., 0] > 0.5
    return (length > 0) & (length * _ALONG_HAND[1] < _SHORT_HAND * (_ALONG_HAND[2] - 1)) & at_garment


def _past_wrists(
    masks: Tensor, completed: Tensor, along: tuple[float, float, int], across: tuple[float, float, int]
) -> Tensor:
    """Sample masks on a grid past both wrists, (B, C, 2, K, J).

    Args:
        masks: the masks.
        completed: completed joints.
        along: torso lengths past the wrist along the forearm, and number of places.
        across: torso lengths across, and number of places.

    Shape:
        masks: (B, C, H, W); completed: (B, 18, 3).
    """
    size = body_size(completed)[:, None, None]
    wrists, forearm = completed[:, WRISTS, :2], completed[:, WRISTS, :2] - completed[:, ELBOWS, :2]
    unit = size * forearm / forearm.norm(dim=-1, keepdim=True).clamp(min=1e-3)  # (B, 2, 2)
    normal = torch.stack([-unit[..., 1], unit[..., 0]], dim=-1)
    past, beside = (torch.linspace(*where, device=masks.device)[:, None] for where in (along, across))
    axis = wrists[:, :, None] + past * unit[:, :, None]  # (B, 2, K, 2)
    points = axis[:, :, :, None] + beside * normal[:, :, None, None]
    extent = masks.new_tensor([masks.shape[3], masks.shape[2]])
    grid = ((2 * points + 1) / extent - 1).flatten(2, 3)
    on = F.grid_sample(masks, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return on.reshape(*on.shape[:3], along[2], across[2])


def point_at_camera(completed: Tensor) -> Tensor:
    """Return which of right and left forearm is so short that it points at the camera, (B, 18, 3) to (B, 2) bool."""
    return _lengths(completed) < _SHORTEST


def _lengths(completed: Tensor) -> Tensor:
    """Return the lengths of both forearms in torso lengths, (B, 2)."""
    lengths: Tensor = (completed[:, WRISTS, :2] - completed[:, ELBOWS, :2]).norm(dim=-1)
    return lengths / body_size(completed)[:, None]


def _along(masks: Tensor, start: Tensor, bone: Tensor, size: Tensor) -> Tensor:
    """Sample region masks along bones, on the axis and on either side of it.

    Shape:
        masks: (B, 8, H, W); start, bone: (B, N, 2); size: (B,); result: (B, 8, N, 3, K), with the axis in the middle.
    """
    shares = torch.linspace(0, 1, _POINTS, device=masks.device)
    aside = torch.linspace(-_ASIDE, _ASIDE, 3, device=masks.device)
    across = torch.stack([-bone[..., 1], bone[..., 0]], dim=-1) / bone.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    axis = start[:, :, None] + shares[:, None] * bone[:, :, None]  # (B, N, K, 2)
    rows = axis[:, :, None] + (size[:, None, None, None] * across[:, :, None] * aside[:, None])[..., None, :]
    extent = masks.new_tensor([masks.shape[3], masks.shape[2]])
    grid = ((2 * rows + 1) / extent - 1).flatten(1, 2)  # (B, 3 N, K, 2)
    on = F.grid_sample(masks, grid, mode="nearest", padding_mode="border", align_corners=False)
    return on.view(len(on), on.shape[1], -1, 3, on.shape[3])
