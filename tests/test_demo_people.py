"""The photos that ship: ``demo:NAME`` names them wherever a photo may be named."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scmnet_cli.images import read_photo
from scmnet_cli.inference.inputs.demo_people import DEFAULT, complete_demo_people, demo_people

if TYPE_CHECKING:
    from conftest import Place, Scm


def test_every_shipped_photo_is_small_and_has_its_source_and_licence_beside_it():
    people = demo_people()
    folder = people[DEFAULT].parent
    with (folder / "sources.csv").open(encoding="utf-8") as file:
        licences = {row["name"]: row["licence"] for row in csv.DictReader(file)}
    assert licences == dict.fromkeys(people, "Pexels")
    assert (folder / "README.md").is_file()
    assert sum(path.stat().st_size for path in people.values()) < 250_000
    assert all(read_photo(path).shape[0] >= 640 for path in people.values())


def test_a_shipped_photo_is_drawn_in_the_pose_of_another(place: Place, scm: Scm):
    done = scm("transfer", "--src", "demo:coral-jacket", "--pose", "demo:stripes", "-m", "run")
    assert (done.code, done.paths) == (0, [Path("outputs/coral-jacket_to_stripes.png")])
    assert done.report()["inputs"]["source"]["path"] == str(demo_people()["coral-jacket"])


def test_a_file_in_the_working_folder_does_not_hide_a_shipped_photo(place: Place, scm: Scm):
    Path("demo:stripes").mkdir()
    assert scm("transfer", "--src", "demo:stripes", "--pose", "walking", "-m", "run").code == 0


def test_the_prefix_alone_names_all_shipped_photos(place: Place, scm: Scm):
    done = scm("transfer", "--src", "demo:", "--pose", "walking", "-m", "run")
    assert [path.name for path in done.paths] == [f"{name}_to_walking.png" for name in demo_people()]


@pytest.mark.parametrize(
    ("word", "remedy"), [("demo:coral-jaket", "coral-jacket"), ("demo:xyz", ", ".join(demo_people()))]
)
def test_an_unknown_shipped_photo_is_one_line_that_names_the_known_ones(place: Place, scm: Scm, word: str, remedy: str):
    done = scm("transfer", "--src", word, "--pose", "walking", "-m", "run")
    assert (done.code, len(done.errors)) == (2, 1)
    assert f"--src {word}" in done.errors[0]
    assert remedy in done.errors[0]


def test_the_names_of_shipped_photos_complete_and_other_words_are_left_to_the_shell():
    assert complete_demo_people("demo:") == [f"demo:{name}" for name in demo_people()]
    assert complete_demo_people("demo:c") == ["demo:coral-jacket"]
    assert complete_demo_people("") == complete_demo_people("photos/") == []


@pytest.mark.parametrize(
    "words",
    ["scm transfer --src demo:cor", "scm edit --ref demo:cor", "scm inspect --pose demo:cor", "scm demo demo:cor"],
)
def test_a_shell_completes_the_name_of_a_shipped_photo(words: str):
    about = {"_SCM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    finished = subprocess.run(
        [sys.executable, "-m", "scmnet_cli"], capture_output=True, text=True, check=False, env=os.environ | about
    )
    assert re.search(r"coral-jacket", finished.stdout), finished.stderr
    assert "stripes" not in finished.stdout
