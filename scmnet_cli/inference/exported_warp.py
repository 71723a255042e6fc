"""The part warp of an exported model: graphs warp the versions of a photo; importing this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_maps import LimbMaps
from scmnet_cli.inference.photo_versions import PhotoVersion, mixed_versions, photo_versions
from scmnet_cli.inference.surroundings import grown
from scmnet_cli.models.parts import PARTS
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND, WarpFields
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.types import FloatArray

SOURCE_LIMBS, MOVED_LIMBS = "source_limbs.onnx", "moved_limbs.onnx"
PART_LAYERS, PART_WARP = "part_layers.onnx", "part_warp.onnx"
WARP_FILES = (SOURCE_LIMBS, MOVED_LIMBS, PART_LAYERS, PART_WARP)
"""The files of a part warp."""

LIMBS = (*(each.name for each in fields(LimbMaps)), "absent")
"""Outputs of ``source_limbs.onnx``: how the limbs of a source lie, and the joints that it lacks altogether."""

LAYERS = ("part_shares", "other_limbs")
"""Outputs of ``part_layers.onnx`` and inputs of ``part_warp.onnx``: what all poses of a source share."""

WARP_FIELDS = {"warp_image": 3, "warp_regions": NUM_REGIONS, "warp_coverage": 1, "warp_coordinates": 2}
"""Outputs of ``part_warp.onnx`` and inputs of ``pose_to_image.onnx``: the fields of a part warp and their channels."""

_UNSEEN, _HANDLESS = 2, 4  # kinds of limbs


@dataclass(frozen=True)
class ExportedPerson:
    """One person to warp with the graphs of an exported model: :class:`PersonToWarp` without torch.

    What the poses share is computed once.

    Attributes:
        sessions: sessions of ONNX Runtime by the names of their files.
        mirrored_limbs: whether a limb that the photo hardly shows is drawn as the other one, mirrored.

    Shape:
        image: (1, 3, H, W) in [-1, 1]; masks: (1, 8, H, W); joints: (1, 18, 3), as detected.
    """

    sessions: Mapping[str, Any] = field(repr=False)
    image: FloatArray
    masks: FloatArray
    joints: FloatArray
    mirrored_limbs: bool = True
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
            versions, None, lambda version, own: self._warp(version, own, pose), grown, PLAIN_BACKGROUND
        )

    @property
    def absent(self) -> npt.NDArray[np.bool_]:
        """The joints that a pose must not have where no limb is mirrored, (1, 18)."""
        absent: npt.NDArray[np.bool_] = self._limbs["absent"] > 0.5
        return absent

    @cached_property
    def _limbs(self) -> dict[str, FloatArray]:
        return run(self.sessions[SOURCE_LIMBS], {"masks": self.masks, "source_joints": self.joints})

    @cached_property
    def _maps(self) -> LimbMaps[FloatArray]:
        maps = LimbMaps(*(self._limbs[each.name] for each in fields(LimbMaps)))
        if self.mirrored_limbs:
            return maps
        kinds = maps.kinds.copy()
        kinds[:, [_UNSEEN, _HANDLESS]] = 0
        return replace(maps, kinds=kinds)

    @cached_property
    def _photo(self) -> PhotoVersion:
        """The photo as it is, with all parts."""
        whole = np.ones((1, len(PARTS)), np.float32)
        return PhotoVersion(self.image, self.masks, self._maps.on_map, whole, is_original=True, is_mirrored=False)

    def _versions_without(self, leaving: tuple[bool, ...]) -> tuple[PhotoVersion, ...]:
        if leaving not in self._versions:
            self._versions[leaving] = photo_versions(self.image, self.masks, self._maps, leaving, PLAIN_BACKGROUND)
        return self._versions[leaving]

    def _warp(self, version: PhotoVersion, parts: FloatArray, pose: FloatArray) -> WarpFields[FloatArray]:
        """Warp some parts of a version into a pose."""
        given = {"masks": version.masks, "on_map": version.joints, "joints": pose}
        layers = self._layers_of(version, given)
        warped = run(self.sessions[PART_WARP], {**given, "image": version.image, **layers, "parts": parts})
        return WarpFields(*(warped[name] for name in WARP_FIELDS))

    def _layers_of(self, version: PhotoVersion, given: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return what poses with these joints share; the places of the joints do not count."""
        kept, there = 0 if version.is_original else id(version), (given["joints"][..., 2] > 0).tobytes()
        if self._layers.get(kept, (b"", {}))[0] != there:
            self._layers[kept] = there, run(self.sessions[PART_LAYERS], given)
        return self._layers[kept][1]


def run(session: Any, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
    """Return the outputs of a session by name."""
    names = [output.name for output in session.get_outputs()]
    contiguous = {name: np.ascontiguousarray(values, np.float32) for name, values in inputs.items()}
    return dict(zip(names, session.run(names, contiguous), strict=True))
