"""Memory of this process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scmnet_cli.system import process

_NEW_PAGES = """
import resource
from pathlib import Path
import torch
from scmnet_cli.system.process import freed_memory_kept

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(2_000_000)  # 8 MB: 2,000 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

with freed_memory_kept():
    new_pages()
    new_pages()
    inside = new_pages()
    kept = resident_pages()
print(inside, kept - resident_pages())
"""


@pytest.mark.skipif(process._mallopt() is None, reason="the C library is not glibc")
def test_inside_the_block_tensors_reuse_freed_memory_and_after_it_the_kernel_gets_it_back() -> None:
    done = subprocess.run([sys.executable, "-c", _NEW_PAGES], capture_output=True, text=True, check=True)
    inside, given_back = map(int, done.stdout.split())
    assert inside < 2_000, "fewer new pages than one of the five tensors has"
    assert given_back > 1_000


def test_without_glibc_the_block_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.sys, "platform", "darwin")
    with process.freed_memory_kept():
        pass
