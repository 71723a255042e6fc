"""Measure reading people from disk: ``python docs/scripts/measure_reading.py DATA [NUM] [CACHE]``.

Batches of eight random people of a prepared folder on 256x176, as training reads them: images a CPU second, and the
memory of the process in MB, ten times while NUM people (default 5,000) are read.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from scmnet_cli.data.dataset import open_people
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.types import Canvas

BATCH = 8


def memory() -> float:
    """Return the resident memory of this process in MB; Linux."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Read batches and print speed and memory."""
    torch.set_num_threads(1)
    num, cache = int(sys.argv[2]) if len(sys.argv) > 2 else 5000, sys.argv[3] if len(sys.argv) > 3 else "none"
    folder = PreparedFolder(Path(sys.argv[1]))
    names = folder.names("train")
    people = open_people(folder, names, Canvas(256, 176), torch.device("cpu"), cache)
    random, start = np.random.default_rng(0), time.process_time()
    sys.stdout.write(f"{len(names)} people: {memory():.0f} MB\n")
    for read in range(BATCH, num + 1, BATCH):
        people.batch([int(row) for row in random.integers(len(names), size=BATCH)])
        if read % (num // 10 // BATCH * BATCH) == 0:
            sys.stdout.write(f"{read:7d} {read / (time.process_time() - start):7.1f} a second {memory():7.0f} MB\n")


if __name__ == "__main__":
    main()
