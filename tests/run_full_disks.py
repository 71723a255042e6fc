"""Run commands on disks that are too small: one line, exit code 2, no torn file, and the same command goes on later.

``python tests/run_full_disks.py`` mounts small tmpfs file systems (as root), prints a table for docs/reliability.md,
and unmounts them. For every command the room it needs is measured first; then it runs with a share of that room, is
checked, gets more room, and must go on to the same result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from run_kills import import_beforehand, start
from safetensors import safe_open

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.sources.drawn import write_drawn_source

SHARES = (0.0, 0.5, 0.9)
"""Room on the disk, as a share of what the command needs."""

_FULL = "the disk is full"


@dataclass(frozen=True)
class Case:
    """A command, given the folder that it writes to."""

    name: str
    command: Callable[[Path], list[str]]


def prepare_inputs(here: Path) -> list[Case]:
    """Make people, a prepared folder and a trained model; return the commands to try."""
    people, data, model = here / "people", here / "data", here / "model"
    write_drawn_source(people, 12)
    done(["preprocess", str(people), "-o", str(data), "--canvas", "128x88", "--jobs", "1"], here)
    train = ["train", str(data), "-c", "smoke", "--device", "cpu", "--seed", "0"]
    for setting in ("train.images=16", "train.save_every=8", "train.log_every=8", "train.sample_every=8"):
        train += ["--set", setting]
    done([*train, "-o", str(model)], here)
    one, other = f"{data}/drawn_0000", f"{data}/drawn_0001"
    given = ["-m", str(model), "--device", "cpu"]
    (here / "made").mkdir()
    names = PreparedFolder(data).names("val")
    for name in names:
        with Image.open(data / "images" / f"{name}.png") as image:
            image.save(here / "made" / f"{name}.png")
    return [
        Case("preprocess", lambda out: ["preprocess", str(people), "-o", str(out / "data"), "--jobs", "1"]),
        Case("train", lambda out: [*train, "-o", str(out / "run")]),
        Case("transfer", lambda out: ["transfer", "--src", one, "--pose", str(data), *given, "-o", str(out / "drawn")]),
        Case(
            "edit",
            lambda out: [
                "edit", "--src", one, "--region", "upper", "--ref", other, "--force", *given, "-o", str(out / "edited"),
            ],
        ),
        Case(
            "wardrobe add",
            lambda out: [
                "wardrobe", "add", "mine", "--region", "upper", "--src", other, *given, "--wardrobe",
                str(out / "closet.safetensors"),
            ],
        ),
        Case("export", lambda out: ["export", str(model), "-o", str(out / "exported")]),
        Case(
            "eval",
            lambda out: [
                "eval", "--generated", str(here / "made"), "--reference", str(data / "images"), "--metrics", "ssim,l1",
                "-o", str(out / "judged"),
            ],
        ),
    ]  # fmt: skip


def ended(command: list[str], here: Path) -> tuple[int, list[str]]:
    """Run a command in a forked process; return its exit code and what it printed."""
    log = here / "log.txt"
    log.unlink(missing_ok=True)
    _, status = os.waitpid(start(command, log), 0)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return os.waitstatus_to_exitcode(status), lines


def done(command: list[str], here: Path) -> list[str]:
    """Run a command that must succeed."""
    code, lines = ended(command, here)
    if code:
        raise RuntimeError(f"{command} ended with {code}: {lines[-5:]}")
    return lines


def mounted(place: Path, num_bytes: int) -> None:
    """Mount a file system with room for whole pages of a number of bytes, or change its size.

    A file fills one page more, since the smallest tmpfs has one.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    options = f"size={(1 + num_bytes // page) * page}" + (",remount" if place.is_mount() else "")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    (place / "filler").write_bytes(bytes(page))


def unmounted(place: Path) -> None:
    """Unmount a file system."""
    subprocess.run(["umount", str(place)], check=True)


def torn(folder: Path) -> list[str]:
    """Return files that cannot be read whole, pictures' JSON without its picture, and temporary files left behind."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            if path.name.startswith(".scm-"):
                raise ValueError("is a temporary file")
            if path.suffix == ".png":
                with Image.open(path) as image:
                    np.asarray(image)
            elif path.suffix == ".safetensors":
                with safe_open(path, "pt") as file:
                    for name in file.keys():  # noqa: SIM118 - not a dict
                        file.get_tensor(name)
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
                if path.parent.name in ("drawn", "edited") and not path.with_suffix(".png").exists():
                    raise ValueError("has no picture")
        except Exception as error:  # noqa: BLE001 - any error means that the file is torn
            found.append(f"{path.relative_to(folder)} {error}")
    return found


def names_in(folder: Path) -> list[str]:
    """Return the names of all files, but for TensorBoard's, which hold the time."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files if not path.name.startswith("events."))


def tried(case: Case, here: Path, share: float, needs: int, expected: list[str]) -> str:
    """Run a command with too little room and then with enough; return what went wrong, or ``as it should``."""
    place = here / "disk"
    mounted(place, int(share * needs))
    try:
        code, lines = ended(case.command(place), here)
        said = [line for line in lines if line.startswith("scm: ") or "Traceback" in line]
        wrong = []
        if code not in (0, 2) or any("Traceback" in line for line in lines):
            wrong.append(f"exit code {code}: {lines[-1] if lines else 'nothing said'}")
        elif code == 2 and not any(_FULL in line or "No space left" in line for line in lines):
            wrong.append(f"says {said or lines[-3:]}")
        wrong += torn(place)
        mounted(place, 4 * needs + 2**20)
        again, lines = ended(case.command(place), here)
        if again:
            wrong.append(f"with room: exit code {again}: {lines[-1] if lines else ''}")
        elif missing := [name for name in expected if name not in names_in(place)]:
            wrong.append(f"with room: lacks {missing[:3]}")
        wrong += torn(place)
    finally:
        unmounted(place)
    return "; ".join(wrong) or ("refused, then done" if code else "had room enough")


def main() -> None:
    """Try all commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="only these, such as transfer 'wardrobe add'")
    given = parser.parse_args()
    torch.set_num_threads(1)
    import_beforehand()
    sys.stdout.write(f"| command | room it needs, kB | {' | '.join(f'{share:.0%} of it' for share in SHARES)} |\n")
    sys.stdout.write("| --- | --- |" + " --- |" * len(SHARES) + "\n")
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        for case in prepare_inputs(here):
            if given.only and case.name not in given.only:
                continue
            place = here / "disk"
            mounted(place, 2**28)
            done(case.command(place), here)
            usage = os.statvfs(place)
            needs, expected = (usage.f_blocks - usage.f_bfree - 1) * usage.f_frsize, names_in(place)
            unmounted(place)
            found = [tried(case, here, share, needs, expected) for share in SHARES]
            sys.stdout.write(f"| `{case.name}` | {needs // 1000} | {' | '.join(found)} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
