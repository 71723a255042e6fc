"""Replace a garment or the hair in a photo and change nothing else (docs/design.md, inference).

The part warp moves the reference's garment into the wearer's pose (putting_on.py). The edited area consists of the
wearer's old garment, the warped new one, and the pixels that removing the old one uncovers. The network inpaints the
uncovered pixels from the features of the wearer and of the new garment (beneath.py). All pixels outside the area stay
identical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.behind_hair import beside, hidden_face, near_eyes
from scmnet_cli.inference.edits.beneath import Pasted, Removal, pasted
from scmnet_cli.inference.edits.fitting import FITTED
from scmnet_cli.inference.edits.places import check_place
from scmnet_cli.inference.edits.putting_on import PutOn, carried, put_on
from scmnet_cli.inference.edits.recolouring import Outlines, between_regions
from scmnet_cli.inference.edits.through_hair import share_through_hair
from scmnet_cli.inference.edits.uncovered import frayed
from scmnet_cli.inference.garments import KINDS, ON_TORSO
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

_BoolArray = npt.NDArray[np.bool_]

_MOST_HIDDEN = 0.25  # of the face
_SEEN = 0.02  # opacity of a soft edge from which it changes the photo


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


def _edit_once(pipeline: Pipeline, wearer: Person, reference: Person, kind: str, *, force: bool) -> Edit:
    new = put_on(pipeline, wearer, reference, kind)
    if kind == "hair" and not force:
        _check_face(new)
    removal = Removal.of(new, kind)
    drawn = pasted(pipeline, new, removal, kind)
    area = _area(new, removal, kind)
    if kind in ON_TORSO:
        drawn, area = _in_hair(new, removal, drawn, area)
    person = replace(drawn.person, regions=drawn.regions)
    outlines = _outlines(new, removal, drawn, kind) if kind in FITTED else None
    edit = Edit(person, drawn.colour, drawn.opacity, area, outlines)
    before = new.wearer.image
    return replace(edit, person=replace(person, image=edit.over(before, np.full_like(before, PLAIN_GREY))))


def _check_face(new: PutOn) -> None:
    """Raise ScmError if much of the face is hidden by old hair that the new hair would not cover."""
    hidden = hidden_face(new.wearer, new.worn)
    if hidden > _MOST_HIDDEN:
        raise ScmError(
            f"{new.wearer.name}: hair hides {hidden:.0%} of the face, which shorter hair would bare; take a photo that "
            "shows the face, longer hair, or give --force"
        )


def _area(new: PutOn, removal: Removal, kind: str) -> npt.NDArray[np.float32]:
    """Return how much the edit changes each pixel, (H, W) in [0, 1]."""
    stays = new.front & ~new.rim
    if kind not in FITTED:
        return _softened(removal.old | (new.opacity > _SEEN), stays)
    around = new.opacity
    if removal.bare.any():
        around = _softened(removal.bare & ~removal.seam, stays | (new.opacity > _SEEN), 2)
    return np.where(stays, 0, np.maximum(np.maximum(around, new.opacity), removal.old)).astype(np.float32)


def _in_hair(
    new: PutOn, removal: Removal, drawn: Pasted, area: npt.NDArray[np.float32]
) -> tuple[Pasted, npt.NDArray[np.float32]]:
    """Replace the old top by the new one where it shows through hair; return the area with these pixels too."""
    from scipy import ndimage

    found, worn = share_through_hair(new.wearer, removal.old), new.worn
    if found is None or not worn.any():
        return drawn, area
    share, old = found
    changed = (share > 0) & new.front
    rows, columns = ndimage.distance_transform_edt(~worn, return_distances=False, return_indices=True)
    seen = new.wearer.image + share[..., None] * (new.colour[rows, columns] - old)
    colour = np.where(changed[..., None], seen.clip(0, 255), drawn.colour).astype(np.float32)
    return replace(drawn, colour=colour), np.where(changed, np.float32(1), area)


def _outlines(new: PutOn, removal: Removal, drawn: Pasted, kind: str) -> Outlines:
    """Return the outlines at which the photo is recoloured."""
    wearer, front, wisps = new.wearer, new.front, new.wisps
    person = wearer.regions != BACKGROUND
    skin = drawn.filled & ~removal.lost
    if kind == "hair":
        kept, occluding = near_eyes(wearer), np.zeros_like(front)
    else:
        kept = frayed(wearer, skin, 2) | ~between_regions(wearer)
        occluding = front & (wearer.regions != region_id("face")) & (person | carried(wearer))
    kept = kept | ((_softened(wisps, front) > 0) & ~beside(front, wearer))  # their background is new
    was = (removal.old & ~wisps) | (new.worn & person & ~front)
    fine = occluding & np.isin(wearer.regions, (region_id("arms"), region_id("hair")))
    return Outlines(new.worn | skin, was, kept, occluding, ~person, fine, wisps)


def _softened(area: _BoolArray, kept: _BoolArray, times: float = 1) -> npt.NDArray[np.float32]:
    """Dilate an area slightly and soften its edge, excluding the kept pixels."""
    from scipy import ndimage

    reach = times * max(1.0, len(area) / 256)
    away = ndimage.distance_transform_edt(~area) if area.any() else np.full(area.shape, np.inf)
    soft = (1 - (away - reach / 2) / reach).clip(0, 1)
    soft[kept] = 0
    result: npt.NDArray[np.float32] = soft.astype(np.float32)
    return result
