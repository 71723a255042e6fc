"""Part warp: where each pixel of a target pose lies in the source, from the joints alone (docs/design.md, part warp).

The body is ten parts. Each part p has one affine map M_p from target pixels to source pixels, a soft membership of the
target's pixels, w_p, and one of the source's pixels, v_p. With s_p(x) = v_p(M_p x), zero outside the picture,

    warped(x) = sum_p w_p(x) s_p(x) source(M_p x) / sum_p w_p(x) s_p(x)
    coverage(x) = sum_p w_p(x) s_p(x)

Nothing is learned. Each part is only evaluated on the box that it can reach, so cost and memory are linear in the
number of pixels, with about two samples a pixel instead of ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_WARP_CHANNELS = 12
"""Channels of :meth:`PartWarp.channels`: warped image (3), coverage (1), warped regions (8)."""

PLAIN_BACKGROUND = 230 / 127.5 - 1
"""The light grey of a plain background, in [-1, 1]; also what stands where nothing is covered."""

_NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER, _RIGHT_HIP, _LEFT_HIP = 1, 2, 5, 8, 11
_EYES_AND_NOSE = (0, 14, 15)
_TORSO = (1, 2, 5, 8, 11)
_HEAD = (0, 14, 15, 16, 17, 1)
_LIMBS = ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13))
"""Joints of each limb from the body outwards: shoulder, elbow, wrist and hip, knee, ankle."""
_BONES = tuple(bone for start, middle, end in _LIMBS for bone in ((start, middle), (middle, end)))
PARTS = (
    "torso", "head", "right upper arm", "right forearm", "left upper arm", "left forearm",
    "right thigh", "right shin", "left thigh", "left shin",
)  # fmt: skip
"""Names of the ten parts; forearms include hands, shins include feet."""
_TORSO_PART, _HEAD_PART, _FIRST_BONE = 0, 1, 2

_FACE = 4  # region id
_LEAST_SIZE = 8.0  # pixels of a torso
_EPS = 1e-6

# Typical lengths in torso lengths; as factors from a bone to the torso they are the largest that bodies show.
_FROM_BONE = (
    (2, 5, 1.45), (2, 3, 1.7), (5, 6, 1.7), (3, 4, 1.9), (6, 7, 1.9), (8, 9, 1.15), (11, 12, 1.15), (9, 10, 1.2),
    (12, 13, 1.2), (0, 1, 2.6),
)  # fmt: skip
_LENGTHS = {2: (0.6, 0.5), 5: (0.6, 0.5), 8: (0.85, 0.8), 11: (0.85, 0.8)}  # by the limb's first joint
_FORESHORTENED = 0.6  # a torso shorter than this share of what other bones say is seen foreshortened
_HIPS_PER_SHOULDERS = 0.6

# In torso lengths: each part's half width, how far it reaches beyond its last joint, and where it ends.
_RADII = (0.16, 0.13, 0.16, 0.13, 0.24, 0.18, 0.24, 0.18)
_BEYOND = (0.0, 0.35, 0.0, 0.35, 0.0, 0.25, 0.0, 0.25)  # hands and feet
_IN_FRONT = (1.8, 3.0, 1.8, 3.0, 0.0, 0.0, 0.0, 0.0)  # arms lie in front of the torso: lower cost on them
_HEAD_RADIUS, _SOFTNESS = 0.22, 0.15
_LEAST_HALF_WIDTH = 0.18
_NEAR, _FAR = 0.35, 0.55
_HIGHEST_COST = 40.0
_LEAST_COVERAGE = 0.02
_LEAST_SOURCE = 0.05  # weight of a source pixel that another part owns

_RIDGE = 0.03
_MIRRORED_IS_BETTER = 0.7
_TORSO_SCALES, _HEAD_SCALES, _BONE_SCALES = (0.45, 2.5), (0.7, 1.4), (0.4, 2.5)
_SHOULDERS_APART = 0.15


@dataclass(frozen=True)
class PartWarp:
    """A source brought into a target pose, part by part.

    Shape:
        image: (B, 3, H, W), in the source's range, ``fill`` where nothing is covered; regions: (B, 8, H, W), shares
        that sum to 1 where something is covered, else 0; coverage: (B, 1, H, W) in [0, 1], how much of the source is
        visible there; coordinates: (B, 2, H, W), x and y in source pixels of the part that counts most, 0 where nothing
        is covered.
    """

    image: Tensor
    regions: Tensor
    coverage: Tensor
    coordinates: Tensor

    def channels(self) -> Tensor:
        """Return image, coverage and regions as the networks read them, (B, 12, H, W)."""
        return torch.cat([self.image, self.coverage, self.regions], dim=1)


@dataclass(frozen=True)
class PartTransforms:
    """One affine map for each part from target pixels to source pixels, source = matrix @ target + offset.

    Shape:
        matrix: (B, 10, 2, 2); offset: (B, 10, 2); valid: (B, 10) bool.
    """

    matrix: Tensor
    offset: Tensor
    valid: Tensor


def body_size(joints: Tensor) -> Tensor:
    """Return the body's size: its torso length in pixels, as far as the joints tell, at least 8.

    That is the distance from neck to hips, unless these are missing or the torso is foreshortened: then the largest of
    what the other bones suggest.

    Shape:
        joints: (B, 18, 3); result: (B,).
    """
    places, present = joints[..., :2], joints[..., 2] > 0
    hips, has_hip = _middle(places, present, _RIGHT_HIP, _LEFT_HIP)
    torso = (places[:, _NECK] - hips).norm(dim=-1)
    has_torso = present[:, _NECK] & has_hip
    starts, ends = [start for start, _, _ in _FROM_BONE], [end for _, end, _ in _FROM_BONE]
    factors = joints.new_tensor([factor for _, _, factor in _FROM_BONE])
    lengths = (places[:, starts] - places[:, ends]).norm(dim=-1) * factors  # (B, 10)
    longest = torch.where(present[:, starts] & present[:, ends], lengths, 0).amax(1)
    known = has_torso & (torso > _FORESHORTENED * longest)
    return torch.where(known, torso, torch.maximum(longest, torch.where(has_torso, torso, 0))).clamp(min=_LEAST_SIZE)


def complete_joints(joints: Tensor) -> Tensor:
    """Place missing joints where a body that hangs straight has them, as far as the others allow.

    Neck between the shoulders; a shoulder or hip mirrors the other; hips one torso length below the neck; knees,
    ankles, elbows and wrists along their limb, or along the torso, at typical lengths. Joints of the head stay missing.

    Shape:
        joints: (B, 18, 3), x, y, score; result: likewise, a score of at least 0.1 where a joint is known or placed.
    """
    places, present = joints[..., :2].clone(), joints[..., 2] > 0
    size = body_size(joints)[:, None]

    def place(joint: int, where: Tensor, allowed: Tensor) -> None:
        new = allowed & ~present[:, joint]
        places[:, joint] = torch.where(new[:, None], where, places[:, joint])
        present[:, joint] |= new

    present = present.clone()
    neck, right, left = (places[:, joint] for joint in (_NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER))
    place(_NECK, (right + left) / 2, present[:, _RIGHT_SHOULDER] & present[:, _LEFT_SHOULDER])
    place(_RIGHT_SHOULDER, 2 * neck - left, present[:, _NECK] & present[:, _LEFT_SHOULDER])
    place(_LEFT_SHOULDER, 2 * neck - right, present[:, _NECK] & present[:, _RIGHT_SHOULDER])

    hips, has_hip = _middle(places, present, _RIGHT_HIP, _LEFT_HIP)
    below = joints.new_tensor([0.0, 1.0]).expand_as(hips)
    along = torch.where((has_hip & present[:, _NECK])[:, None], hips - neck, below)
    down = along / along.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    down = torch.where(down.norm(dim=-1, keepdim=True) > 0.5, down, below)
    half = (left - right) * (_HIPS_PER_SHOULDERS / 2)
    has_shoulders = present[:, _NECK] & present[:, _RIGHT_SHOULDER] & present[:, _LEFT_SHOULDER]
    right_known, left_known = present[:, _RIGHT_HIP].clone(), present[:, _LEFT_HIP].clone()
    straight = neck + down * size
    right_hip, left_hip = places[:, _RIGHT_HIP].clone(), places[:, _LEFT_HIP].clone()
    place(_RIGHT_HIP, torch.where(left_known[:, None], left_hip - 2 * half, straight - half), has_shoulders)
    place(_LEFT_HIP, torch.where(right_known[:, None], right_hip + 2 * half, straight + half), has_shoulders)

    for start, middle, end in _LIMBS:
        upper, lower = _LENGTHS[start]
        place(middle, places[:, start] + down * size * upper, present[:, start])
        bone = places[:, middle] - places[:, start]
        bone = bone / bone.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        place(end, places[:, middle] + bone * size * lower, present[:, start] & present[:, middle])
    score = torch.where(present, joints[..., 2].clamp(min=0.1), 0)
    return torch.cat([torch.where(present[..., None], places, 0), score[..., None]], dim=-1)


def part_transforms(source: Tensor, target: Tensor) -> PartTransforms:
    """Return the affine map of each part, from the joints of two completed poses.

    Shape:
        source, target: (B, 18, 3) as :func:`complete_joints` gives them.
    """
    both = ((source[..., 2] > 0) & (target[..., 2] > 0)).to(source.dtype)  # (B, 18)
    source_size, target_size = body_size(source), body_size(target)
    scale = source_size / target_size
    torso, torso_offset, mirrored = _torso_transform(source, target, both, scale, target_size)
    head, head_offset = _head_transform(source, target, both, scale, mirrored)
    bones, bone_offsets, has_bone = _bone_transforms(source, target, both, scale, mirrored)
    valid = torch.stack([both[:, _TORSO].sum(1) >= 1, both[:, _HEAD[:-1]].sum(1) >= 1], dim=1)
    return PartTransforms(
        torch.cat([torso[:, None], head[:, None], bones], dim=1),
        torch.cat([torso_offset[:, None], head_offset[:, None], bone_offsets], dim=1),
        torch.cat([valid, has_bone], dim=1),
    )


def warp_parts(
    image: Tensor,
    masks: Tensor,
    source: Tensor,
    target: Tensor,
    fill: float = PLAIN_BACKGROUND,
    *,
    on_boxes: bool | None = None,
) -> PartWarp:
    """Bring a source into a target pose.

    Args:
        image: the source picture.
        masks: its region masks; id 0 is background, 4 the face.
        source: its joints, as detected; missing ones are completed here.
        target: joints of the pose.
        fill: value of pixels that nothing covers.
        on_boxes: evaluate each part on the box it can reach only. None: on a CPU; a GPU takes whole canvases.

    Shape:
        image: (B, 3, H, W); masks: (B, 8, H, W); source, target: (B, 18, 3), x, y in pixels of the canvas and a score.
    """
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        boxed = image.device.type == "cpu" if on_boxes is None else on_boxes
        hidden = _hidden_faces(source, target)
        source, target = complete_joints(source.float()), complete_joints(target.float())
        transforms = part_transforms(source, target)
        size = (image.shape[2], image.shape[3])
        return _composite(
            torch.cat([image.float() - fill, masks.float()], dim=1), fill, transforms, hidden,
            _Shape.of(source, transforms.valid), _Shape.of(target, transforms.valid), size, boxed=boxed,
        )  # fmt: skip


def _hidden_faces(source: Tensor, target: Tensor) -> Tensor:
    """Return (B,) bool: whose face must not be warped, since one of the two is seen from behind."""
    faceless = ~(target[:, _EYES_AND_NOSE, 2] > 0).any(1)
    sides = []
    for joints in (source, target):
        across = joints[:, _LEFT_SHOULDER, 0] - joints[:, _RIGHT_SHOULDER, 0]
        known = (joints[:, _LEFT_SHOULDER, 2] > 0) & (joints[:, _RIGHT_SHOULDER, 2] > 0)
        apart = across.abs() > _SHOULDERS_APART * body_size(joints)
        sides.append(torch.where(known & apart, across.sign(), 0))
    return faceless | (sides[0] * sides[1] < 0)


def _middle(places: Tensor, present: Tensor, first: int, second: int) -> tuple[Tensor, Tensor]:
    """Return the middle of two joints, or the one that is present, and whether there is one."""
    has_first, has_second = present[:, first, None], present[:, second, None]
    one = torch.where(has_first, places[:, first], places[:, second])
    middle = torch.where(has_first & has_second, (places[:, first] + places[:, second]) / 2, one)
    return middle, (has_first | has_second)[:, 0]


# Transforms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares of joint pairs: centroids, and the similarity with its residual.

    Shape:
        matrix: (B, 2, 2); target_mean, source_mean: (B, 2); residual: (B,).
    """

    matrix: Tensor
    target_mean: Tensor
    source_mean: Tensor
    residual: Tensor


def _similarity(target: Tensor, source: Tensor, weight: Tensor, *, mirrored: bool) -> _Fit:
    """Fit source = s R target + t, R a rotation, or a rotation after a reflection of x.

    Shape:
        target, source: (B, K, 2); weight: (B, K).
    """
    total = weight.sum(1, keepdim=True).clamp(min=_EPS)
    target_mean = (target * weight[..., None]).sum(1) / total
    source_mean = (source * weight[..., None]).sum(1) / total
    centred, wanted = target - target_mean[:, None], source - source_mean[:, None]
    sign = -1.0 if mirrored else 1.0
    x, y = centred[..., 0] * sign, centred[..., 1]
    norm = (weight * (x * x + y * y)).sum(1).clamp(min=1e-3)
    cos = (weight * (x * wanted[..., 0] + y * wanted[..., 1])).sum(1) / norm
    sin = (weight * (x * wanted[..., 1] - y * wanted[..., 0])).sum(1) / norm
    matrix = _matrix(cos * sign, -sin, sin * sign, cos)
    error = (centred @ matrix.transpose(1, 2) - wanted).square().sum(-1)
    return _Fit(matrix, target_mean, source_mean, (weight * error).sum(1) / total[:, 0])


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)


def _offset(matrix: Tensor, fit: _Fit) -> Tensor:
    return fit.source_mean - (matrix @ fit.target_mean[..., None])[..., 0]


def _rescaled(matrix: Tensor, scale: Tensor, limits: tuple[float, float] | None) -> Tensor:
    """Give a similarity the scale of the body, or clamp its own to ``limits`` times that."""
    own = _determinant(matrix).abs().sqrt()
    wanted = scale if limits is None else torch.minimum(torch.maximum(own, limits[0] * scale), limits[1] * scale)
    identity = torch.eye(2, dtype=matrix.dtype, device=matrix.device) * scale[:, None, None]
    known = (own > 1e-3 * scale)[:, None, None]
    return torch.where(known, matrix * (wanted / own.clamp(min=_EPS))[:, None, None], identity)


def _determinant(matrix: Tensor) -> Tensor:
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def _torso_transform(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, target_size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an affine map of neck, shoulders and hips, drawn towards a similarity; also say who is mirrored, (B,)."""
    weight = both[:, _TORSO]
    pairs = target[:, _TORSO, :2], source[:, _TORSO, :2]
    plain, mirror = (_similarity(*pairs, weight, mirrored=mirrored) for mirrored in (False, True))
    count = weight.sum(1)
    mirrored = (mirror.residual < _MIRRORED_IS_BETTER * plain.residual) & (count >= 3)
    towards = _rescaled(torch.where(mirrored[:, None, None], mirror.matrix, plain.matrix), scale, None)
    upright = torch.eye(2, dtype=scale.dtype, device=scale.device) * scale[:, None, None]
    towards = torch.where((count >= 2)[:, None, None], towards, upright)

    centred = pairs[0] - plain.target_mean[:, None]
    wanted = pairs[1] - plain.source_mean[:, None]
    ridge = (_RIDGE * target_size.square())[:, None, None]
    square = torch.einsum("bk,bki,bkj->bij", weight, centred, centred) + ridge * torch.eye(
        2, dtype=scale.dtype, device=scale.device
    )
    cross = torch.einsum("bk,bki,bkj->bij", weight, wanted, centred) + ridge * towards
    adjugate = _matrix(square[:, 1, 1], -square[:, 0, 1], -square[:, 1, 0], square[:, 0, 0])
    matrix = cross @ adjugate / _determinant(square)[:, None, None]
    matrix = _clamp_singular_values(matrix, _TORSO_SCALES[0] * scale, _TORSO_SCALES[1] * scale)
    return matrix, _offset(matrix, plain), mirrored


def _clamp_singular_values(matrix: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Clamp the singular values of 2x2 matrices, keeping directions and the determinant's sign.

    Any A is a similarity plus a mirrored similarity, with strengths q and r; its singular values are q + r and |q - r|.

    Shape:
        matrix, result: (B, 2, 2); least, most: (B,).
    """
    a, b, c, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1]
    e, h, f, g = (a + d) / 2, (c - b) / 2, (a - d) / 2, (c + b) / 2
    q, r = torch.hypot(e, h), torch.hypot(f, g)
    large, small = q + r, q - r
    sign = torch.where(small < 0, -1.0, 1.0)
    large = torch.minimum(torch.maximum(large, least), most)
    small = torch.minimum(torch.maximum(small.abs(), least), most) * sign
    new_q, new_r = (large + small) / 2, (large - small) / 2
    (e, h), (f, g) = _direction(e, h, q), _direction(f, g, r)
    return _matrix(new_q * e + new_r * f, new_r * g - new_q * h, new_r * g + new_q * h, new_q * e - new_r * f)


def _direction(x: Tensor, y: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vector of (x, y), or (1, 0) where it has no length."""
    known = length > _EPS
    return torch.where(known, x, 1.0) / torch.where(known, length, 1.0), torch.where(known, y, 0.0) / torch.where(
        known, length, 1.0
    )


def _head_transform(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, mirrored: Tensor
) -> tuple[Tensor, Tensor]:
    """Fit a similarity of nose, eyes, ears and, with half the weight, the neck; mirrored where the torso is."""
    joints = list(_HEAD)
    weight = both[:, joints] * both.new_tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.5])
    pairs = target[:, joints, :2], source[:, joints, :2]
    plain, mirror = (_similarity(*pairs, weight, mirrored=value) for value in (False, True))
    matrix = torch.where(mirrored[:, None, None], mirror.matrix, plain.matrix)
    upright = torch.eye(2, dtype=scale.dtype, device=scale.device) * scale[:, None, None]
    matrix = torch.where((weight > 0).sum(1)[:, None, None] >= 2, _rescaled(matrix, scale, _HEAD_SCALES), upright)
    return matrix, _offset(matrix, plain)


def _bone_transforms(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, mirrored: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Map each bone on its own: its length along it, the body's scale across it.

    Shape:
        matrices: (B, 8, 2, 2); offsets: (B, 8, 2); valid: (B, 8).
    """
    starts, ends = [start for start, _ in _BONES], [end for _, end in _BONES]
    along, normal, length = [], [], []
    for joints in (source, target):
        bone = joints[:, ends, :2] - joints[:, starts, :2]
        size = bone.norm(dim=-1)
        # A bone of no length hangs down.
        known = (size > 1e-3)[..., None]
        unit = torch.where(known, bone / size.clamp(min=1e-3)[..., None], bone.new_tensor([0.0, 1.0]))
        along.append(unit)
        normal.append(torch.stack([-unit[..., 1], unit[..., 0]], -1))
        length.append(size.clamp(min=1e-3))
    scale = scale[:, None]
    stretch = torch.minimum(torch.maximum(length[0] / length[1], _BONE_SCALES[0] * scale), _BONE_SCALES[1] * scale)
    across = torch.where(mirrored[:, None], -scale, scale)
    matrix = stretch[..., None, None] * along[0][..., :, None] * along[1][..., None, :]
    matrix = matrix + across[..., None, None] * normal[0][..., :, None] * normal[1][..., None, :]
    offset = source[:, starts, :2] - (matrix @ target[:, starts, :2, None])[..., 0]
    return matrix, offset, (both[:, starts] * both[:, ends]) > 0


# Memberships ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """Where the parts of a body lie: segments with a radius, the head a point, the torso an oriented box.

    Shape:
        start, end: (B, 10, 2); half: (B,), half width of the torso; size: (B,); valid: (B, 10) bool.
    """

    start: Tensor
    end: Tensor
    half: Tensor
    size: Tensor
    valid: Tensor

    @classmethod
    def of(cls, joints: Tensor, valid: Tensor) -> _Shape:
        """Read it off completed joints, (B, 18, 3)."""
        places, present = joints[..., :2], joints[..., 2] > 0
        size = body_size(joints)
        shoulders, has_shoulder = _middle(places, present, _RIGHT_SHOULDER, _LEFT_SHOULDER)
        shoulders = torch.where(has_shoulder[:, None], shoulders, places[:, _NECK])
        hips, has_hip = _middle(places, present, _RIGHT_HIP, _LEFT_HIP)
        below = torch.stack([torch.zeros_like(size), size], -1)
        hips = torch.where(has_hip[:, None], hips, shoulders + below)
        wide = (places[:, _RIGHT_SHOULDER] - places[:, _LEFT_SHOULDER]).norm(dim=-1) / 2 * 0.95
        wide = torch.where(present[:, _RIGHT_SHOULDER] & present[:, _LEFT_SHOULDER], wide, 0)
        face = present[:, _HEAD[:-1]].to(places.dtype)
        head = (places[:, _HEAD[:-1]] * face[..., None]).sum(1) / face.sum(1, keepdim=True).clamp(min=1)
        starts, ends = [start for start, _ in _BONES], [end for _, end in _BONES]
        own = torch.stack([present[:, _TORSO].any(1), face.sum(1) > 0], dim=1)
        own = torch.cat([own, present[:, starts] & present[:, ends]], dim=1)
        return cls(
            torch.cat([shoulders[:, None], head[:, None], places[:, starts]], dim=1),
            torch.cat([hips[:, None], head[:, None], places[:, ends]], dim=1),
            torch.maximum(wide, _LEAST_HALF_WIDTH * size), size, valid & own,
        )  # fmt: skip

    def distance(self, part: int, x: Tensor, y: Tensor) -> Tensor:
        """Return how far pixels lie outside a part, in torso lengths; 0 inside.

        Shape:
            x: (1, 1, w), y: (1, h, 1); result: (B, h, w).
        """
        start, end, size = self.start[:, part], self.end[:, part], self.size[:, None, None]
        dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
        if part == _HEAD_PART:
            away = torch.hypot(dx, dy) / size - _HEAD_RADIUS
            return away.clamp(min=0)
        along = end - start
        length = along.norm(dim=-1).clamp(min=1e-3)
        ux, uy = (along / length[:, None]).unbind(-1)
        u = dx * ux[:, None, None] + dy * uy[:, None, None]
        v = dy * ux[:, None, None] - dx * uy[:, None, None]
        length = length[:, None, None]
        if part == _TORSO_PART:
            outside = torch.maximum((-u).clamp(min=0), (u - length).clamp(min=0))
            beside = (v.abs() - self.half[:, None, None]).clamp(min=0)
            return torch.hypot(outside, beside) / size
        bone = part - _FIRST_BONE
        outside = u - torch.minimum(u.clamp(min=0), length * (1 + _BEYOND[bone]))
        distance = torch.hypot(outside, v) / size - 0.6 * _RADII[bone]
        return distance.clamp(min=0)

    def weight(self, part: int, box: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
        """Return exp(-cost) of each pixel of a box, not normalised over parts, and its nearness.

        Shape:
            results: (B, h, w); 0 beyond 0.55 torso lengths.
        """
        device, dtype = self.size.device, self.size.dtype
        y = torch.arange(box[0].start, box[0].stop, device=device, dtype=dtype)[None, :, None]
        x = torch.arange(box[1].start, box[1].stop, device=device, dtype=dtype)[None, None, :]
        distance = self.distance(part, x, y)
        near = ((_FAR - distance) / (_FAR - _NEAR)).clamp(0, 1) * self.valid[:, part, None, None]
        if part < _FIRST_BONE:
            cost = (distance / _SOFTNESS).square()
        else:
            radius = _RADII[part - _FIRST_BONE]
            cost = (distance / (0.5 * radius)).square()
            in_front = _IN_FRONT[part - _FIRST_BONE]
            if in_front:
                cost = cost - in_front * torch.exp(-(distance / (0.3 * radius)).square())
        return torch.exp(-cost.clamp(max=_HIGHEST_COST)) * near, near

    def boxes(self, size: tuple[int, int], *, boxed: bool) -> list[tuple[slice, slice] | None]:
        """Return, for each part, rows and columns that hold all its pixels of non-zero weight, over the whole batch."""
        height, width = size
        if not boxed:
            return [(slice(0, height), slice(0, width))] * len(PARTS)
        radius = torch.cat([self.half.new_zeros(2), self.half.new_tensor(_RADII) * 0.6])  # (10,)
        reach = (radius + _FAR) * self.size[:, None]  # (B, 10)
        reach[:, _TORSO_PART] += self.half
        reach[:, _HEAD_PART] += _HEAD_RADIUS * self.size
        beyond = torch.cat([self.half.new_zeros(2), self.half.new_tensor(_BEYOND)])[:, None]
        tip = self.end + (self.end - self.start) * beyond
        reach = reach[..., None]
        first = torch.minimum(self.start, tip) - reach
        last = torch.maximum(self.start, tip) + reach
        gone = ~self.valid[..., None]
        first = first.masked_fill(gone, float("inf")).amin(0)  # (10, 2)
        last = last.masked_fill(gone, float("-inf")).amax(0)
        found: list[tuple[slice, slice] | None] = []
        limits = torch.cat([first.clamp(-1, 1e6), last.clamp(-1, 1e6)], dim=1).tolist()
        for left, top, right, bottom in limits:
            rows = slice(max(int(top), 0), min(int(bottom) + 2, height))
            columns = slice(max(int(left), 0), min(int(right) + 2, width))
            inside = rows.start < rows.stop and columns.start < columns.stop
            found.append((rows, columns) if inside else None)
        return found


def _source_memberships(shape: _Shape, size: tuple[int, int], *, boxed: bool) -> Iterator[Tensor]:
    """Yield each part's soft membership of the source's pixels, (B, 1, H, W)."""
    boxes = shape.boxes(size, boxed=boxed)
    total = shape.size.new_zeros(len(shape.size), *size)
    weights: list[Tensor | None] = []
    for part, box in enumerate(boxes):
        weight = None if box is None else shape.weight(part, box)[0]
        weights.append(weight)
        if box is not None and weight is not None:
            total[(..., *box)] += weight
    for box, weight in zip(boxes, weights, strict=True):
        membership = torch.zeros_like(total)
        if box is not None and weight is not None:
            membership[(..., *box)] = weight / total[(..., *box)].clamp(min=1e-30)
        yield membership[:, None]


def _composite(
    source: Tensor, fill: float, transforms: PartTransforms, hidden: Tensor, source_shape: _Shape,
    target_shape: _Shape, size: tuple[int, int], *, boxed: bool,
) -> PartWarp:  # fmt: skip
    """Sample every part and blend: the module's equations."""
    batch = len(source)
    height, width = size
    sums = source.new_zeros(batch, source.shape[1], height, width)
    weight_sum, total, nearness = (source.new_zeros(batch, 1, height, width) for _ in range(3))
    best = source.new_zeros(batch, 1, height, width)
    coordinates = source.new_zeros(batch, 2, height, width)
    boxes = target_shape.boxes(size, boxed=boxed)
    showing = 1 - source[:, 3 + _FACE, None] * hidden[:, None, None, None].to(source.dtype)
    for part, membership in enumerate(_source_memberships(source_shape, size, boxed=boxed)):
        box = boxes[part]
        if box is None:
            continue
        weight, near = (value[:, None] for value in target_shape.weight(part, box))
        grid, places = _places(transforms, part, box, size)
        owned = membership if part != _HEAD_PART else membership * showing
        sampled = F.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        owned = F.grid_sample(owned, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        shown = 1 - F.relu(1 - sampled[:, 3:].sum(1, keepdim=True))  # 0 outside the picture
        if part == _HEAD_PART:
            face = sampled[:, 3 + _FACE, None]
            shown = shown * (1 - face * hidden[:, None, None, None].to(face.dtype))
        share = weight * (owned * (1 - _LEAST_SOURCE) + _LEAST_SOURCE) * shown
        at = (..., *box)
        sums[at] += sampled * share
        weight_sum[at] += share
        total[at] += weight
        nearness[at] = torch.maximum(nearness[at], near)
        leads = share > best[at]
        coordinates[at] = torch.where(leads, places, coordinates[at])
        best[at] = torch.maximum(best[at], share)
    coverage = (weight_sum / total.clamp(min=1e-25)).clamp(0, 1) * nearness
    covered = (coverage > _LEAST_COVERAGE).to(source.dtype)
    mixed = sums / weight_sum.clamp(min=1e-25) * covered
    return PartWarp(mixed[:, :3] + fill, mixed[:, 3:], coverage * covered, coordinates * covered)


def _places(
    transforms: PartTransforms, part: int, box: tuple[slice, slice], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return where the target pixels of a box lie in the source, for grid_sample and in pixels.

    Shape:
        grid: (B, h, w, 2) in [-1, 1]; places: (B, 2, h, w).
    """
    matrix, offset = transforms.matrix[:, part], transforms.offset[:, part]
    y = torch.arange(box[0].start, box[0].stop, device=matrix.device, dtype=matrix.dtype)[None, :, None]
    x = torch.arange(box[1].start, box[1].stop, device=matrix.device, dtype=matrix.dtype)[None, None, :]
    a, b, c, d = (matrix[:, i, j, None, None] for i in (0, 1) for j in (0, 1))
    at_x = a * x + (b * y + offset[:, 0, None, None])
    at_y = c * x + (d * y + offset[:, 1, None, None])
    height, width = size
    grid = torch.stack([(2 * at_x + 1) / width - 1, (2 * at_y + 1) / height - 1], dim=-1)
    return grid, torch.stack([at_x, at_y], dim=1)
