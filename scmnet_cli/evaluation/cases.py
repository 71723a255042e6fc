"""Cases: outputs with their references, read in chunks so that any number fits in memory."""

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
    """One reference, and an output image of each method ("answer").

    Attributes:
        answers: output images by the method's name.
        reference_key: identifies the reference; the same for the same reference.
        labels, source_labels: region maps of reference and source.
        joints, source_joints: joints of reference and source.
        edges: Canny edges of the reference, if it is a face.
        has_truth: whether the reference is the ground truth; False if it only gives the layout.
        found_joints: joints that another estimator found in the first answer, which then alone has a PCK; None if the
            analyser should find the joints of every answer.

    Shape:
        images: (H, W, 3) uint8; labels: (H, W) uint8; joints, source_joints, found_joints: (18, 3), in pixels of the
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
        """Return a hash of the references' contents, independent of names and order."""
        ...

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Yield all cases in chunks of this size; the last chunk may be smaller."""
        ...

    def one(self, index: int) -> Case:
        """Return a single case, for the images of the report."""
        ...

    def remarks(self) -> list[str]:
        """Return remarks on the images for readers of the results, one sentence each."""
        ...

    def described(self) -> dict[str, Any]:
        """Return the origin of the images, for the report."""
        ...


def read_ahead(read: Callable[[int], Case], count: int, size: int) -> Iterator[list[Case]]:
    """Yield all cases in chunks while threads read the next chunk; at most two chunks are in memory.

    Args:
        read: returns the case of an index; called from any thread.
        count: number of cases.
        size: number of cases per chunk.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def submit(start: int) -> list[Future[Case]]:
            return [pool.submit(read, index) for index in range(start, min(start + size, count))]

        upcoming = submit(0)
        for start in range(0, count, size):
            current, upcoming = upcoming, submit(start + size)
            yield [case.result() for case in current]


def hash_of_contents(paths: Iterable[Path]) -> str:
    """Return a hash of the contents of a set of files, independent of names and order."""
    digests = sorted(sha256(path) for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()
