"""Edges of a face on its canvas, by CelebAMask-HQ's parts or by regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scmnet_cli.edges import face_edges
from scmnet_cli.regions import CELEBAMASK19, CELEBAMASK_PARTS, FACE_REGIONS, to_regions
from scmnet_cli.types import Person

# Inside of these no edges of pores, beard and shadows are wanted; glasses, a part of its own, keep theirs.
_INNER_PARTS = ("skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip")
_INNER_REGIONS = ("skin", "brows", "eyes", "nose", "mouth")


def with_parts(face: Person) -> Person:
    """Return a face on its canvas, whose map holds CelebAMask-HQ's parts, with regions, and edges by those parts."""
    inner = [CELEBAMASK_PARTS.index(part) for part in _INNER_PARTS]
    edges = face_edges(face.image, face.regions, inner)
    return replace(face, regions=to_regions(face.regions, CELEBAMASK19, FACE_REGIONS), edges=edges)


def with_regions(face: Person) -> Person:
    """Return a face on its canvas with edges by its regions: coarser than by parts, which know the lips apart."""
    inner = [FACE_REGIONS.index(region) for region in _INNER_REGIONS]
    return replace(face, edges=face_edges(face.image, np.asarray(face.regions), inner))
