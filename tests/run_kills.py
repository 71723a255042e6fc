"""Kill ``scm preprocess`` and ``scm train`` with SIGKILL again and again: nothing is lost, and the end is the same.

``python tests/run_kills.py --kills 50`` prints a table for docs/reliability.md. Each command is forked from this
process, which imports torch once, and killed after a random time. After every kill its files are checked, then the same
command continues, until it ends; then its result is compared with that of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from scmnet_cli.cli.main import main as scm
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.training.state import STATE_FILE, read_state
from scmnet_cli.training.tracking import read_stats

NUM_PEOPLE = 24


def import_beforehand() -> None:
    """Import what the commands import when they run, so that a kill rarely meets an import."""
    for name in ("torch._dynamo", "torch.utils.tensorboard", "accelerate", "onnxscript", "scmnet_cli.training.loop"):
        importlib.import_module(name)


def start(command: list[str], log: Path) -> int:
    """Run a command in a forked process; its id is returned."""
    sys.stdout.flush()  # or the child would print it again
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = int(scm(command) or 0)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - os._exit would hide it
        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def finish(command: list[str], log: Path) -> float:
    """Run a command to its end, and return its seconds."""
    started = time.monotonic()
    _, status = os.waitpid(start(command, log), 0)
    if status:
        raise RuntimeError(f"{command} ended with {status}; see {log}: {log.read_text()[-2000:]}")
    return time.monotonic() - started


def killed(command: list[str], seconds: float, log: Path) -> bool:
    """Start a command and kill it after some seconds; return whether it was still running."""
    child = start(command, log)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"{command} ended with {status}; see {log}: {log.read_text()[-2000:]}")
            return False
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def check_prepared(out: Path) -> int:
    """Check a prepared folder that may be unfinished, and return how many of its people are in the journal."""
    for folder in ("images", "regions"):
        for path in (out / folder).glob("[!.]*.png"):
            with Image.open(path) as image:
                image.load()
    if (out / "manifest.json").exists():
        people = PreparedFolder(out)
        for name in people.names():
            people.load(name)
    journal = out / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").split("\n") if journal.exists() else []
    for line in lines[:-1]:  # the last one may be cut short
        json.loads(line)
    return len(lines)


def check_run(run: Path) -> int:
    """Check a training run that may be unfinished, and return how many images its state has seen."""
    if (run / "stats.jsonl").exists():  # a kill before the first line leaves none
        read_stats(run)
    if (run / "model.safetensors").exists():
        Pipeline.from_pretrained(run, "cpu")
    found = read_state(run)
    return 0 if found is None else found[1].images


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder; leftovers of killed writes count too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_people(one: Path, other: Path) -> str:
    """Compare two prepared folders byte by byte; say what differs."""
    a, b = contents(one), contents(other)
    skip = ("journal.jsonl", "report.html")
    return ", ".join(
        sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name) and not name.endswith(skip))
    )


def same_model(one: Path, other: Path) -> str:
    """Compare the tensors of two runs bit by bit; say what differs."""
    found = []
    for file in ("model.safetensors", STATE_FILE):
        a, b = load_file(one / file), load_file(other / file)
        found += [f"{file}: {name}" for name in a.keys() | b.keys() if not torch.equal(a[name], b[name])]
    return ", ".join(found + [path.name for path in other.glob(".scm-*")])


def run(
    command: Callable[[Path], list[str]],
    check: Callable[[Path], int],
    same: Callable[[Path, Path], str],
    kills: int,
    here: Path,
    seed: int,
    end: float,
) -> tuple[int, int, int, str]:
    """Kill a command many times, but not after ``end``.

    Returns: how many kills and whole runs, the most kills that one run survived, and differences.
    """
    log = here / "log.txt"
    reference = here / "reference"
    seconds = finish(command(reference), log)
    check(reference)
    chance = random.Random(seed)
    num_killed = num_whole = most = 0
    differences = ""
    while num_killed < kills and time.monotonic() < end:
        out, known, survived = here / f"out-{num_whole}", 0, 0
        while killed(command(out), chance.uniform(0.02, 0.7) * seconds, log):
            num_killed, survived = num_killed + 1, survived + 1
            now = check(out)
            if now < known - 1:  # a line that was cut short is written again
                differences += f"kill {num_killed} lost {known - now}; "
            known = now
            if num_killed >= kills or time.monotonic() >= end:
                finish(command(out), log)
                break
        check(out)
        num_whole, most = num_whole + 1, max(most, survived)
        if differs := same(reference, out):
            differences += f"run {num_whole}: {differs}; "
        shutil.rmtree(out)
    return num_killed, num_whole, most, differences or "none"


def main() -> None:
    """Kill both commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", choices=("preprocess", "train"))
    parser.add_argument("--minutes", type=float, default=60, help="stop then, with fewer kills")
    parser.add_argument("--seed", type=int, default=0, help="seed of the times")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    torch.set_num_threads(1)
    import_beforehand()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        people, data = here / "people", here / "data"
        write_drawn_source(people, NUM_PEOPLE)
        finish(["preprocess", str(people), "-o", str(data), "--canvas", "128x88", "--jobs", "1"], here / "log.txt")
        settings = ("train.save_every=8", "train.images=32", "train.log_every=8", "train.sample_every=16")
        commands: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], int], Callable[[Path, Path], str]]] = {
            "preprocess": (
                lambda out: ["preprocess", str(people), "-o", str(out), "--canvas", "128x88", "--jobs", "2"],
                check_prepared,
                same_people,
            ),
            "train": (
                lambda out: [
                    "train", str(data), "-o", str(out), "-c", "smoke", "--device", "cpu", "--seed", "0",
                    *[word for setting in settings for word in ("--set", setting)],
                ],
                check_run,
                same_model,
            ),
        }  # fmt: skip
        sys.stdout.write(
            "| command | kills | whole runs | most kills of one run | differences |\n|---|---|---|---|---|\n"
        )
        for name_of, (command, check, same) in commands.items():
            if given.only in (None, name_of):
                (here / name_of).mkdir()
                found = run(command, check, same, given.kills, here / name_of, given.seed, end)
                sys.stdout.write(f"| {name_of} | {' | '.join(map(str, found))} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
