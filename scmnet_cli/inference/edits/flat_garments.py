"""Garments photographed flat on a bed or floor, or on a hanger: segment them and estimate joints from the outline.

The garment is the part that differs in colour from the picture's border. Two Gaussian mixtures in CIELAB, one of the
border and one of the middle, are refined in turn; a random walker then refines the edge. The joints are those of the
garments in a wardrobe with the most similar outlines.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import read_photo
from scmnet_cli.images.cielab import cielab
from scmnet_cli.inference.shape_matching import largest
from scmnet_cli.inference.wardrobe import Garment, Wardrobe, cut_out
from scmnet_cli.skeleton import MIRRORED, NUM_JOINTS
from scmnet_cli.types import FloatArray, UInt8Array

PREFIX = "flat:"
"""Prefix that marks a photo of a garment without a wearer."""

FLAT_KINDS = ("upper", "pants", "skirt", "dress")
"""Kinds of garment whose joints can be estimated from the outline."""

_BoolArray = npt.NDArray[np.bool_]
_Array = npt.NDArray[np.float64]

_WORKING_SIDE = 192  # longer side in pixels of the picture that is segmented
_BORDER = 0.04  # width of the border as a share of the longer side
_COLOURS, _ROUNDS = 5, 3
_MOST_SURE = 12.0  # clamp of the log-likelihood ratio
_IN_THE_MIDDLE = 1.5  # prior log-odds of garment at the centre
_UNSURE = 5  # pixels on either side of the edge that the random walker labels
_LARGEST_HOLE = 0.01  # share of the garment; larger holes are gaps, such as between trouser legs
_LEAST, _MOST = 0.04, 0.9  # share of the picture that a garment may cover
_LEAST_ALIKE = 0.7  # minimum similarity of the best outline
_LEAST_APART = 1.0  # minimum mean log-likelihood ratio on the garment
_OUTLINE = 64
_ASPECT_COUNTS = 0.15
_ALIKE = 3


def read_flat_garment(path: Path, kind: str, name: str, wardrobe: Wardrobe, about: str = "") -> Garment:
    """Read a photo of a single garment without a wearer.

    Args:
        path: the photo; the whole garment lies upright, apart from other things, on a background of other colours.
        kind: upper, pants, skirt or dress.
        name: name of the result.
        wardrobe: garments with known outlines and joints.
        about: description in one line.

    Raises:
        ScmError: if the file is not a photo, the kind is not one of :data:`FLAT_KINDS`, or no garment is found.
    """
    if kind not in FLAT_KINDS:
        raise ScmError(
            f"{path}: --region {kind} is not possible for a flat garment; give one of "
            f"{', '.join(FLAT_KINDS)}{nearest(kind, FLAT_KINDS)}"
        )
    image = read_photo(path)
    remedy = "lay the garment flat, whole and alone on a background of another colour"
    mask = find_garment(image)
    share = float(mask.mean())
    if not _LEAST < share < _MOST:
        raise ScmError(
            f"{path}: no garment stands out from the background (found on {share:.0%} of the picture); {remedy}"
        )
    joints, alike = outline_joints(mask, kind, wardrobe)
    if alike < _LEAST_ALIKE:
        raise ScmError(f"{path}: the garment found does not have the outline of {kind}; {remedy}, collar upwards")
    return cut_out(image, mask, joints, Garment(name, kind, np.dstack([image, mask * np.uint8(255)]), joints, about))


def find_garment(image: UInt8Array) -> _BoolArray:
    """Return a mask of the garment.

    Shape:
        image: (H, W, 3) uint8; result: (H, W).
    """
    height, width = image.shape[:2]
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(round(width * scale), 8), max(round(height * scale), 8))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty clusters, and about a faster solver that this size does not need
        mask = Image.fromarray(_segmented(small).astype(np.uint8) * 255)
    large = mask.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, np.uint8).astype(np.int16) > 127


def _segmented(image: UInt8Array) -> _BoolArray:
    from scipy import ndimage
    from skimage.segmentation import random_walker

    colours = ndimage.gaussian_filter(cielab(image), (1.2, 1.2, 0))
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    edge = max(3, round(_BORDER * max(height, width)))
    border = (y < edge) | (y >= height - edge) | (x < edge) | (x >= width - edge)
    off_centre = np.maximum(abs(y / height - 0.5), abs(x / width - 0.5))
    prior = _IN_THE_MIDDLE * (1 - 3.2 * off_centre)
    garment, background = (abs(y / height - 0.5) < 0.25) & (abs(x / width - 0.5) < 0.2), border
    mask: _BoolArray = garment
    for _ in range(_ROUNDS):
        ratio = _Mixture.of(colours[garment]).log_likelihood(colours)
        ratio -= _Mixture.of(colours[background]).log_likelihood(colours)
        surely = ndimage.gaussian_filter(ratio.clip(-_MOST_SURE, _MOST_SURE), 2)
        mask = _largest_piece((surely + prior > 0) & ~border)
        if not mask.any() or surely[mask].mean() < _LEAST_APART:
            return np.zeros_like(mask)
        garment, background = ndimage.binary_erosion(mask, iterations=2), ~ndimage.binary_dilation(mask, iterations=2)
        if garment.sum() < 50 or background.sum() < 50:
            return mask
    seeds = np.zeros(mask.shape, np.int64)
    seeds[ndimage.binary_erosion(mask, iterations=_UNSURE)] = 1
    seeds[~ndimage.binary_dilation(mask, iterations=_UNSURE)] = 2
    if not ((seeds == 1).any() and (seeds == 2).any()):
        return mask
    settled: _BoolArray = random_walker(colours, seeds, beta=200, mode="cg_j", channel_axis=-1) == 1
    return settled


def _largest_piece(mask: _BoolArray) -> _BoolArray:
    """Return the largest connected component, with small holes filled."""
    from scipy import ndimage

    mask = largest(ndimage.binary_opening(mask))
    if not mask.any():
        return mask
    mask = ndimage.binary_closing(mask, iterations=2) | mask
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= _LARGEST_HOLE * mask.sum()
    filled: _BoolArray = mask | small[holes]
    return filled


@dataclass(frozen=True)
class _Mixture:
    """Mixture of Gaussians over colours.

    Shape:
        means: (K, 3); precisions: (K, 3, 3); logs: (K,), the logarithms of weight times normalisation.
    """

    means: _Array
    precisions: _Array
    logs: _Array

    @classmethod
    def of(cls, colours: _Array) -> _Mixture:
        """Fit the mixture to colours, (N, 3), by k-means with a deterministic initialisation."""
        from scipy.cluster.vq import kmeans2

        by_lightness = colours[np.argsort(colours[:, 0], kind="stable")]
        starts = by_lightness[np.linspace(0, len(colours) - 1, _COLOURS).round().astype(int)]
        _, nearest_mean = kmeans2(colours, starts + np.arange(_COLOURS)[:, None] * 1e-3, minit="matrix", missing="warn")
        groups = [group for k in range(_COLOURS) if len(group := colours[nearest_mean == k]) > 8] or [colours]
        covariances = np.stack([np.cov(group.T) + 9 * np.eye(3) for group in groups]).astype(np.float64)
        shares = np.array([len(group) / len(colours) for group in groups])
        return cls(
            np.stack([group.mean(0) for group in groups]),
            np.linalg.inv(covariances).astype(np.float64),
            np.log(shares) - 0.5 * np.linalg.slogdet(covariances)[1],
        )

    def log_likelihood(self, colours: _Array) -> _Array:
        """Return the log-likelihood of colours, (..., 3), up to a constant."""
        away = colours[..., None, :] - self.means
        logs = self.logs - 0.5 * np.einsum("...ki,kij,...kj->...k", away, self.precisions, away)
        total: _Array = np.logaddexp.reduce(logs, axis=-1)
        return total


@dataclass(frozen=True)
class _Outline:
    """A garment's mask stretched to a square, with its joints in coordinates of the square.

    Shape:
        mask: (64, 64) in [0, 1]; joints: (18, 3), x and y in [0, 1].
    """

    mask: _Array
    log_aspect: float
    joints: FloatArray

    @classmethod
    def of(cls, mask: _BoolArray, joints: FloatArray) -> _Outline:
        """Crop the mask to its bounding box."""
        left, top, right, bottom = _box(mask)
        cut = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
        square = np.asarray(cut.resize((_OUTLINE, _OUTLINE), Image.Resampling.BILINEAR)) / 255.0
        placed = joints.astype(np.float32).copy()
        placed[:, :2] = (placed[:, :2] - [left, top]) / [right - left, bottom - top]
        return cls(square, float(np.log((bottom - top) / (right - left))), placed)

    def mirrored(self) -> _Outline:
        """Return the mirror image, with left and right joints swapped."""
        joints = self.joints[list(MIRRORED)].copy()
        joints[:, 0] = 1 - joints[:, 0]
        return _Outline(self.mask[:, ::-1], self.log_aspect, joints)

    def overlap(self, other: _Outline) -> float:
        """Return the intersection over union of the masks."""
        return float(np.minimum(self.mask, other.mask).sum() / np.maximum(self.mask, other.mask).sum())

    def likeness(self, other: _Outline) -> float:
        """Return the overlap minus a penalty for the difference of the aspect ratios."""
        return self.overlap(other) - _ASPECT_COUNTS * abs(self.log_aspect - other.log_aspect)


def outline_joints(mask: _BoolArray, kind: str, wardrobe: Wardrobe) -> tuple[FloatArray, float]:
    """Estimate the joints of a garment's wearer from the garments with the most similar outlines.

    Each joint is the mean over the three most similar garments that have it. It is missing if fewer than two of them
    have it and the most similar one does not.

    Args:
        mask: mask of the garment.
        kind: kind of the garment.
        wardrobe: garments with joints; flat ones of the same kind are compared.

    Shape:
        mask: (H, W); result: (18, 3) in pixels of the mask, and the similarity of the best outline, at most 1.
    """
    mine = _Outline.of(mask, np.zeros((NUM_JOINTS, 3), np.float32))
    known = [
        _Outline.of(garment.image[..., 3] > 127, garment.joints)
        for garment in wardrobe.garments.values()
        if garment.kind == kind and garment.lies_flat
    ]
    ranked = sorted([*known, *(outline.mirrored() for outline in known)], key=mine.likeness, reverse=True)[:_ALIKE]
    if not ranked:
        return mine.joints, 0.0
    left, top, right, bottom = _box(mask)
    joints = _mean_joints([outline.joints for outline in ranked])
    joints[:, :2] = joints[:, :2] * [right - left, bottom - top] + [left, top]
    joints[joints[:, 2] <= 0] = 0
    return joints, mine.likeness(ranked[0])


def _mean_joints(alike: Sequence[FloatArray]) -> FloatArray:
    result = np.zeros((NUM_JOINTS, 3), np.float32)
    for joint in range(NUM_JOINTS):
        found = [joints[joint, :2] for joints in alike if joints[joint, 2] > 0]
        if len(found) >= 2 or (found and alike[0][joint, 2] > 0):
            result[joint] = [*np.mean(found, axis=0), 1]
    return result


def _box(mask: _BoolArray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a mask, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
