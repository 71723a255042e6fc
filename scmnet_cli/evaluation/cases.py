"""Cases: pictures beside their references, a chunk at a time, so that any number fits in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.checkpoint import sha256
from scmnet_cli.types import FloatArray, UInt8Array


@dataclass(frozen=True)
class Case:
    """One picture by one or several answers, with its reference.

    Attributes:
        answers: a picture by each answer's name.
        reference_key: the same for the same reference.
        labels: region map of the reference; source_labels of the source.
        joints: of the reference; source_joints of the source.
        edges: Canny's of the reference, where it is a face.
        has_truth: whether the reference is the ground truth; false where it only gives the layout.
        found_joints: joints that another estimator found in the first answer, which alone then has a PCK; None: the
            analyser looks for the joints of every answer.

    Shape:
        pictures: (H, W, 3) uint8; labels: (H, W) uint8; joints, source_joints, found_joints: (18, 3), in pixels of the
        reference, the source and the first answer; edges: (H, W) bool.
    """

    name: str
    answers: dict[str, UInt8Array]
    reference: UInt8Array
    reference_key: str
    source: UInt8Array | None = None
    labels: UInt8Array | None = None
    source_labels: UInt8Array | None = None
    joints: FloatArray | None = None
    edges: npt.NDArray[np.bool_] | None = None
    has_truth: bool = True
    found_joints: FloatArray | None = None
    source_joints: FloatArray | None = None


class Cases(Protocol):
    """All cases of an evaluation, in a fixed order."""

    form: str
    answers: tuple[str, ...]

    def __len__(self) -> int: ...

    def reference_sha256(self) -> str:
        """Return a hash of the references' contents; names and order do not change it."""
        ...

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Yield all cases in chunks of this size; the last one may be smaller."""
        ...

    def one(self, index: int) -> Case:
        """Return one case again, for the report's pictures."""
        ...

    def remarks(self) -> list[str]:
        """Return what a reader of the numbers should know of the pictures, a sentence each."""
        ...

    def described(self) -> dict[str, Any]:
        """Return where the pictures came from, for the report."""
        ...


def read_ahead(read: Callable[[int], Case], count: int, size: int) -> Iterator[list[Case]]:
    """Yield all cases in chunks, while threads read the next chunk: at most two chunks are in memory.

    Args:
        read: return the case of an index; called from any thread.
        count: number of cases.
        size: cases in a chunk.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def begin(start: int) -> list[Future[Case]]:
            return [pool.submit(read, index) for index in range(start, min(start + size, count))]

        coming = begin(0)
        for start in range(0, count, size):
            now, coming = coming, begin(start + size)
            yield [case.result() for case in now]


def hash_of_contents(paths: Iterable[Path]) -> str:
    """Return a hash of a set of files that neither their names nor their order change."""
    digests = sorted(sha256(path) for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()
