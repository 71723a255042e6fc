"""Affine maps of the part warp: one for each part, fitted to the joints of two poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scmnet_cli.models.arrays import as_type, constant, length_of, namespace, norm
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.parts import BONE_ENDS, BONE_STARTS, HEAD_JOINTS, NECK, TORSO_JOINTS

if TYPE_CHECKING:
    from torch import Tensor

_RIDGE = 0.03  # torso lengths squared: strength of the ridge term that pulls the torso's map towards a similarity
_MIRRORED_IS_BETTER = 0.7  # a torso is mirrored if the mirrored fit has less than this share of the plain fit's error
_TORSO_SCALES, _HEAD_SCALES, _BONE_SCALES = (0.45, 2.5), (0.7, 1.4), (0.4, 2.5)  # min and max, relative to the body's
_HEAD_AND_NECK = (*HEAD_JOINTS, NECK)
_NECK_WEIGHT = 0.5
_EPS = 1e-6


@dataclass(frozen=True)
class PartTransforms:
    """One affine map per part from target to source pixels: source = matrix @ target + offset.

    Shape:
        matrix: (B, 10, 2, 2); offset: (B, 10, 2); valid: (B, 10) bool.
    """

    matrix: Tensor
    offset: Tensor
    valid: Tensor

    def rows(self, rows: slice) -> PartTransforms:
        """Return the maps of some rows of the batch."""
        return PartTransforms(self.matrix[rows], self.offset[rows], self.valid[rows])


def part_transforms(source: Tensor, target: Tensor, girth: tuple[float, float] = (1.0, 1.0)) -> PartTransforms:
    """Fit the affine map of each part to the joints of two completed poses.

    Args:
        source: joints of the source.
        target: joints of the pose.
        girth: width of arms and legs, as a share of their width in the source.

    Shape:
        source, target: (B, 18, 3) as :func:`complete_joints` gives them.
    """
    xp = namespace(source)
    both = as_type((source[..., 2] > 0) & (target[..., 2] > 0), source)  # (B, 18)
    sizes = body_size(xp.concatenate([source, target]))
    source_size, target_size = sizes[: len(source)], sizes[len(source) :]
    scale = source_size / target_size
    torso, torso_offset, mirrored = _torso_transform(source, target, both, scale, target_size)
    head, head_offset = _head_transform(source, target, both, scale, mirrored)
    bones, bone_offsets, has_bone = _bone_transforms(source, target, both, scale, mirrored, girth)
    valid = xp.stack([both[:, TORSO_JOINTS].sum(1) >= 1, both[:, HEAD_JOINTS].sum(1) >= 1], 1)
    return PartTransforms(
        xp.concatenate([torso[:, None], head[:, None], bones], 1),
        xp.concatenate([torso_offset[:, None], head_offset[:, None], bone_offsets], 1),
        xp.concatenate([valid, has_bone], 1),
    )


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares fit of K joint pairs: source = R target + t, R a similarity, with or without reflection.

    Shape:
        plain, mirrored: (B, 2, 2); plain_error, mirrored_error: (B,); target_mean, source_mean: (B, 2), weighted;
        target, source: (B, K, 2), centred.
    """

    plain: Tensor
    mirrored: Tensor
    plain_error: Tensor
    mirrored_error: Tensor
    target_mean: Tensor
    source_mean: Tensor
    target: Tensor
    source: Tensor

    @classmethod
    def of(cls, target: Tensor, source: Tensor, weight: Tensor) -> _Fit:
        """Fit the plain and the mirrored similarity.

        Shape:
            target, source: (B, K, 2); weight: (B, K).
        """
        total = weight.sum(1)[:, None].clip(_EPS)
        target_mean = (target * weight[..., None]).sum(1) / total
        source_mean = (source * weight[..., None]).sum(1) / total
        centred, wanted = target - target_mean[:, None], source - source_mean[:, None]
        size = (weight[..., None] * centred * centred).sum((1, 2)).clip(1e-3)
        products = (weight[..., None, None] * wanted[..., :, None] * centred[..., None, :]).sum(1) / size[:, None, None]
        # source's coordinate, target's coordinate
        xx, xy, yx, yy = (products[:, row, column] for row in (0, 1) for column in (0, 1))
        plain = matrix_of(xx + yy, xy - yx, yx - xy, xx + yy)
        mirrored = matrix_of(xx - yy, xy + yx, yx + xy, yy - xx)
        plain_error, mirrored_error = (
            (weight * ((_applied(matrix[:, None], centred) - wanted) ** 2).sum(-1)).sum(1) / total[:, 0]
            for matrix in (plain, mirrored)
        )
        return cls(plain, mirrored, plain_error, mirrored_error, target_mean, source_mean, centred, wanted)

    def offset(self, matrix: Tensor) -> Tensor:
        """Return t for another R, which maps the target's mean to the source's."""
        return self.source_mean - _applied(matrix, self.target_mean)


def matrix_of(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return 2x2 matrices with rows (a, b) and (c, d)."""
    matrix: Tensor = namespace(a).stack([a, b, c, d], -1).reshape(*a.shape, 2, 2)
    return matrix


def _applied(matrix: Tensor, vector: Tensor) -> Tensor:
    # Not a matrix product: its rounding may depend on the batch size, so results would depend on the process count.
    return (matrix * vector[..., None, :]).sum(-1)


def _scaling(scale: Tensor) -> Tensor:
    zero = 0 * scale
    return matrix_of(scale, zero, zero, scale)


def _determinant(matrix: Tensor) -> Tensor:
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def _rescaled(matrix: Tensor, scale: Tensor, limits: tuple[float, float]) -> Tensor:
    """Clamp the scale of a similarity to ``limits`` times the body's; a plain scaling if it is degenerate."""
    xp = namespace(matrix)
    own = xp.sqrt(abs(_determinant(matrix)))
    wanted = xp.minimum(xp.maximum(own, limits[0] * scale), limits[1] * scale)
    known = (own > 1e-3 * scale)[:, None, None]
    rescaled: Tensor = xp.where(known, matrix * (wanted / own.clip(_EPS))[:, None, None], _scaling(scale))
    return rescaled


def _torso_transform(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, target_size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an affine map to neck, shoulders and hips by ridge regression; also return whether it is mirrored, (B,)."""
    weight = both[:, TORSO_JOINTS]
    fit = _Fit.of(target[:, TORSO_JOINTS, :2], source[:, TORSO_JOINTS, :2], weight)
    count = weight.sum(1)
    mirrored = (fit.mirrored_error < _MIRRORED_IS_BETTER * fit.plain_error) & (count >= 3)
    xp = namespace(source)
    towards = _rescaled(xp.where(mirrored[:, None, None], fit.mirrored, fit.plain), scale, (1.0, 1.0))
    towards = xp.where((count >= 2)[:, None, None], towards, _scaling(scale))

    ridge = _RIDGE * target_size * target_size
    weighted = weight[..., None, None] * fit.target[..., None, :]  # (B, 5, 1, 2)
    square = (fit.target[..., :, None] * weighted).sum(1) + _scaling(ridge)
    cross = (fit.source[..., :, None] * weighted).sum(1) + ridge[:, None, None] * towards
    adjugate = matrix_of(square[:, 1, 1], -square[:, 0, 1], -square[:, 1, 0], square[:, 0, 0])
    matrix = (cross[..., :, None] * adjugate[:, None]).sum(-2) / _determinant(square)[:, None, None]
    matrix = _clamp_singular_values(matrix, _TORSO_SCALES[0] * scale, _TORSO_SCALES[1] * scale)
    return matrix, fit.offset(matrix), mirrored


def _clamp_singular_values(matrix: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Clamp the singular values of 2x2 matrices; keep directions and the determinant's sign.

    Any 2x2 matrix is a similarity plus a mirrored similarity. With their scales q and r, its singular values are q + r
    and |q - r|.

    Shape:
        matrix, result: (B, 2, 2); least, most: (B,).
    """
    xp = namespace(matrix)
    a, b, c, d = (matrix[:, row, column] for row in (0, 1) for column in (0, 1))
    e, h, f, g = (a + d) / 2, (c - b) / 2, (a - d) / 2, (c + b) / 2
    q, r = length_of(e, h), length_of(f, g)
    large, small = q + r, q - r
    sign = 1 - 2 * as_type(small < 0, small)
    large = xp.minimum(xp.maximum(large, least), most)
    small = xp.minimum(xp.maximum(abs(small), least), most) * sign
    new_q, new_r = (large + small) / 2, (large - small) / 2
    (e, h), (f, g) = _direction(e, h, q), _direction(f, g, r)
    return matrix_of(new_q * e + new_r * f, new_r * g - new_q * h, new_r * g + new_q * h, new_q * e - new_r * f)


def _direction(x: Tensor, y: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vector along (x, y), or (1, 0) for a zero vector."""
    known = length > _EPS
    xp = namespace(x)
    divisor = xp.where(known, length, 1.0)
    return xp.where(known, x, 1.0) / divisor, xp.where(known, y, 0.0) / divisor


def _head_transform(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, mirrored: Tensor
) -> tuple[Tensor, Tensor]:
    """Fit a similarity to nose, eyes, ears and, at half weight, the neck; mirrored if the torso is."""
    xp, weight = namespace(source), both[:, _HEAD_AND_NECK]  # a copy
    weight[:, -1] *= _NECK_WEIGHT
    fit = _Fit.of(target[:, _HEAD_AND_NECK, :2], source[:, _HEAD_AND_NECK, :2], weight)
    matrix = _rescaled(xp.where(mirrored[:, None, None], fit.mirrored, fit.plain), scale, _HEAD_SCALES)
    matrix = xp.where(((weight > 0).sum(1) >= 2)[:, None, None], matrix, _scaling(scale))
    return matrix, fit.offset(matrix)


def _bone_transforms(
    source: Tensor, target: Tensor, both: Tensor, scale: Tensor, mirrored: Tensor, girth: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Map each bone by itself: scaled by its own length along it, by the body's scale and ``girth`` across it.

    Shape:
        matrices: (B, 8, 2, 2); offsets: (B, 8, 2); valid: (B, 8).
    """
    xp = namespace(source)
    joints = xp.stack([source, target])[..., :2]  # (2, B, 18, 2)
    bone = joints[:, :, BONE_ENDS] - joints[:, :, BONE_STARTS]
    length = norm(bone)
    known = (length > 1e-3)[..., None]
    length = length.clip(1e-3)
    # A bone of zero length points down.
    along = xp.where(known, bone / length[..., None], constant([0.0, 1.0], bone))
    normal = xp.stack([-along[..., 1], along[..., 0]], -1)
    scale = scale[:, None]
    stretch = xp.minimum(xp.maximum(length[0] / length[1], _BONE_SCALES[0] * scale), _BONE_SCALES[1] * scale)
    across = xp.where(mirrored[:, None], -scale, scale) / constant([girth[0]] * 4 + [girth[1]] * 4, scale)
    matrix = stretch[..., None, None] * along[0][..., :, None] * along[1][..., None, :]
    matrix = matrix + across[..., None, None] * normal[0][..., :, None] * normal[1][..., None, :]
    offset = joints[0][:, BONE_STARTS] - _applied(matrix, joints[1][:, BONE_STARTS])
    return matrix, offset, (both[:, BONE_STARTS] * both[:, BONE_ENDS]) > 0
