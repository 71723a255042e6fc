"""Domains of models: people after joints, or faces after edges. A domain is regions and structure maps.

Everything else is the same for all: networks, losses, training, pictures. Old models and prepared folders, which name
no domain, are of people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from torch import Tensor

from scmnet_cli.edges import NUM_EDGE_CHANNELS, as_sketch, draw_edges, edge_maps, mirror_edges, rescale_edges
from scmnet_cli.images import draw_skeleton
from scmnet_cli.regions import BODY_REGIONS, FACE_REGIONS, region_id
from scmnet_cli.skeleton import NUM_POSE_CHANNELS, mirror, pose_maps, rescale
from scmnet_cli.types import Canvas, UInt8Array


@dataclass(frozen=True)
class Domain:
    """The regions that style is kept by, and the structure that says the layout.

    The structure of one picture is the joints of a person, (18, 3) float32, or the edge map of a face, (H, W) uint8.

    Attributes:
        name: as configs and manifests name it.
        members: what prepared folders hold, for messages.
        regions: names of the eight regions; a region's place is its id, 0 the background.
        coloured: the regions whose colours distinguish sources.
        edited: the regions that the sheet of edits exchanges.
        structure: what a structure is, for messages.
        num_maps: channels of the structure maps.
        maps: draws structures, (B, ...), as the maps (B, num_maps, H, W) that the encoder reads.
        mirror: structures of the pictures, of some width, mirrored left to right.
        simplify: leaves of the chosen structures, (B,) bool, what a hand would draw.
        rescale: a structure on another canvas of the same picture.
        draw: shows a structure over a picture.
    """

    name: str
    members: str
    regions: tuple[str, ...]
    coloured: tuple[str, ...]
    edited: tuple[str, ...]
    structure: str
    num_maps: int
    maps: Callable[[Tensor, Canvas], Tensor]
    mirror: Callable[[Tensor, int], Tensor]
    simplify: Callable[[Tensor, Tensor], Tensor]
    rescale: Callable[..., npt.NDArray[Any]]
    draw: Callable[..., UInt8Array]

    @property
    def has_joints(self) -> bool:
        """Whether the structure is joints."""
        return self.structure == "joints"

    def region_id(self, name: str) -> int:
        """Return the id of a named region.

        Raises:
            ScmError: if this domain has no region of that name.
        """
        return region_id(name, self.regions)


PERSON = Domain(
    name="person",
    members="people",
    regions=BODY_REGIONS,
    coloured=("pants", "skirt", "upper"),
    edited=("upper", "pants", "hair"),
    structure="joints",
    num_maps=NUM_POSE_CHANNELS,
    maps=pose_maps,
    mirror=mirror,
    simplify=lambda joints, _: joints,
    rescale=rescale,
    draw=draw_skeleton,
)

FACE = Domain(
    name="face",
    members="faces",
    regions=FACE_REGIONS,
    coloured=("skin", "hair", "mouth"),
    edited=("hair", "skin", "mouth"),
    structure="edges",
    num_maps=NUM_EDGE_CHANNELS,
    maps=edge_maps,
    mirror=mirror_edges,
    simplify=as_sketch,
    rescale=rescale_edges,
    draw=draw_edges,
)

DOMAINS = {domain.name: domain for domain in (PERSON, FACE)}
"""By name, as ``model.domain`` and ``scm preprocess --domain`` take them."""
