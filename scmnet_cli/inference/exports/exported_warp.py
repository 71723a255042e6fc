"""The part warp of an exported model: graphs divide the versions of a photo among the parts of the body.

NumPy moves their pixels, with the functions that torch uses, part by part: a graph would sample each part on the whole
canvas, also those that a version does not show. Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.limbs.leg_owners import mirrored_owners
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.inference.limbs.photo_versions import PhotoVersion, mixed_versions, photo_versions
from scmnet_cli.models.arrays import as_tensor
from scmnet_cli.models.leg_parts import LEG_PARTS, of_own_leg
from scmnet_cli.models.part_composite import FACE, composite, with_background
from scmnet_cli.models.part_joints import complete_joints, hidden_faces
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.parts import BONE_PARTS, HEAD_PART, LIMB_PARTS, PARTS
from scmnet_cli.models.photo_end import within_photo
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND, WarpFields
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

SOURCE_LIMBS, MOVED_LIMBS = "source_limbs.onnx", "moved_limbs.onnx"
PART_LAYERS, PART_WARP = "part_layers.onnx", "part_warp.onnx"
WARP_FILES = (SOURCE_LIMBS, MOVED_LIMBS, PART_LAYERS, PART_WARP)
"""The files of a part warp."""

OPENED_FILES = (SOURCE_LIMBS, MOVED_LIMBS, PART_LAYERS)
"""Those that are used here; ``part_warp.onnx`` is for other programs."""

LIMBS = (*(each.name for each in fields(LimbMaps)), "absent")
"""Outputs of ``source_limbs.onnx``: how the limbs of a source lie, and the joints that it lacks altogether."""

LAYERS = ("part_shares", "other_limbs")
"""Outputs of ``part_layers.onnx`` and inputs of ``part_warp.onnx``: what all poses of a source share."""

WARP_FIELDS = {"warp_image": 3, "warp_regions": NUM_REGIONS, "warp_coverage": 1, "warp_coordinates": 2}
"""Outputs of ``part_warp.onnx`` and inputs of ``pose_to_image.onnx``: the fields of a part warp and their channels."""

_HARDLY_SHOWN = [2, 4]
"""Kinds of limbs: unseen ones, and arms without a hand."""


@dataclass(frozen=True)
class ExportedPerson:
    """One person to warp with the graphs of an exported model: :class:`PersonToWarp` without torch.

    What the poses share is computed once.

    Attributes:
        sessions: sessions of ONNX Runtime by the names of their files.
        mirrored_limbs: whether a limb that the photo hardly shows is drawn as the other one, mirrored.
        own_masks: the masks from before clothes were completed at bags, which tell the limbs that the photo hardly
            shows; None: no different ones.
        owners: the part that each pixel of the legs belongs to; None: the bones divide them.

    Shape:
        image: (1, 3, H, W) in [-1, 1]; masks, own_masks: (1, 8, H, W); joints: (1, 18, 3), as detected; owners:
        (1, H, W).
    """

    sessions: Mapping[str, Any] = field(repr=False)
    image: FloatArray
    masks: FloatArray
    joints: FloatArray
    mirrored_limbs: bool = True
    own_masks: FloatArray | None = None
    owners: UInt8Array | None = None
    _versions: dict[tuple[bool, ...], tuple[PhotoVersion, ...]] = field(default_factory=dict, init=False, repr=False)
    _layers: dict[int, tuple[bytes, dict[str, FloatArray]]] = field(default_factory=dict, init=False, repr=False)

    def warp(self, pose: FloatArray) -> WarpFields[FloatArray]:
        """Warp the person into a pose; arms that it moves away do not stay, unseen limbs are replaced.

        Shape:
            pose: (1, 18, 3); result: (1, ..., H, W).
        """
        given = {"kinds": self._maps.kinds, "source_joints": self.joints, "joints": pose}
        leaving = (run(self.sessions[MOVED_LIMBS], given)["limbs"][0] > 0.5).tolist()
        if not any(leaving):
            return self._warp(self._photo, self._photo.parts, pose)
        versions = self._versions_without(tuple(leaving))
        return mixed_versions(
            versions, None, lambda version, own: self._warp(version, own, pose), largest_around, PLAIN_BACKGROUND
        )

    @property
    def absent(self) -> npt.NDArray[np.bool_]:
        """The joints that a pose must not have where no limb is mirrored, (1, 18)."""
        absent: npt.NDArray[np.bool_] = self._limbs["absent"] > 0.5
        return absent

    @cached_property
    def _limbs(self) -> dict[str, FloatArray]:
        limbs = run(self.sessions[SOURCE_LIMBS], {"masks": self.masks, "source_joints": self.joints})
        if self.own_masks is None or np.array_equal(self.own_masks, self.masks):
            return limbs
        own = run(self.sessions[SOURCE_LIMBS], {"masks": self.own_masks, "source_joints": self.joints})
        hardly_shown = np.isin(np.arange(limbs["kinds"].shape[1]), _HARDLY_SHOWN)[:, None]
        return {**limbs, "kinds": np.where(hardly_shown, own["kinds"], limbs["kinds"]), "absent": own["absent"]}

    @cached_property
    def _maps(self) -> LimbMaps[FloatArray]:
        maps = LimbMaps(*(self._limbs[each.name] for each in fields(LimbMaps)))
        if self.mirrored_limbs:
            return maps
        kinds = maps.kinds.copy()
        kinds[:, _HARDLY_SHOWN] = 0
        return replace(maps, kinds=kinds)

    @cached_property
    def _photo(self) -> PhotoVersion:
        """The photo as it is, with all parts."""
        whole = np.ones((1, len(PARTS)), np.float32)
        masks = within_photo(self.masks, self.joints)
        return PhotoVersion(self.image, masks, self._maps.on_map, whole, is_original=True, is_mirrored=False)

    def _versions_without(self, leaving: tuple[bool, ...]) -> tuple[PhotoVersion, ...]:
        if leaving not in self._versions:
            self._versions[leaving] = tuple(
                replace(version, masks=within_photo(version.masks, self.joints))
                for version in photo_versions(self.image, self.masks, self._maps, leaving, PLAIN_BACKGROUND)
            )
        return self._versions[leaving]

    def _warp(self, version: PhotoVersion, parts: FloatArray, pose: FloatArray) -> WarpFields[FloatArray]:
        """Warp some parts of a version into a pose."""
        given = {"masks": version.masks, "on_map": version.joints, "joints": pose}
        layers = self._layers_of(version, given)
        picture, (shares, others) = version.image - np.float32(PLAIN_BACKGROUND), (layers[name] for name in LAYERS)
        source = ArrayLayers(picture, version.masks, shares, others, parts)
        return warped_layers(source, version.joints, pose)

    def _layers_of(self, version: PhotoVersion, given: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return what poses with these joints share; the places of the joints do not count."""
        kept, there = 0 if version.is_original else id(version), (given["joints"][..., 2] > 0).tobytes()
        if self._layers.get(kept, (b"", {}))[0] != there:
            self._layers[kept] = there, self._with_owners(run(self.sessions[PART_LAYERS], given), version)
        return self._layers[kept][1]

    def _with_owners(self, layers: dict[str, FloatArray], version: PhotoVersion) -> dict[str, FloatArray]:
        """Return outputs of ``part_layers.onnx`` where owners of the pixels of legs are known."""
        if self.owners is None:
            return layers
        owners = mirrored_owners(self.owners) if version.is_mirrored else self.owners
        shares, ends = (layers[name].copy() for name in LAYERS)
        whole = {part: layers[LAYERS[0]][:, list(leg)].sum(1) for leg in LIMB_PARTS[2:] for part in leg}
        for part in LEG_PARTS:
            number = BONE_PARTS.index(part)
            given = (as_tensor(each) for each in (shares[:, part], ends[:, number], whole[part], owners))
            shares[:, part], ends[:, number] = of_own_leg(part, *given)
        return dict(zip(LAYERS, (shares, ends), strict=True))


@dataclass(frozen=True)
class ArrayLayers:
    """The layers of a version of a photo that its parts sample.

    Shape:
        picture: (1, 3, H, W), minus the value of uncovered pixels; masks: (1, 8, H, W); part_shares, other_limbs:
        (1, 10, H, W) and (1, 8, H, W), outputs of ``part_layers.onnx``; wanted: (1, 10), the parts to warp.
    """

    picture: FloatArray
    masks: FloatArray
    part_shares: FloatArray
    other_limbs: FloatArray
    wanted: FloatArray

    @property
    def image(self) -> Tensor:
        """The picture."""
        return as_tensor(self.picture)

    @property
    def other_leg(self) -> dict[int, Tensor]:
        """For legs and forearms, where pixels belong to another limb, (1, H, W)."""
        return {part: as_tensor(self.other_limbs[:, number]) for number, part in enumerate(BONE_PARTS)}

    def parts(self, hidden: Tensor) -> Iterator[Tensor]:
        """Yield the layers that each part samples, (1, 12, H, W); of parts that are not wanted the last ones."""
        shown = np.concatenate([self.picture, self.masks], axis=1)
        source = np.concatenate([shown, np.zeros_like(shown[:, :1])], axis=1)
        for part, own in enumerate(self.part_shares[0]):
            if self.wanted[0, part]:
                limb = self.other_leg.get(part)
                has_other = limb is not None and bool(limb.any())
                source[:, :-1] = with_background(as_tensor(shown), limb) if has_other else shown  # type: ignore[arg-type]
                source[:, -1] = own * (1 - self.masks[0, FACE] * np.asarray(hidden)) if part == HEAD_PART else own
            yield as_tensor(source)


def warped_layers(layers: ArrayLayers, source: FloatArray, pose: FloatArray) -> WarpFields[FloatArray]:
    """Warp the wanted parts of a version into a pose.

    Shape:
        source, pose: (1, 18, 3), as detected; result: (1, ..., H, W).
    """
    hidden = as_tensor(hidden_faces(source, pose))
    own, target = (as_tensor(complete_joints(np.asarray(joints, np.float32))) for joints in (source, pose))
    transforms = part_transforms(own, target)
    shapes = PartShapes.of(target, transforms.valid)
    parts = as_tensor(layers.wanted)
    fields = composite(layers, hidden, PLAIN_BACKGROUND, transforms, shapes, boxed=True, parts=parts)
    return WarpFields(*(np.asarray(field) for field in fields))


def run(session: Any, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
    """Return the outputs of a session by name."""
    names = [output.name for output in session.get_outputs()]
    contiguous = {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}
    return dict(zip(names, session.run(names, contiguous), strict=True))
