"""Which of how many processes this one is, as torchrun says, and how they wait for and tell each other.

Collective calls must be made by all processes, in the same order. They go over sockets of the CPU (gloo), whatever the
networks run on: a process that dies closes its sockets, so the others learn of it at their next call.
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

_TO_MEET = timedelta(minutes=30)
_LONGEST_WAIT = timedelta(days=7)
"""For processes that live: one may have far more to read or write than another."""

_GPU_PATIENCE = timedelta(seconds=60)
"""For GPUs, once all of them are under way: NCCL may not notice on its own that a machine is gone."""


@dataclass(frozen=True)
class Rank:
    """One process among ``count``; ``local`` and ``local_count`` are the same among those of its own machine."""

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, prints and draws progress."""
        return self.index == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return every ``count``-th of the items: those of all ranks together are all of them, each once."""
        return items[self.index :: self.count]

    def __str__(self) -> str:
        return f"rank {self.index} of {self.count}"


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """Read what torchrun says in RANK, WORLD_SIZE and their local kin; without them this process is alone.

    Raises:
        ScmError: if they are no ranks.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [environment.get(name, default) for name, default in zip(names, "0101", strict=True)]
    text = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    if not all(value.isdecimal() for value in values) or not int(values[0]) < int(values[1]):
        raise ScmError(f"{text} in the environment name no process; start with torchrun, or unset them")
    return Rank(*map(int, values))


class Team:
    """All processes of one start; alone, every call returns at once."""

    def __init__(self, rank: Rank, *, with_gpus: bool = False) -> None:
        """Meet the others; the address comes from torchrun.

        Args:
            rank: of this process.
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

        with self.losses_told():
            if not dist.is_initialized():
                dist.init_process_group("cpu:gloo,cuda:nccl" if with_gpus else "gloo", timeout=_TO_MEET)
            self._group = dist.new_group(backend="gloo", timeout=_LONGEST_WAIT)

    def expect_gpus_to_answer(self) -> None:
        """From now on end this process if another's GPU does not answer for a minute; for when all are under way."""
        if self._group is None or not self._with_gpus:
            return
        import torch.distributed as dist

        # Public only since torch 2.15.
        set_timeout = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout  # noqa: SLF001
        set_timeout(_GPU_PATIENCE)

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, in order of rank, to all of them; it must pickle.

        Raises:
            ScmError: if a process is gone.
        """
        if self._group is None:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.rank.count
        with self.losses_told():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def any(self, flag: bool) -> bool:
        """Say, alike in every process, whether the flag is up in any of them.

        Raises:
            ScmError: if a process is gone.
        """
        if self._group is None:
            return flag
        import torch
        import torch.distributed as dist

        flags = torch.tensor([int(flag)])
        with self.losses_told():
            dist.all_reduce(flags, dist.ReduceOp.MAX, group=self._group)
        return bool(flags.item())

    def wait(self) -> None:
        """Return when every process has come here.

        Raises:
            ScmError: if a process is gone.
        """
        self.any(False)

    def leave(self) -> None:
        """End the connection, after the last call."""
        if self._group is not None:
            import torch.distributed as dist

            dist.destroy_process_group()

    @contextmanager
    def losses_told(self) -> Iterator[None]:
        """Turn what torch says of a broken connection into a line that says what to do.

        Raises:
            ScmError: if a process is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.rank.count == 1 or not _is_of_connection(error):
                raise
            reason = re.sub(r"^\[\S+?\]\s*", "", str(error).strip()).split(". ")[0]
            raise ScmError(
                f"another process of this start is gone ({reason}); what it said stands beside this, or on its "
                "machine; the same command goes on"
            ) from error


def _is_of_connection(error: RuntimeError) -> bool:
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


ALONE = Team(Rank())
"""The team of a process that nobody shares the work with."""
