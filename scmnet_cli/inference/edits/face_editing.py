"""Give a part of a face the colours of another face's, and change nothing else (docs/faces.md).

The part keeps its own lines, light and shade. In CIELAB, its mean and spread become those of the reference's part; the
hairs of brows take the colour of the reference's hairs. The change ends in a soft edge around the part; all other
pixels stay identical. A background is replaced by pixels of the reference's background. The network has no part in it,
since any redrawn pixel would differ from the photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scmnet_cli.data.cropping import resized
from scmnet_cli.errors import ScmError
from scmnet_cli.images.cielab import cielab
from scmnet_cli.inference.edits.brows import colour_of_hairs
from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.edits.face_parts import MIN_SHARE, BoolArray, FloatArray, Part, face_side, find_part
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import Person, UInt8Array

_SPREADS = (0.6, 1.8)
"""Least and greatest factor of a colour channel's spread: more shows the photo's noise."""
_FLATTEST = 1.0
"""Least standard deviation of a channel that a factor is computed from."""
_SEAM = 1 / 100
"""Width of the soft edge as a share of the face's square; hair has twice as much."""
_BORDER = 0.5
"""Distance in pixels from the centre of a pixel next to a part to the part's border."""
_EDGE_OF_HAIR = 1e-3
"""Contrast, squared, from which the soft edge of hair follows the strands."""
_GLASSES = 0.035
"""Share of the face's square from which eyes seem to be glasses."""
_EVEN, _DARKER = 15.0, 35.0
"""Greatest spread of lightness in dark glasses, and how much darker than the skin they are at least."""


def edit_face(face: Person, references: Mapping[str, Person], *, force: bool = False) -> Edit:
    """Give parts of a face the colours of other faces' parts.

    Args:
        face: the face, of any size.
        references: for each region, by name, the face to take its colours from.
        force: edit eyes behind glasses too.

    Raises:
        ScmError: if a region is too small in one of the faces, or hidden by glasses.
    """
    colour, area = face.image.astype(np.float32), np.zeros(face.regions.shape, np.float32)
    image, side = face.image, face_side(face.regions)
    for region, given in references.items():
        reference = resized(given, face.canvas) if given.canvas.has_shape_of(face.canvas) else given
        _check(region, face, reference, force=force)
        part, taken = find_part(face, region), find_part(reference, region)
        if region == "hair":
            within = _strands(image, part.pixels, side)
        else:
            inside = part.pixels if part.hairs is None else part.hairs.region
            within = _soft(inside, _seam(inside, side)) * part.share
        if region == "background":
            new = _filled(reference.image, taken.pixels)
        elif part.hairs is not None and taken.hairs is not None:
            new = _rgb(cielab(image) + part.hairs.change_to(colour_of_hairs(part.hairs, taken.hairs)))
        else:
            new = recoloured(image, part, reference.image, taken, side)
        share = within[..., None]
        colour = colour * (1 - share) + new * share
        area = np.maximum(area, within)
        image = np.where(area[..., None] > 0, colour.round().clip(0, 255), face.image).astype(np.uint8)
    return Edit(replace(face, image=image), colour, np.ones_like(area), area)


def _check(region: str, *faces: Person, force: bool) -> None:
    for person in faces:
        share = (person.regions == FACE_REGIONS.index(region)).sum() / face_side(person.regions) ** 2
        if share < MIN_SHARE:
            has = ", ".join(FACE_REGIONS[i] for i in np.unique(person.regions))
            raise ScmError(f"{person.name}: shows too little {region} to take its colour; it has {has}")
        if region == "eyes" and not force and (share > _GLASSES or _are_dark_glasses(person)):
            raise ScmError(
                f"{person.name}: seems to wear glasses, so the colour of the eyes is not known; take a photo without, "
                "or give --force"
            )


def _are_dark_glasses(face: Person) -> bool:
    """Return whether the eyes have no white: they are even and much darker than the skin."""
    eyes, skin = (face.regions == FACE_REGIONS.index(region) for region in ("eyes", "skin"))
    if not skin.any():
        return False
    light = cielab(face.image)[..., 0]
    dark, white = np.percentile(light[eyes], (15, 90))
    return bool(white - dark < _EVEN and np.median(light[skin]) - white > _DARKER)


def recoloured(image: UInt8Array, part: Part, reference: UInt8Array, taken: Part, side: float) -> FloatArray:
    """Give a part of an image the mean and spread of another part's colours.

    Beyond the part the change of the nearest pixels of the part continues, so that a soft edge has no halo.

    Args:
        image: the image.
        part: the part to change.
        reference: the image to take the colours from; of any size.
        taken: the part to take them from.
        side: side of the face's square in the image, in pixels.

    Shape:
        image: (H, W, 3) uint8; result: (H, W, 3) in 0-255.
    """
    from scipy.ndimage import gaussian_filter

    own, other = cielab(image), cielab(reference)[taken.pixels]
    mean, spread = own[part.pixels].mean(0), own[part.pixels].std(0).clip(_FLATTEST)
    factor = (other.std(0) / spread).clip(*_SPREADS)
    change = (own - mean) * factor + other.mean(0) - own
    weight = part.pixels.astype(np.float32)
    reach = 2 * _SEAM * side
    near = gaussian_filter(weight, reach)[..., None]
    carried = np.stack([gaussian_filter(change[..., i] * weight, reach) for i in range(3)], axis=-1)
    change = np.where(part.pixels[..., None], change, carried / np.maximum(near, 1e-4))
    return _rgb(own + change)


def _filled(image: UInt8Array, kept: BoolArray) -> FloatArray:
    """Fill pixels beside the kept ones from the nearest of them, smoothly."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    rows, columns = distance_transform_edt(~kept, return_distances=False, return_indices=True)
    nearest = image[rows, columns].astype(np.float32)
    smooth = gaussian_filter(nearest, (len(image) / 40, len(image) / 40, 0))
    return np.where(kept[..., None], image, smooth).astype(np.float32)


def _seam(part: BoolArray, side: float) -> float:
    """Return the width of the soft edge in pixels: narrower around a small part."""
    return float(max(1.0, min(_SEAM * side, np.sqrt(part.sum()) / 8)))


def _soft(part: BoolArray, seam: float) -> FloatArray:
    """Return a mask that falls from 1 at the border of the part to 0 at ``seam`` pixels outside it."""
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(~part) - _BORDER
    soft: FloatArray = (1 - away / seam).clip(0, 1).astype(np.float32)
    return soft


def _strands(image: UInt8Array, part: BoolArray, side: float) -> FloatArray:
    """Return a mask whose edge follows the image, by a guided filter (He et al. 2013); 0 far from the part."""
    from scipy.ndimage import distance_transform_edt, uniform_filter

    seam = 2 * max(1.0, _SEAM * side)
    size = 2 * round(2 * seam) + 1
    guide = (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)) / 255
    mask = part.astype(np.float32)
    mean_guide, mean_mask = uniform_filter(guide, size), uniform_filter(mask, size)
    spread = uniform_filter(guide * guide, size) - mean_guide**2
    slope = (uniform_filter(guide * mask, size) - mean_guide * mean_mask) / (spread + _EDGE_OF_HAIR)
    offset = mean_mask - slope * mean_guide
    followed = uniform_filter(slope, size) * guide + uniform_filter(offset, size)
    inside, outside = distance_transform_edt(part), distance_transform_edt(~part)
    followed = np.clip((np.where(outside > seam + _BORDER, 0, followed) - 0.05) / 0.9, 0, 1)
    within, fade = ((inside - _BORDER) / seam).clip(0, 1), (1 - (outside - _BORDER) / seam).clip(0, 1)
    strands: FloatArray = ((followed + (1 - followed) * within) * fade).astype(np.float32)
    return strands


def _rgb(lab: FloatArray) -> FloatArray:
    import warnings

    from skimage.color import lab2rgb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # colours outside the gamut are clipped
        rgb: FloatArray = (lab2rgb(lab) * 255).astype(np.float32)
    return rgb
