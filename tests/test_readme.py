"""The README's code blocks run unchanged, in order, in an empty folder; exceptions are listed with the reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from scmnet_cli.inference.inputs.demo_people import demo_people

ROOT = Path(__file__).parent.parent

NOT_RUN = {
    "git clone URL scm-net": "downloads and installs the package; `nox -s build` installs the wheel",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/nox": "runs these tests",
    "pip install '.[app]'": "installs Gradio, and serves until it is stopped; test_app_page.py opens the page",
    "git clone --depth 1 https://github.com/bearpaw/clothing-co-parsing ccp": "downloads a data set and backbones",
    "scm preprocess ccp/photos -o data/ccp": "trains for hours; run in small by the last test of this file",
}
"""First lines of blocks that no test runs unchanged, and why."""

TRAINS = next(iter(reversed(NOT_RUN)))


@dataclass(frozen=True)
class Block:
    """A code block: its commands and the output that the README shows."""

    commands: str
    printed: str | None

    @property
    def first_line(self) -> str:
        return self.commands.splitlines()[0]


def blocks() -> list[Block]:
    """Return the README's blocks in order; a ``text`` block is the output of the block before it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found: list[Block] = []
    for kind, content in re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        if kind == "text":
            found[-1] = Block(found[-1].commands, content)
        else:
            assert kind == "sh", f"a README block of kind '{kind}' is neither run nor compared"
            found.append(Block(content, None))
    return found


def run(commands: str, folder: Path, scripts: Path) -> str:
    """Run commands in bash with the environment activated; return their output."""
    scripts.mkdir(exist_ok=True)
    scm = scripts / "scm"
    scm.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scmnet_cli "$@"\n', encoding="utf-8")
    scm.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCM_")}
    environment |= {
        "PATH": f"{scripts}:{environment['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")])),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stderr[-2000:]}"
    return done.stdout


def test_every_block_of_the_readme_is_run_or_has_a_reason_why_not():
    first_lines = [block.first_line for block in blocks()]
    assert [line for line in first_lines if line in NOT_RUN] == list(NOT_RUN)
    assert [line for line in first_lines if line not in NOT_RUN] == [
        "scm demo",
        "scm transfer demo:coral-jacket walking --strip",
    ]


def test_the_readme_names_its_licence_before_its_picture():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before = text.partition("![")[0]
    assert "Apache-2.0" in before
    assert "commercial use" in before


@pytest.mark.slow
def test_the_blocks_of_the_readme_run_in_order_in_an_empty_folder(tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for block in blocks():
        if block.first_line in NOT_RUN:
            continue
        printed = run(block.commands, folder, tmp_path / "scripts")
        if block.printed is not None:
            assert printed == block.printed
            assert all((folder / line).stat().st_size for line in printed.splitlines())
    assert (folder / "demo" / "index.html").is_file()


@pytest.mark.slow
def test_the_training_block_of_the_readme_runs_with_fewer_images(tmp_path: Path):
    photos = tmp_path / "ccp" / "photos"
    photos.mkdir(parents=True)
    for number, path in enumerate(demo_people().values()):
        photo = Image.open(path).convert("RGB")
        for copy, changed in enumerate([photo, ImageOps.mirror(photo), ImageEnhance.Brightness(photo).enhance(0.8)]):
            changed.save(photos / f"{3 * number + copy + 1:04}.jpg")
    (block,) = (block for block in blocks() if block.first_line == TRAINS)
    small = "-c cpu --set train.images=16 --set loss.perceptual=0 --set loss.style=0 --set loss.bsr=0"
    assert block.commands.count("-c cpu") == 1
    printed = run(block.commands.replace("-c cpu", small), tmp_path, tmp_path / "scripts")
    assert "outputs/0010_to_walking.png" in printed.splitlines()
    assert (tmp_path / "outputs" / "eval" / "metrics.json").is_file()
