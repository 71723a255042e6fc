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

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import collate
from scmnet_cli.data.garment_pixels import arms_lifted, extended
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import PLAIN_GREY, to_uint8
from scmnet_cli.inference.bags import without_bags
from scmnet_cli.inference.bare_skin import bare_limbs, legs_continued, skin_toned
from scmnet_cli.inference.behind_hair import (
    behind_hair,
    beside,
    hair_rim,
    hidden_face,
    joined_to_face,
    near_eyes,
    with_seen_face,
)
from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.edit_places import check_place, lies_flat
from scmnet_cli.inference.filling import torso_filled, trousers_extended, waist_filled, wedge_filled
from scmnet_cli.inference.fitting import FITTED, fitted, own_collar
from scmnet_cli.inference.garment_faults import without_foreign
from scmnet_cli.inference.garments import KINDS
from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.inference.recolouring import Outlines, between_regions
from scmnet_cli.inference.synthesis import photo_of
from scmnet_cli.inference.uncovered import (
    ON_TORSO,
    below_hips,
    frayed,
    gone,
    outside_parts,
    uncovered_skin,
)
from scmnet_cli.inference.wearer_faults import corrected, trousers_corrected
from scmnet_cli.models.part_joints import FIRST_BONE, TORSO_PART, body_size
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp, warp_parts
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, one_hot, region_id
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
_SURE = (0.3, 0.7)
_COVERED, _SURE_TRUNK = 0.2, 0.99
_PIECE_EDGE, _NARROW_GAP = 0.02, 0.4
"""Torso lengths: width of a piece's edge, whose colours mix with what is beside it, and of a gap that is filled."""
_FLAT_GIRTHS = {"upper": (0.8, 1.0), "dress": (0.8, 0.85), "pants": (1.0, 0.75), "skirt": (1.0, 0.8)}
"""Factors for the widths of arms and legs of a flat garment: a worn tube is narrower than a flat one."""
_FOREARMS, _THIGHS = (3, 5), (6, 8)  # parts
_SLEEVES = torch.tensor([[0.0] * FIRST_BONE + [1.0] * 4 + [0.0] * 4])
"""Weight of each part: the arms alone."""
_NO_LEGS = torch.tensor([[1.0] * FIRST_BONE + [1.0] * 4 + [0.0] * 4])
"""Weight of each part: all but the legs."""
_DRESS_WAIST = 0.3  # torso lengths above the hips: from there on a flat dress, whose sleeves lie apart, is a skirt
_ISLAND = 0.1  # minimum size of a component, as a share of the largest
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
    garment, colour, sleeves = _warped_garment(wearer, reference, taken, region, kind)
    if kind == "hair":
        wearer = with_seen_face(wearer)
    if kind in ON_TORSO and not lies_flat(reference):
        garment, colour = torso_filled(wearer, garment, colour)
    if kind == "hair":
        garment, colour = joined_to_face(wearer, garment, colour)
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
    rim = np.zeros_like(front)
    if kind == "hair":
        front = wearer.regions == region_id("face")
        rim = hair_rim(wearer) & beside((wearer.regions == region_id("hair")) & (garment < 0.5), wearer)
        rim &= ~near_eyes(wearer)
    garment = garment * ~front
    old = (np.isin(wearer.regions, replaced) & ~front) | rim
    worn = garment > 0.5
    if kind == "hair" and not force and (hidden := hidden_face(wearer, worn)) > _MOST_HIDDEN:
        raise ScmError(
            f"{wearer.name}: hair hides {hidden:.0%} of the face, which shorter hair would bare; take a photo that "
            "shows the face, longer hair, or give --force"
        )
    lost = gone(wearer, kind, worn)
    old |= lost
    seam = np.zeros_like(old)
    if fits and kind != "hair":
        skin = uncovered_skin(wearer, kind, old & ~worn, worn)
        old |= frayed(wearer, skin) & ~worn & ~front
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
    new = below * (1 - share) + colour * share
    if fits:  # beside the person, opacity alone makes the edge soft
        new = np.where((old | (wearer.regions != BACKGROUND))[..., None], new, colour)
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
        before = front & (wearer.regions != region_id("face")) & ((wearer.regions != BACKGROUND) | held)
        was = old | (worn & (wearer.regions != BACKGROUND) & ~front)
        ends = Outlines(worn | skin, was, kept, before & (kind != "hair"), wearer.regions == BACKGROUND)
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
        inside, shading = bare_limbs(wearer)
        alpha = np.where(skin, inside, alpha)
        drawn = legs_continued(wearer, np.where(skin[..., None], drawn * shading[..., None], drawn), skin)
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


def _warped_garment(
    wearer: Person, reference: Person, taken: list[int], region: int, kind: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Warp the reference's garment into the wearer's pose.

    Returns:
        its coverage, (H, W) in [0, 1], its colours, (H, W, 3) in 0-255, and the coverage of its sleeves.
    """
    worn = resized(without_bags(reference), wearer.canvas)
    mask = np.isin(worn.regions, taken)
    if not mask.any():
        nothing = np.zeros(wearer.regions.shape, np.float32)
        return nothing, wearer.image.astype(np.float32), nothing
    if not lies_flat(reference):
        mask = without_foreign(worn, kind, mask)
    batch = collate([replace(worn, image=extended(worn.image, mask))], torch.device("cpu"))
    girth = _FLAT_GIRTHS.get(kind, (1.0, 1.0)) if lies_flat(reference) else (1.0, 1.0)
    hanging = mask if kind in ("pants", "skirt") else np.zeros_like(mask)
    if kind == "dress":
        near = outside_parts(worn, mask.shape)
        skirt = near[[TORSO_PART, *_THIGHS]].min(0) < near[list(_FOREARMS)].min(0)
        hanging = mask & (below_hips(worn) | (below_hips(worn, _DRESS_WAIST) & skirt & lies_flat(reference)))
    arms = wearer.regions == _ARMS
    cover, sleeves = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    colour = wearer.image.astype(np.float32)
    for layer, joints, front in (
        (hanging, arms_lifted(wearer.joints), arms if kind == "dress" else np.zeros_like(arms)),
        (mask & ~hanging, wearer.joints, arms if kind in ON_TORSO else np.zeros_like(arms)),
    ):
        if layer.any():
            label = _SKIRT if kind == "dress" and layer is hanging else region
            masks = one_hot(torch.from_numpy(layer * np.uint8(label))[None])
            target = torch.from_numpy(joints)[None]
            own, pixels = _sure(warp_parts(batch.image, masks, batch.structure, target, girth=girth), label)
            if kind == "upper" and lies_flat(reference):  # no leg moves the cloth before the trunk
                warp = warp_parts(batch.image, masks, batch.structure, target, girth=girth, parts=_NO_LEGS)
                pixels = _trunk_kept(wearer, own, pixels, _sure(warp, label))
            if kind in ON_TORSO and layer is not hanging:
                warp = warp_parts(batch.image, masks, batch.structure, target, girth=girth, parts=_SLEEVES)
                sleeves = _sure(warp, label)[0]
            if front.any():  # bare arms stay in front of the body of a garment, under its sleeves they do not
                own = np.where(front, np.minimum(own, 0 if layer is hanging else sleeves), own)
            if layer is hanging and kind != "pants":
                own, pixels = wedge_filled(wearer, own, pixels)
            if kind == "dress" and layer is not hanging:  # wide cuffs lie on the arms, not on the skirt
                own = np.where((cover > 0.5) & (sleeves > 0.5) & ~np.isin(wearer.regions, (_ARMS, _UPPER)), 0, own)
            share = own[..., None]
            colour = colour * (1 - share) + pixels * share
            cover = np.maximum(cover, own)
    return _without_islands(cover), colour, sleeves


def _trunk_kept(
    wearer: Person,
    cover: npt.NDArray[np.float32],
    pixels: npt.NDArray[np.float32],
    trunk: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """Return a flat top whose trunk is warped without the legs, which would mix stripes of two legs.

    Narrow gaps that this leaves at the hem are filled from their left and right.

    Args:
        wearer: the person who gets it.
        cover: where the top is, if it is warped with the legs.
        pixels: its colours.
        trunk: the same two without the legs.
    """
    from scipy import ndimage

    size = torso_length(wearer)
    sound = ndimage.binary_erosion(trunk[0] > _SURE_TRUNK, iterations=max(1, round(_PIECE_EDGE * size)))
    columns = np.arange(sound.shape[1])
    left = np.maximum.accumulate(np.where(sound, columns, -len(columns)), axis=1)
    right = np.minimum.accumulate(np.where(sound, columns, 2 * len(columns))[:, ::-1], axis=1)[:, ::-1]
    gap = (cover > 0) & ~sound & (right - left < _NARROW_GAP * size)
    filled = continued(trunk[1].swapaxes(0, 1), sound.T, gap.T).swapaxes(0, 1)
    share = ndimage.gaussian_filter((sound | gap).astype(np.float32), _PIECE_EDGE * size)
    share = np.where(sound | gap, ((share - 0.5) * 2).clip(0, 1), 0)[..., None]
    return np.asarray(pixels * (1 - share) + filled * share, np.float32)


def _sure(warp: PartWarp, label: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return how surely a warp shows a region, (H, W) in [0, 1], and its colours, (H, W, 3) in 0-255."""
    share = warp.regions[0, label] * (warp.coverage[0, 0] > _COVERED)
    sure = ((share - _SURE[0]) / (_SURE[1] - _SURE[0])).clamp(0, 1)
    return sure.numpy(), ((warp.image[0].permute(1, 2, 0) + 1) * 127.5).numpy()


def _without_islands(cover: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Remove small separate components: a part that reaches beyond its limb samples them from another limb."""
    from scipy import ndimage

    pieces, num = ndimage.label(cover > 0)
    if num < 2:
        return cover
    sizes = np.bincount(pieces.ravel())[1:]
    kept = np.concatenate([[False], sizes >= _ISLAND * sizes.max()])
    return np.where(kept[pieces], cover, np.float32(0))


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
