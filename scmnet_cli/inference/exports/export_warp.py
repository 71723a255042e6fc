"""Graphs of the part warp in an exported model, traced from the functions that torch runs.

``source_limbs.onnx`` finds how the limbs of a source lie, and ``moved_limbs.onnx`` which of them leave their place in a
pose. ``photo_versions.py`` makes versions of the photo for such a pose. ``part_layers.onnx`` divides a version among
the parts of the body, and ``part_warp.onnx`` moves its pixels into the pose.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn

from scmnet_cli.inference.exports.exported_warp import (
    LAYERS,
    LIMBS,
    MOVED_LIMBS,
    PART_LAYERS,
    PART_WARP,
    SOURCE_LIMBS,
    WARP_FIELDS,
)
from scmnet_cli.inference.limbs.crossed_arms import limb_maps, moved_limbs
from scmnet_cli.inference.limbs.unseen_limbs import absent_joints
from scmnet_cli.models.part_warp import part_layers, warp_layers
from scmnet_cli.models.parts import LIMB_PARTS, PARTS
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Canvas


class LimbsGraph(nn.Module):
    """Graph of ``source_limbs.onnx``: how the limbs of a source lie on its body.

    Shape:
        masks: (1, 8, H, W); source_joints: (1, 18, 3), as detected; results: the fields of
        :class:`~scmnet_cli.inference.limbs.limb_maps.LimbMaps`, and (1, 18) in {0, 1}, see :func:`absent_joints`.
    """

    def forward(self, masks: Tensor, source_joints: Tensor) -> tuple[Tensor, ...]:
        """Find the limbs."""
        maps = limb_maps(masks, source_joints)
        return *(getattr(maps, name) for name in LIMBS[:-1]), absent_joints(masks, source_joints).to(masks.dtype)


class MovedGraph(nn.Module):
    """Graph of ``moved_limbs.onnx``: which limbs leave their place in a pose, so that versions of the photo are needed.

    Shape:
        kinds: (1, 5, 4), a result of :class:`LimbsGraph`; source_joints, joints: (1, 18, 3), as detected; result:
        (1, 4) in {0, 1}: right and left arm, right and left leg.
    """

    def forward(self, kinds: Tensor, source_joints: Tensor, joints: Tensor) -> Tensor:
        """Compare the poses."""
        return moved_limbs(kinds, source_joints, joints)


class LayersGraph(nn.Module):
    """Graph of ``part_layers.onnx``: which pixels of a source belong to which part of the body, for all poses.

    Shape:
        masks: (1, 8, H, W); on_map: (1, 18, 3), joints of the source, a result of :class:`LimbsGraph`; joints:
        (1, 18, 3), a pose, of which only the presence of each joint counts; results: (1, 10, H, W) and (1, 8, H, W),
        see :func:`part_layers`.
    """

    def forward(self, masks: Tensor, on_map: Tensor, joints: Tensor) -> tuple[Tensor, ...]:
        """Divide the source."""
        return part_layers(masks, on_map, joints)


class WarpGraph(nn.Module):
    """Graph of ``part_warp.onnx``: the pixels of one source, moved into one pose part by part.

    Shape:
        image: (1, 3, H, W) in [-1, 1]; masks: (1, 8, H, W); on_map, joints: as of :class:`LayersGraph`; part_shares,
        other_limbs: results of :class:`LayersGraph`; parts: (1, 10) in {0, 1}, the parts to warp; results: the fields
        of a part warp, (1, ..., H, W).
    """

    def forward(
        self,
        image: Tensor,
        masks: Tensor,
        on_map: Tensor,
        joints: Tensor,
        part_shares: Tensor,
        other_limbs: Tensor,
        parts: Tensor,
    ) -> tuple[Tensor, ...]:
        """Warp on the whole canvas: a graph cannot depend on the box of each part."""
        warp = warp_layers(image, masks, (part_shares, other_limbs), on_map, joints, parts)
        return warp.image, warp.regions, warp.coverage, warp.coordinates


@dataclass(frozen=True)
class WarpPart:
    """One graph of the part warp, with an example of each input and the names of its outputs."""

    module: nn.Module
    seen: dict[str, Tensor]
    outputs: list[str]


def warp_graphs(canvas: Canvas) -> dict[str, WarpPart]:
    """Return the graphs of the part warp on a canvas by the names of their files."""
    height, width = astuple(canvas)
    masks = {"masks": torch.zeros(1, NUM_REGIONS, height, width)}
    given, own, pose = ({name: torch.zeros(1, NUM_JOINTS, 3)} for name in ("source_joints", "on_map", "joints"))
    kinds = {"kinds": torch.zeros(1, 5, len(LIMB_PARTS))}
    layers = dict(zip(LAYERS, part_layers(masks["masks"], own["on_map"], pose["joints"]), strict=True))
    image, parts = {"image": torch.zeros(1, 3, height, width)}, {"parts": torch.ones(1, len(PARTS))}
    return {
        SOURCE_LIMBS: WarpPart(LimbsGraph(), masks | given, list(LIMBS)),
        MOVED_LIMBS: WarpPart(MovedGraph(), kinds | given | pose, ["limbs"]),
        PART_LAYERS: WarpPart(LayersGraph(), masks | own | pose, list(LAYERS)),
        PART_WARP: WarpPart(WarpGraph(), image | masks | own | pose | layers | parts, list(WARP_FIELDS)),
    }
