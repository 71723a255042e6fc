"""Distributed rank and CPU collectives under torchrun.

All processes must make the same collective calls in the same order. The collectives use gloo, even if the networks are
on GPUs: a process that dies closes its sockets, so the next call of the others fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_INIT_TIMEOUT = timedelta(minutes=30)
_COLLECTIVE_TIMEOUT = timedelta(days=7)
"""Long, because one process may have far more to read or write than another."""

_NCCL_TIMEOUT = timedelta(seconds=60)
"""Timeout of NCCL once all GPUs have started: NCCL may not notice by itself that a machine is gone."""


@dataclass(frozen=True)
class Rank:
    """Rank ``index`` of ``count`` processes; ``local`` of ``local_count`` on its machine."""

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files, prints and shows progress."""
        return self.index == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this rank's share of the items, every ``count``-th; the shares of all ranks partition the items."""
        return items[self.index :: self.count]

    def __str__(self) -> str:
        return f"rank {self.index} of {self.count}"


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """Read torchrun's RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE; rank 0 of 1 without them.

    Raises:
        ScmError: if a value is not valid.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [environment.get(name, default) for name, default in zip(names, "0101", strict=True)]
    text = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    if not all(value.isdecimal() for value in values) or not int(values[0]) < int(values[1]):
        raise ScmError(f"{text} in the environment are no valid ranks; start with torchrun, or unset them")
    return Rank(*map(int, values))


class Team:
    """All processes of one launch; with a single process every call returns at once."""

    def __init__(self, rank: Rank, *, with_gpus: bool = False) -> None:
        """Connect to the other processes at torchrun's address.

        Args:
            rank: rank of this process.
            with_gpus: whether the networks will be on GPUs.

        Raises:
            ScmError: if the others cannot be reached.
        """
        self.rank = rank
        self._with_gpus = with_gpus
        self._group: Any = None
        if rank.count == 1:
            return
        import torch.distributed as dist

        with self.connection_errors():
            if not dist.is_initialized():
                dist.init_process_group("cpu:gloo,cuda:nccl" if with_gpus else "gloo", timeout=_INIT_TIMEOUT)
            self._group = dist.new_group(backend="gloo", timeout=_COLLECTIVE_TIMEOUT)

    def shorten_gpu_timeout(self) -> None:
        """Set NCCL's timeout to one minute; call it after the first step, when all GPUs are running."""
        if self._group is None or not self._with_gpus:
            return
        import torch.distributed as dist

        # Public only since torch 2.15.
        set_timeout = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout  # noqa: SLF001
        set_timeout(_NCCL_TIMEOUT)

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes in order of rank (all-gather); a value must pickle.

        Raises:
            ScmError: if a process is gone.
        """
        if self._group is None:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.rank.count
        with self.connection_errors():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; all get the same answer.

        Raises:
            ScmError: if a process is gone.
        """
        if self._group is None:
            return flag
        import torch
        import torch.distributed as dist

        flags = torch.tensor([int(flag)])
        with self.connection_errors():
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=self._group)
        return bool(flags.item())

    def wait(self) -> None:
        """Wait until every process has made this call (barrier).

        Raises:
            ScmError: if a process is gone.
        """
        self.any(False)

    def leave(self) -> None:
        """Close the connection after the last call."""
        if self._group is not None:
            import torch.distributed as dist

            dist.destroy_process_group()

    @contextmanager
    def connection_errors(self) -> Iterator[None]:
        """Translate torch's errors of a broken connection to ScmError.

        Raises:
            ScmError: if a process is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.rank.count == 1 or not _is_connection_error(error):
                raise
            reason = re.sub(r"^\[\S+?\]\s*", "", str(error).strip()).split(". ")[0]
            raise ScmError(
                f"another process of this run is gone ({reason}); see its own message beside this one or on its "
                "machine; the same command resumes"
            ) from error


def _is_connection_error(error: RuntimeError) -> bool:
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


ALONE = Team(Rank())
"""The team of a single process."""
