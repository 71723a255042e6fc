"""Edge maps of faces, from the parts of CelebAMask-HQ or from regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scmnet_cli.edges import face_edges
from scmnet_cli.regions import CELEBAMASK19, CELEBAMASK_PARTS, FACE_REGIONS, to_regions
from scmnet_cli.types import Person

# Inside these parts edges are removed: pores, beard, shadows. Glasses are a part of their own and keep their edges.
_INNER_PARTS = ("skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip")
_INNER_REGIONS = ("skin", "brows", "eyes", "nose", "mouth")


def with_parts(face: Person) -> Person:
    """Convert a face whose map holds CelebAMask-HQ's parts: add edges from the parts, and replace them by regions."""
    inner = [CELEBAMASK_PARTS.index(part) for part in _INNER_PARTS]
    edges = face_edges(face.image, face.regions, inner)
    return replace(face, regions=to_regions(face.regions, CELEBAMASK19, FACE_REGIONS), edges=edges)


def with_regions(face: Person) -> Person:
    """Add edges from regions to a face; coarser than edges from parts, which separate the lips."""
    inner = [FACE_REGIONS.index(region) for region in _INNER_REGIONS]
    return replace(face, edges=face_edges(face.image, np.asarray(face.regions), inner))
