"""Warp the garment of a reference into the wearer's pose (docs/design.md, inference)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import collate
from scmnet_cli.data.garment_pixels import arms_lifted, extended
from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.edits.filling import wedge_filled
from scmnet_cli.inference.edits.flat_waists import without_inside
from scmnet_cli.inference.edits.garment_faults import without_foreign, without_foreign_edge
from scmnet_cli.inference.edits.places import lies_flat
from scmnet_cli.inference.edits.uncovered import outside_parts
from scmnet_cli.inference.edits.worn_sleeves import Top, divided_top
from scmnet_cli.inference.garments import ON_TORSO
from scmnet_cli.inference.limb_places import below_hips, limb_places, torso_length
from scmnet_cli.inference.limbs.bags import without_bags
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.parts import FIRST_BONE, TORSO_PART
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]

_UPPER, _SKIRT, _ARMS = (region_id(name) for name in ("upper", "skirt", "arms"))
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
_NO_FOREARMS = torch.tensor([[1.0] * FIRST_BONE + [1.0, 0.0] * 2 + [0.0] * 4])
"""Weight of each part: all but legs and forearms."""
_SHOULDER = (0.4, 0.7)
"""Where on an upper arm, in lengths of its bone, the sleeve takes over from the trunk."""
_CUFF = 0.09  # half width of a narrow cuff in torso lengths
_DRESS_WAIST = 0.3  # torso lengths above the hips: from there on a flat dress, whose sleeves lie apart, is a skirt
_ISLAND = 0.1  # minimum size of a component, as a share of the largest


def warped_garment(
    wearer: Person, reference: Person, taken: list[int], region: int, kind: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Warp the reference's garment into the wearer's pose.

    Returns:
        its coverage, (H, W) in [0, 1], its colours, (H, W, 3) in 0-255, and the coverage of its sleeves.
    """
    whole = without_bags(reference)
    worn = resized(whole, wearer.canvas)
    if kind == "upper" and not lies_flat(reference) and (top := divided_top(whole)) is not None:
        return _warped_top(wearer, worn, top)
    mask = np.isin(worn.regions, taken)
    if not mask.any():
        nothing = np.zeros(wearer.regions.shape, np.float32)
        return nothing, wearer.image.astype(np.float32), nothing
    if not lies_flat(reference):
        mask = without_foreign(worn, kind, mask)
    else:
        mask = without_foreign_edge(worn.image, mask)
        mask = without_inside(worn.image, mask) if kind == "pants" else mask
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
            if kind == "dress" and layer is not hanging:
                own = np.where(wide_cuffs_over(wearer, cover > 0.5, sleeves > 0.5), 0, own)
            share = own[..., None]
            colour = colour * (1 - share) + pixels * share
            cover = np.maximum(cover, own)
    return _without_islands(cover), colour, sleeves


def wide_cuffs_over(wearer: Person, skirt: _BoolArray, sleeves: _BoolArray) -> _BoolArray:
    """Return the pixels of a dress's wide sleeves over its skirt: wide cuffs lie on the arms, not on the skirt.

    Shape:
        skirt, sleeves, result: (H, W).
    """
    wide = np.minimum(*(away for _, away in limb_places(wearer)[:2])) > _CUFF
    return np.asarray(skirt & sleeves & wide & ~np.isin(wearer.regions, (_ARMS, _UPPER)), np.bool_)


def _warped_top(
    wearer: Person, worn: Person, top: Top
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Warp trunk and sleeves of a worn top each on its own, so that neither moves cloth of the other.

    Returns:
        as :func:`warped_garment`.
    """
    target = torch.from_numpy(wearer.joints)[None]
    layers = []
    for part, weights in ((top.trunk, _NO_FOREARMS), (top.sleeves, _SLEEVES)):
        mask = np.asarray(Image.fromarray(part).resize(worn.regions.shape[::-1], Image.Resampling.NEAREST))
        batch = collate([replace(worn, image=extended(worn.image, mask))], torch.device("cpu"))
        masks = one_hot(torch.from_numpy(mask * np.uint8(_UPPER))[None])
        layers.append(_sure(warp_parts(batch.image, masks, batch.structure, target, parts=weights), _UPPER))
    (trunk, cloth), (sleeves, pixels) = layers
    cover = np.maximum(trunk, sleeves)
    cover = np.where(wearer.regions == _ARMS, np.minimum(cover, sleeves), cover)  # bare arms are before the trunk
    over = (sleeves * _below_shoulders(wearer))[..., None]
    over = np.where((trunk < sleeves)[..., None], 1, over)
    colour = cloth * (1 - over) + pixels * over
    share = cover[..., None]
    return _without_islands(cover), wearer.image * (1 - share) + colour * share, sleeves


def _below_shoulders(wearer: Person) -> npt.NDArray[np.float32]:
    """Return where sleeves lie before the trunk, (H, W) in [0, 1]: from the shoulder on they come from it smoothly."""
    arms = limb_places(wearer)[:2]
    place = np.where(arms[0][1] < arms[1][1], arms[0][0], arms[1][0])
    return np.asarray(((place - _SHOULDER[0]) / (_SHOULDER[1] - _SHOULDER[0])).clip(0, 1), np.float32)


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
