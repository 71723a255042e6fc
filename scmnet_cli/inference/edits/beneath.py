"""Second step of an edit: find what the new garment uncovers, and draw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from scmnet_cli.images import PLAIN_GREY, to_uint8
from scmnet_cli.inference.edits.bare_skin import bare_limbs, legs_continued, skin_toned
from scmnet_cli.inference.edits.behind_hair import behind_hair
from scmnet_cli.inference.edits.filling import trousers_extended
from scmnet_cli.inference.edits.fitting import FITTED
from scmnet_cli.inference.edits.putting_on import PutOn, region_drawn
from scmnet_cli.inference.edits.shoe_tops import aimed_at_shoes, shoe_openings, with_feet, with_soft_edge
from scmnet_cli.inference.edits.uncovered import frayed, gone, outside_parts, uncovered_skin
from scmnet_cli.inference.synthesis import photo_of
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.parts import TORSO_PART
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, region_id
from scmnet_cli.types import FloatArray, Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

_BoolArray = npt.NDArray[np.bool_]

_LEGS = region_id("legs")
_SEAM = 3.0
"""A bared leg fades into the leg below over this many times the width of mixed pixels."""


@dataclass(frozen=True)
class Removal:
    """Masks for removing the old garment or hair.

    Attributes:
        old: pixels that are removed.
        lost: of these, pixels that become background.
        seam: pixels of the visible leg into which a bared leg fades.
        opening: of ``old``, pixels of trousers around the top of a shoe.
        bare: pixels to draw: removed or in the seam, and not under the new garment.

    Shape:
        all: (H, W).
    """

    old: _BoolArray
    lost: _BoolArray
    seam: _BoolArray
    opening: _BoolArray
    bare: _BoolArray

    @classmethod
    def of(cls, new: PutOn, kind: str) -> Removal:
        """Find what is removed to put on a garment or hair of a kind."""
        wearer, worn = new.wearer, new.worn
        none = np.zeros_like(worn)
        covering = none if kind == "hair" else worn  # old hair goes under the soft edge of new hair too
        lost = gone(wearer, kind, covering) | new.wisps
        old = new.old | lost
        seam, opening = none, none
        if kind in FITTED and kind != "hair":
            skin = uncovered_skin(wearer, kind, old & ~worn, worn)
            opening = shoe_openings(wearer, skin)
            free = ~worn & ~new.front
            old = old | (frayed(wearer, skin) | opening) & free
            seam = frayed(wearer, skin, _SEAM) & (wearer.regions == _LEGS) & free & ~old
        return cls(old, lost, seam, opening, (old | seam) & ~worn)


@dataclass(frozen=True)
class Pasted:
    """The wearer with the new garment and what it uncovers.

    Attributes:
        person: the wearer with the garment pasted in and the old one removed, before anything is drawn.
        colour: (H, W, 3) in 0-255, with what is drawn beneath.
        opacity: (H, W) in [0, 1], of the person.
        regions: (H, W), ids, with those of what is drawn.
        filled: (H, W), pixels that show the person and are drawn.
    """

    person: Person
    colour: FloatArray
    opacity: FloatArray
    regions: UInt8Array
    filled: _BoolArray


def pasted(pipeline: Pipeline, new: PutOn, removal: Removal, kind: str) -> Pasted:
    """Paste the new garment, and draw what the old one hid."""
    wearer, share, old = new.wearer, new.opacity[..., None], removal.old
    image, labels = wearer.image.copy(), wearer.regions.copy()
    image[old], labels[old] = PLAIN_GREY, BACKGROUND
    image = (image * (1 - share) + new.colour * share).round().clip(0, 255).astype(np.uint8)
    labels[new.worn] = region_drawn(kind)
    person = Person(wearer.name, image, labels, wearer.joints)

    drawn, alpha, regions = _beneath(pipeline, person, new, removal, kind)
    opacity = np.maximum(new.opacity, np.where(old, alpha, (wearer.regions != BACKGROUND).astype(np.float32)))
    below = np.where((old | removal.seam)[..., None], drawn, wearer.image.astype(np.float32))
    if removal.opening.any():
        below = with_soft_edge(below, removal.opening & old, (wearer.regions == _LEGS) & ~old)
    colour = below * (1 - share) + new.colour * share
    if kind in FITTED:  # beside the person, opacity alone makes the edge soft
        shown = (old | (wearer.regions != BACKGROUND)) & ~removal.lost
        colour = np.where(shown[..., None], colour, new.colour)
    filled = removal.bare & ~removal.seam & (alpha > 0.5)
    return Pasted(person, colour.astype(np.float32), opacity, np.where(filled, regions, labels), filled)


def _beneath(
    pipeline: Pipeline, person: Person, new: PutOn, removal: Removal, kind: str
) -> tuple[FloatArray, FloatArray, UInt8Array]:
    """Draw what the old garment or hair hid.

    Returns:
        colours, (H, W, 3) in 0-255; the foreground mask, (H, W) in [0, 1]; region ids, (H, W).
    """
    wearer, bare = new.wearer, removal.bare
    drawn, alpha, regions = _drawn_beneath(pipeline, person, bare)
    skin = uncovered_skin(wearer, kind, bare, new.worn)
    drawn = skin_toned(wearer, drawn, skin)
    if skin.any():
        aimed = aimed_at_shoes(wearer, skin)
        inside, shading = bare_limbs(aimed)
        inside = with_feet(wearer, skin, inside)
        alpha = np.where(skin, inside, alpha)
        drawn = legs_continued(aimed, np.where(skin[..., None], drawn * shading[..., None], drawn), skin)
    if kind == "hair":
        on_torso = outside_parts(wearer, bare.shape)[TORSO_PART] == 0
        drawn, alpha, regions = behind_hair(wearer, bare, new.rim, np.where(on_torso, np.float32(1), alpha))
    alpha = np.where(removal.lost, np.float32(0), alpha)
    if kind == "upper":
        alpha, drawn = trousers_extended(wearer, bare & ~skin, alpha, drawn)
    return drawn, alpha, regions


@torch.inference_mode()
def _drawn_beneath(
    pipeline: Pipeline, person: Person, bare: _BoolArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], UInt8Array]:
    """Draw the person with the uncovered pixels masked out of the network's input.

    Returns:
        colours, (H, W, 3) in 0-255; the foreground mask, (H, W) in [0, 1]; region ids, (H, W).
    """
    size = person.regions.shape
    photo = photo_of(person, pipeline.canvas, pipeline.device)
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
