"""What is judged: pictures beside what they should be, a chunk at a time, so that any number fits in memory."""

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
    """One picture, by one or several answers, and what is known of it.

    Attributes:
        answers: a picture by each answer's name.
        reference_key: the same for the same reference.
        labels: region map of the reference; source_labels of the source.
        joints: of the reference; source_joints of the source.
        edges: Canny's of the reference, where it is a face.
        has_truth: whether the reference is what the picture should be, and not only what it takes its layout from.
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
    """All that is judged, in an order that does not change."""

    form: str
    answers: tuple[str, ...]

    def __len__(self) -> int: ...

    def reference_sha256(self) -> str:
        """Return the hash of what the references hold, whatever they are called."""
        ...

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Give all cases, so many at a time; the last chunk may be smaller."""
        ...

    def one(self, index: int) -> Case:
        """Give one case once more, for the report's pictures."""
        ...

    def remarks(self) -> list[str]:
        """Return what a reader of the numbers should know of the pictures, a sentence each."""
        ...

    def described(self) -> dict[str, Any]:
        """Return what the report says about where the pictures came from."""
        ...


def read_ahead(read: Callable[[int], Case], count: int, size: int) -> Iterator[list[Case]]:
    """Give all cases, so many at a time, while threads read those that come next: two chunks are in memory at most.

    Args:
        read: gives the case of an index, from any thread.
        count: of all cases.
        size: of a chunk.
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
