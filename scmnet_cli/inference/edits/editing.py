"""Replace a garment or the hair in a photo and change nothing else (docs/design.md, inference).

The part warp moves the reference's garment into the wearer's pose. The edited area consists of the wearer's old
garment, the warped new one, and the pixels that removing the old one uncovers. The network inpaints the uncovered
pixels from the features of the wearer and of the new garment. All pixels outside the area stay identical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import PLAIN_GREY, to_uint8
from scmnet_cli.inference.edits.bare_skin import bare_limbs, legs_continued, skin_toned
from scmnet_cli.inference.edits.behind_hair import (
    behind_hair,
    beside,
    hair_rim,
    hidden_face,
    near_eyes,
    strands_beside,
    wisps_beside,
    with_hair_beside_face,
    with_seen_face,
)
from scmnet_cli.inference.edits.filling import torso_filled, trousers_extended, waist_filled
from scmnet_cli.inference.edits.fitting import FITTED, fitted, own_collar
from scmnet_cli.inference.edits.garment_warp import warped_garment
from scmnet_cli.inference.edits.new_hair import slits_filled
from scmnet_cli.inference.edits.places import check_place, lies_flat
from scmnet_cli.inference.edits.recolouring import Outlines, between_regions
from scmnet_cli.inference.edits.shoe_tops import aimed_at_shoes, shoe_openings, with_feet, with_soft_edge
from scmnet_cli.inference.edits.uncovered import (
    ON_TORSO,
    frayed,
    gone,
    outside_parts,
    uncovered_skin,
)
from scmnet_cli.inference.edits.wearer_faults import corrected, trousers_corrected
from scmnet_cli.inference.garments import KINDS
from scmnet_cli.inference.synthesis import photo_of
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.parts import TORSO_PART
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

_BoolArray = npt.NDArray[np.bool_]

_TAKEN: Mapping[str, tuple[str, ...]] = {"dress": ("upper", "skirt")}
"""Regions of the reference that make up a kind of garment, if not the region of the same name."""

_REPLACED: Mapping[str, tuple[str, ...]] = {
    "pants": ("pants", "skirt"),
    "skirt": ("skirt", "pants"),
    "dress": ("upper", "skirt", "pants"),
}
_IN_FRONT: Mapping[str, tuple[str, ...]] = {
    "upper": ("hair", "face"),
    "dress": ("hair", "face"),
    "pants": ("hair", "face", "upper", "arms"),
    "skirt": ("hair", "face", "upper", "arms"),
    "legs": ("hair", "face", "upper", "arms", "pants", "skirt"),
    "arms": ("hair", "face", "upper"),
    "hair": (),
    "face": ("hair",),
}
"""Regions of the wearer that occlude a garment."""

_UPPER, _SKIRT, _ARMS, _LEGS = (region_id(name) for name in ("upper", "skirt", "arms", "legs"))
_BELOW_WAIST = (region_id("pants"), _SKIRT)
_COAT_SHOWS_TROUSERS = 0.08  # share of the coat's area
_DRESS_BELOW_HIPS = 0.35  # in torso lengths: an upper garment that reaches further down is a dress
_SEAM = 3.0
"""Over so many times the width of mixed pixels a bared leg fades into the leg below."""
_LEAST_GARMENT, _LEAST_HAIR = 0.002, 0.0005  # minimum share of the canvas
_MOST_HIDDEN = 0.25  # of the face


@dataclass(frozen=True)
class Edit:
    """Result of an edit, and the area that it changed.

    Attributes:
        person: the wearer after the edit, with updated regions, on a plain background.
        colour: (H, W, 3) float32 in 0-255, colours of the edited area.
        opacity: (H, W) float32 in [0, 1]; the background shows through where it is below 1.
        area: (H, W) float32 in [0, 1], 0 outside the edited area, with a soft edge inside.
        outlines: of what it puts on and takes off; None if nothing of the photo is recoloured.
    """

    person: Person
    colour: npt.NDArray[np.float32]
    opacity: npt.NDArray[np.float32]
    area: npt.NDArray[np.float32]
    outlines: Outlines | None = None

    def over(self, picture: UInt8Array, behind: UInt8Array) -> UInt8Array:
        """Composite the edit over a picture of the wearer; where it is transparent, ``behind`` shows.

        Shape:
            picture, behind, result: (H, W, 3) uint8.
        """
        opaque = self.opacity[..., None]
        new = behind.astype(np.float32) * (1 - opaque) + self.colour * opaque
        area = self.area[..., None]
        mixed = picture.astype(np.float32) * (1 - area) + new * area
        changed = mixed.round().clip(0, 255).astype(np.uint8)
        return np.where(area > 0, changed, picture)


def edit_photo(pipeline: Pipeline, wearer: Person, references: Mapping[str, Person], *, force: bool = False) -> Edit:
    """Put other people's garments or hair on a person.

    Args:
        pipeline: a model with a part warp.
        wearer: on a plain background, with the canvas's aspect ratio and any size; the result has the same size.
        references: for each kind (``upper``, ``pants``, ``skirt``, ``dress``, ``hair`` ...), a person who wears it, or
            a single garment with its joints.
        force: skip :func:`check_place`.

    Raises:
        ScmError: if a reference has no such garment, or the wearer's photo does not show where it goes.
    """
    if not references:
        raise ScmError("edit: no region is given; give at least one, with a reference for it")
    colour = wearer.image.astype(np.float32)
    opacity = (wearer.regions != BACKGROUND).astype(np.float32)
    area = np.zeros(wearer.regions.shape, np.float32)
    person, outlines = wearer, None
    for kind, reference in references.items():
        if kind not in KINDS:
            raise ScmError(f"--region {kind}: cannot be edited; give one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
        if not force:
            check_place(person, reference, kind)
        one = _edit_once(pipeline, person, reference, kind, force=force)
        within = one.area[..., None]
        colour = colour * (1 - within) + one.colour * within
        opacity = opacity * (1 - one.area) + one.opacity * one.area
        area = np.maximum(area, one.area)
        person = one.person
        outlines = one.outlines if outlines is None else outlines.joined(one.outlines)
    return Edit(person, colour, opacity, area, outlines)


def regions_taken(kind: str) -> list[int]:
    """Return the ids of the regions that make up a kind of garment."""
    return [region_id(name) for name in _TAKEN.get(kind, (kind,))]


def _edit_once(pipeline: Pipeline, wearer: Person, reference: Person, kind: str, *, force: bool) -> Edit:
    wearer = corrected(_dress_split(wearer, kind), kind)
    if kind == "pants":
        reference = trousers_corrected(reference)
    taken = regions_taken(kind)
    replaced = [region_id(name) for name in _REPLACED.get(kind, (kind,))]
    region = region_id("upper" if kind == "dress" else kind)
    garment, colour, sleeves = warped_garment(wearer, reference, taken, region, kind)
    if kind == "hair":
        wearer = with_hair_beside_face(with_seen_face(wearer))
    if kind in ON_TORSO and not lies_flat(reference):
        garment, colour = torso_filled(wearer, garment, colour)
    if (garment > 0.5).mean() < (_LEAST_HAIR if kind == "hair" else _LEAST_GARMENT):
        names = ", ".join(pipeline.present(reference))
        raise ScmError(f"{reference.name}: has no {kind} that fits {wearer.name}'s pose; it has {names}")
    held = np.zeros(wearer.regions.shape, np.bool_) if wearer.carried is None or kind == "hair" else wearer.carried
    front = np.isin(wearer.regions, [region_id(name) for name in _IN_FRONT[kind]]) | held
    if region in _BELOW_WAIST:
        garment, colour = waist_filled(wearer, np.isin(wearer.regions, replaced), garment, colour)
    fits = kind in FITTED
    if fits:
        front |= own_collar(wearer, kind, garment)
        garment, colour = fitted(wearer, kind, (garment, colour), sleeves > 0.5, flat=lies_flat(reference))
    rim, wisps = np.zeros_like(front), np.zeros_like(front)
    if kind == "hair":
        wisps = wisps_beside(wearer)
        front = wearer.regions == region_id("face")
        rim = hair_rim(wearer) & beside((wearer.regions == region_id("hair")) & (garment < 0.5), wearer)
        rim &= ~near_eyes(wearer)
        strands, pure = strands_beside(wearer)
        strands = np.where(rim | (garment >= 0.5), np.float32(0), strands)
        front &= strands == 0
        colour = np.where((strands > 0)[..., None], wearer.image + colour - pure, colour)
        garment = np.where(strands > 0, strands, garment)
    garment = garment * ~front
    old = (np.isin(wearer.regions, replaced) & ~front) | rim
    if kind == "hair":
        garment, colour = slits_filled(wearer, old, garment, colour)
    worn = garment > 0.5
    if kind == "hair" and not force and (hidden := hidden_face(wearer, worn)) > _MOST_HIDDEN:
        raise ScmError(
            f"{wearer.name}: hair hides {hidden:.0%} of the face, which shorter hair would bare; take a photo that "
            "shows the face, longer hair, or give --force"
        )
    lost = gone(wearer, kind, worn & (kind != "hair")) | wisps  # also where the soft edge of new hair lies
    old |= lost
    seam, opening = np.zeros_like(old), np.zeros_like(old)
    if fits and kind != "hair":
        skin = uncovered_skin(wearer, kind, old & ~worn, worn)
        opening = shoe_openings(wearer, skin)
        old |= (frayed(wearer, skin) | opening) & ~worn & ~front
        seam = frayed(wearer, skin, _SEAM) & (wearer.regions == _LEGS) & ~worn & ~front & ~old
    bare = (old | seam) & ~worn
    image, labels = wearer.image.copy(), wearer.regions.copy()
    image[old], labels[old] = PLAIN_GREY, BACKGROUND
    share = garment[..., None]
    image = (image * (1 - share) + colour * share).round().clip(0, 255).astype(np.uint8)
    labels[worn] = region
    pasted = Person(wearer.name, image, labels, wearer.joints)

    drawn, alpha, regions = _beneath(pipeline, wearer, pasted, kind, _Uncovered(bare, worn, lost, rim))
    opacity = np.maximum(garment, np.where(old, alpha, (wearer.regions != BACKGROUND).astype(np.float32)))
    below = np.where((old | seam)[..., None], drawn, wearer.image.astype(np.float32))
    if opening.any():
        below = with_soft_edge(below, opening & old, (wearer.regions == _LEGS) & ~old)
    new = below * (1 - share) + colour * share
    if fits:  # beside the person, opacity alone makes the edge soft
        new = np.where(((old | (wearer.regions != BACKGROUND)) & ~lost)[..., None], new, colour)
    filled = bare & ~seam & (alpha > 0.5)
    labels[filled] = regions[filled]
    plain = np.full_like(wearer.image, PLAIN_GREY, dtype=np.float32)
    shown = plain * (1 - opacity[..., None]) + new * opacity[..., None]
    if fits:
        around = _softened(bare & ~seam, (front & ~rim) | (garment > 0.02), 2) if bare.any() else garment
        area = np.where(front & ~rim, 0, np.maximum(np.maximum(around, garment), old)).astype(np.float32)
    else:
        area = _softened(old | (garment > 0.02), front & ~rim)
    ends = None
    if fits:
        skin = filled & ~lost
        kept = near_eyes(wearer) if kind == "hair" else frayed(wearer, skin, 2) | ~between_regions(wearer)
        kept = kept | ((_softened(wisps, front) > 0) & ~beside(front, wearer))  # the background there is new
        before = front & (wearer.regions != region_id("face")) & ((wearer.regions != BACKGROUND) | held)
        was = (old & ~wisps) | (worn & (wearer.regions != BACKGROUND) & ~front)
        before &= kind != "hair"
        fine = before & np.isin(wearer.regions, (_ARMS, region_id("hair")))
        ends = Outlines(worn | skin, was, kept, before, wearer.regions == BACKGROUND, fine, wisps)
    mixed = wearer.image * (1 - area[..., None]) + shown * area[..., None]
    finished = np.where(area[..., None] > 0, mixed.round().clip(0, 255), wearer.image).astype(np.uint8)
    return Edit(replace(pasted, image=finished, regions=labels), new.astype(np.float32), opacity, area, ends)


@dataclass(frozen=True)
class _Uncovered:
    """Masks of an edit, (H, W): pixels to draw, the new garment, what becomes background, the rim of removed hair."""

    bare: _BoolArray
    worn: _BoolArray
    lost: _BoolArray
    rim: _BoolArray


def _beneath(
    pipeline: Pipeline, wearer: Person, pasted: Person, kind: str, masks: _Uncovered
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], UInt8Array]:
    """Draw what the old garment or hair hid.

    Returns:
        colours, (H, W, 3) in 0-255; the foreground mask, (H, W) in [0, 1]; region ids, (H, W).
    """
    drawn, alpha, regions = _drawn_beneath(pipeline, pasted, masks.bare)
    skin = uncovered_skin(wearer, kind, masks.bare, masks.worn)
    drawn = skin_toned(wearer, drawn, skin)
    if skin.any():
        aimed = aimed_at_shoes(wearer, skin)
        inside, shading = bare_limbs(aimed)
        inside = with_feet(wearer, skin, inside)
        alpha = np.where(skin, inside, alpha)
        drawn = legs_continued(aimed, np.where(skin[..., None], drawn * shading[..., None], drawn), skin)
    if kind == "hair":
        on_torso = outside_parts(wearer, masks.bare.shape)[TORSO_PART] == 0
        drawn, alpha, regions = behind_hair(wearer, masks.bare, masks.rim, np.where(on_torso, np.float32(1), alpha))
    alpha = np.where(masks.lost, np.float32(0), alpha)
    if kind == "upper":
        alpha, drawn = trousers_extended(wearer, masks.bare & ~skin, alpha, drawn)
    return drawn, alpha, regions


def _dress_split(wearer: Person, kind: str) -> Person:
    """Relabel the part of a dress below the hips as a skirt, so that a new top does not replace it.

    A coat over trousers is not a dress: it is replaced whole.
    """
    hips = [wearer.joints[JOINTS.index(name)] for name in ("right_hip", "left_hip")]
    known = [hip[1] for hip in hips if hip[2] > 0]
    if kind != "upper" or not known:
        return wearer
    line, size = float(np.mean(known)), float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    upper = wearer.regions == region_id("upper")
    rows = np.flatnonzero(upper.any(1))
    if (wearer.regions == region_id("pants")).sum() > _COAT_SHOWS_TROUSERS * upper.sum():
        return wearer
    if not len(rows) or rows[-1] < line + _DRESS_BELOW_HIPS * size:
        return wearer
    below = np.arange(len(wearer.regions))[:, None] > line - 0.1 * size
    labels = wearer.regions.copy()
    labels[upper & below] = region_id("skirt")
    return replace(wearer, regions=labels)


@torch.inference_mode()
def _drawn_beneath(
    pipeline: Pipeline, pasted: Person, bare: _BoolArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], UInt8Array]:
    """Draw the person with the uncovered pixels masked out of the network's input.

    Returns:
        colours, (H, W, 3) in 0-255; the foreground mask, (H, W) in [0, 1]; region ids, (H, W).
    """
    size = pasted.regions.shape
    photo = photo_of(pasted, pipeline.canvas, pipeline.device)
    unseen = torch.from_numpy(bare.astype(np.float32))[None, None].to(pipeline.device)
    low = F.interpolate(unseen, size=(pipeline.canvas.height, pipeline.canvas.width), mode="area")
    seen = (low < 0.5).float()
    warp = pipeline.warp(photo.joints, photo)
    assert warp is not None
    warp = PartWarp(
        torch.where(seen > 0, warp.image, PLAIN_BACKGROUND),
        warp.regions * seen, warp.coverage * seen, warp.coordinates * seen,
    )  # fmt: skip
    _, style = pipeline.read_style(photo.image, photo.masks)
    painted = pipeline.paint(photo.joints, style, photo, warp)
    rendering = painted.rendering
    assert rendering.drawn is not None
    drawn = F.interpolate(rendering.drawn, size=size, mode="bicubic").clamp(-1, 1)
    alpha = torch.ones(1, 1, *size)
    if rendering.alpha is not None:
        alpha = ((F.interpolate(rendering.alpha, size=size, mode="bicubic") - 0.5) * 1.8 + 0.5).clamp(0, 1)
    labels = painted.moved[:, 1:NUM_REGIONS].argmax(1) + 1  # never background: alpha marks it
    labels = labels.repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)
    regions = F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")[0, 0]
    return to_uint8(drawn[0]).astype(np.float32), alpha[0, 0].cpu().numpy(), regions.cpu().numpy().astype(np.uint8)


def _softened(area: _BoolArray, kept: _BoolArray, times: float = 1) -> npt.NDArray[np.float32]:
    """Dilate an area slightly and soften its edge, excluding the kept pixels."""
    from scipy import ndimage

    reach = times * max(1.0, len(area) / 256)
    away = ndimage.distance_transform_edt(~area) if area.any() else np.full(area.shape, np.inf)
    soft = (1 - (away - reach / 2) / reach).clip(0, 1)
    soft[kept] = 0
    result: npt.NDArray[np.float32] = soft.astype(np.float32)
    return result
