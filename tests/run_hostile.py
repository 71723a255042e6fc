"""Feed mutants of every kind of file to their readers, in one process: ``python tests/run_hostile.py --mutants 10000``.

Prints a row for each reader: mutants read and refused, peak memory of the process so far, and the slowest mutant.
A mutant that neither is read nor gives one clear line ends the run with its traceback and its number.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hostile_readers import READERS, Reader, at_most, is_one_clear_line, mutated, valid_file

from scmnet_cli.errors import ScmError

FIRST_SEED = 1_000_000
SECONDS = 60


def run(reader: Reader, folder: Path, seeds: range, minutes_end: float) -> tuple[int, int, float, int]:
    """Return the numbers of mutants read and refused, the longest CPU time of one, and its seed."""
    path, good = valid_file(reader, folder)
    num_read, num_refused, longest, slowest = 0, 0, 0.0, 0
    for seed in seeds:
        if time.monotonic() > minutes_end:
            break
        path.write_bytes(mutated(good, seed))
        started = time.process_time()
        try:
            with at_most(SECONDS):
                reader.read(path)
            num_read += 1
        except ScmError as error:
            if not is_one_clear_line(error):
                raise RuntimeError(f"mutant {seed} of {reader.file}: {error}") from error
            num_refused += 1
        except BaseException as error:
            error.add_note(f"mutant {seed} of {reader.file}")
            raise
        seconds = time.process_time() - started
        if seconds > longest:
            longest, slowest = seconds, seed
    return num_read, num_refused, longest, slowest


def write(line: str) -> None:
    """Write a line of the table to stdout."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run all readers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=25)
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    each = -(-given.mutants // len(READERS))
    total = 0
    write("| reader | read | refused | slowest, s | its seed | peak so far, GB |")
    write("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name) / "outside"
        outside.mkdir()
        os.environ |= {"SCM_HOSTILE": name + "/outside", "SCM_WEIGHTS": name + "/outside", "TORCH_HOME": name}
        for number, (kind, reader) in enumerate(READERS.items()):
            share = time.monotonic() + (end - time.monotonic()) / (len(READERS) - number)
            seeds = range(FIRST_SEED, FIRST_SEED + each)
            num_read, num_refused, longest, slowest = run(
                reader, Path(name) / f"inside-{number}" / "data", seeds, share
            )
            total += num_read + num_refused
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            write(f"| {kind} | {num_read} | {num_refused} | {longest:.2f} | {slowest} | {peak:.2f} |")
    write(f"\n{total} mutants; the process took {time.process_time():.0f} s of processor time")


if __name__ == "__main__":
    main()
