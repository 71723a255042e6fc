"""Domains of models: people from joints, or faces from edges. A domain defines regions and structure maps.

Networks, losses and training are the same for all domains. Old models and prepared folders without a domain are of
people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from scmnet_cli.edges import NUM_EDGE_CHANNELS, draw_edges, edge_maps, mirror_edges, rescale_edges
from scmnet_cli.images import draw_skeleton
from scmnet_cli.regions import BODY_REGIONS, FACE_REGIONS, region_id
from scmnet_cli.skeleton import NUM_POSE_CHANNELS, mirror, pose_maps, rescale
from scmnet_cli.types import Canvas, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Domain:
    """Regions of the style, and structure of the layout.

    The structure of one image is the joints of a person, (18, 3) float32, or the edge map of a face, (H, W) uint8.

    Attributes:
        name: name in configs and manifests.
        members: plural noun for messages.
        regions: names of the eight regions; the index is the id, 0 the background.
        coloured: regions whose colours distinguish sources.
        edited: regions that the sheet of edits exchanges.
        structure: noun for the structure, for messages.
        num_maps: channels of the structure maps.
        maps: draws structures, (B, ...), as maps for the encoder, (B, num_maps, H, W).
        mirror: mirrors structures of images of a given width.
        rescale: converts a structure to another canvas of the same image.
        draw: draws a structure over an image.
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
    rescale: Callable[..., npt.NDArray[Any]]
    draw: Callable[..., UInt8Array]

    @property
    def has_joints(self) -> bool:
        """Whether the structure is joints."""
        return self.structure == "joints"

    def region_id(self, name: str) -> int:
        """Return the id of a named region.

        Raises:
            ScmError: if this domain has no such region.
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
    rescale=rescale_edges,
    draw=draw_edges,
)

DOMAINS = {domain.name: domain for domain in (PERSON, FACE)}
"""Domains by their names for ``model.domain`` and ``scm preprocess --domain``."""
