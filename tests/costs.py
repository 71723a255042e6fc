"""CPU time and memory of a call or a command, each measured in a child process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scmnet_cli.errors import ScmError

GIGABYTE = 2**30
_FRESH = 0.5
"""Gigabytes of a process that has loaded the package: what a forked child inherits beyond them is the suite's."""


@dataclass(frozen=True)
class Cost:
    """Cost of a call: CPU time, since the machine may be busy, and the peak memory of its process."""

    outcome: str
    seconds: float
    gigabytes: float


def cost_of(call: Callable[[], object]) -> Cost:
    """Call in a forked child and return what became of it: ``read``, ``refused`` or the error's name.

    The memory of a suite in one process, which the child inherits, does not count.
    """
    reading, writing = os.pipe()
    suite = max(
        0.0, int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / GIGABYTE - _FRESH
    )
    child = os.fork()
    if not child:
        try:
            call()
            outcome = "read"
        except ScmError as error:
            outcome = "refused" if len(str(error)) < 2000 and str(error).isprintable() else "a line too long"
        except BaseException as error:  # noqa: BLE001 - reported by the parent
            outcome = repr(error)
        os.write(writing, outcome.encode(errors="replace")[:1000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        outcome = file.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    return Cost(
        outcome or f"killed by {status}", usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIGABYTE - suite
    )


def check(call: Callable[[], object], outcome: str) -> None:
    cost = cost_of(call)
    assert cost.outcome == outcome
    assert cost.seconds < 20
    assert cost.gigabytes < 1.5


def cost_of_command(*arguments: str) -> Cost:
    """Run ``scm`` in a process of its own; the outcome is what it prints."""
    command = [sys.executable, "-m", "scmnet_cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    return Cost(text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIGABYTE)
