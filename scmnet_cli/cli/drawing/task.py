"""Task of one drawing command: sources, poses and references, file names, and the share of each process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.outputs import safe_name
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.values import ReadySource
from scmnet_cli.system.processes import Rank


@dataclass(frozen=True)
class Reference:
    """Source of an exchanged region: another person, or a garment of a wardrobe.

    Attributes:
        name: name in file names and messages.
        where: file it comes from.
        encode: reads and encodes it; raises ScmError on failure.
    """

    name: str
    where: str
    encode: Callable[[], ReadySource]


@dataclass(frozen=True)
class Task:
    """Sources, poses and references of one command.

    Attributes:
        sources: people to draw.
        poses: poses to draw them in; None: each source in its own pose.
        references: reference of each region to exchange.
        colours: True for ``scm colorize``: files and reports list the edges first, then the source as their reference.
        force: edit even if a photo does not show where a garment goes, or shows another side than the reference.
    """

    sources: list[Input]
    poses: list[Input] | None
    references: dict[str, Reference]
    colours: bool = False
    force: bool = False

    def __len__(self) -> int:
        return len(self.sources) * (1 if self.poses is None else len(self.poses))

    def stem(self, source: Input, given: Input) -> str:
        """Return the file name of a picture without its ending."""
        if self.colours:
            return f"{safe_name(given.name)}_like_{safe_name(source.name)}"
        return "_".join([
            safe_name(source.name),
            *(f"{region}-from-{safe_name(reference.name)}" for region, reference in self.references.items()),
            *([] if self.poses is None else ["to", safe_name(given.name)]),
        ])  # fmt: skip

    def inputs(self, source: Input, given: Input) -> dict[str, Any]:
        """Return the names and paths of a picture's inputs for its report."""
        if self.colours:
            return {"edges": named(given), "reference": named(source)}
        return {
            "source": named(source),
            "pose": named(given),
            "exchanged": {region: named(reference) for region, reference in self.references.items()},
        }

    def of_rank(self, rank: Rank) -> Iterator[tuple[Input, list[Input]]]:
        """Yield the sources and poses that one process draws: a contiguous share, so that it reads few sources.

        Pictures that may get the same file name are drawn by the same process, which numbers them.
        """
        poses_of = [(source, [source] if self.poses is None else self.poses) for source in self.sources]
        if rank.count == 1:
            yield from poses_of
            return
        stems = dict.fromkeys(self.stem(source, given) for source, poses in poses_of for given in poses)
        owners = {stem: place * rank.count // len(stems) for place, stem in enumerate(stems)}
        for stem in stems:
            owners[stem] = owners.get(re.sub(r"_\d+$", "", stem), owners[stem])
        for source, poses in poses_of:
            own = [given for given in poses if owners[self.stem(source, given)] == rank.index]
            if own:
                yield source, own


def named(given: Input | Reference) -> dict[str, Any]:
    """Return name and path of an input for a report."""
    found: dict[str, Any] = {"name": given.name, "path": given.where}
    if isinstance(given, Input) and given.others:
        found["further_photos"] = [other.where for other in given.others]
    return found


def are_pair(source: Input, pose: Input) -> bool:
    """Return whether a prepared folder lists the two as a pair, that is, photos of one person."""
    if source.folder is None or pose.folder is None or source.folder.path != pose.folder.path:
        return False
    return (source.name, pose.name) in _pairs(source.folder)


@cache
def _pairs(folder: PreparedFolder) -> set[tuple[str, str]]:
    return set(folder.pairs())
