"""Exchange the features of regions between people, and their pixels (the paper's controllable edits)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from scmnet_cli.domains import Domain
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.values import EncodedSource
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Person

_RIVALS = {"pants": "skirt", "skirt": "pants"}
"""Garments that exclude each other, since they cover the same place."""


def exchange_regions(
    model: SCMNet, domain: Domain, source: EncodedSource, references: Mapping[str, EncodedSource]
) -> EncodedSource:
    """Replace the features and pixels of a source's regions by those of references, and fuse the features again.

    A garment that the source does not wear yet removes its rival, unless the rival is replaced too.

    Args:
        model: fuses the features.
        domain: names of the regions.
        source: the edited person.
        references: for each region, by name, the person it is taken from; their map has this region.
    """
    ids = {name: domain.region_id(name) for name in references}
    worn = {domain.regions[region] for region in np.unique(source.person.regions)}
    removed = tuple(
        rival
        for name, rival in _RIVALS.items()
        if name in references and name not in worn and rival in worn and rival not in references
    )
    with torch.inference_mode():
        region_features = source.region_features.clone()
        for name in removed:
            region_features[:, domain.region_id(name)] = 0  # encoding of an absent region
        for name, other in references.items():
            region_features[:, ids[name]] = other.region_features[:, ids[name]]
        style = model.fuse(region_features)
    person = source.person
    for name in removed:
        person = _without(person, domain.region_id(name))
    person = _pasted(person, {ids[name]: other.person for name, other in references.items()})
    return EncodedSource(person, source.removed + removed, source.seconds, region_features=region_features, style=style)


def _without(person: Person, region: int) -> Person:
    """Remove a region: paint it in the light grey of a plain background."""
    image, regions = person.image.copy(), person.regions.copy()
    gone = regions == region
    image[gone], regions[gone] = PLAIN_GREY, BACKGROUND
    return replace(person, image=image, regions=regions)


def _pasted(person: Person, parts: Mapping[int, Person]) -> Person:
    """Paste regions of others onto a person; a background goes behind everything else."""
    for region in parts:
        person = _without(person, region)
    image, regions = person.image.copy(), person.regions.copy()
    for region in sorted(parts, key=lambda region: region == BACKGROUND):
        taken = parts[region].regions == region
        if region == BACKGROUND:
            taken &= regions == BACKGROUND
        image[taken], regions[taken] = parts[region].image[taken], region
    return replace(person, image=image, regions=regions)
