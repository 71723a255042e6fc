"""Words of the command line: who and which pose without options, near misses, values that the shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli import weights
from scmnet_cli.cli import completion
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe
from scmnet_cli.poses.library import shipped_poses

if TYPE_CHECKING:
    from conftest import Place, Scm, SomeFaces


def test_person_and_pose_can_be_named_without_options(place: Place, scm: Scm) -> None:
    done = scm("transfer", "data/anna", "data/cleo", "-m", "run")
    assert done.paths == [Path("outputs/anna_to_cleo.png")]
    assert scm("transfer", "--src", "data/anna", "--pose", "data/cleo", "-m", "run").paths == done.paths


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("a", "b", "c"),
            "a b c: expected one person and one pose, not 3 words; for more, use --src and --pose",
        ),
        (("a",), "a: expected one person and one pose, not 1 words; for more, use --src and --pose"),
        (("a", "--pose", "b"), "a: given together with --pose b; use only options, or only A and B"),
        (("a", "b", "--src", "c"), "a b: given together with --src c; use only options, or only A and B"),
        (("--src", "a"), "--pose: is missing; give a person and a pose, such as: scm transfer me.jpg walking"),
        ((), "--src: is missing; give a person and a pose, such as: scm transfer me.jpg walking"),
    ],
)
def test_a_mixture_of_both_forms_is_one_clear_line(scm: Scm, arguments: tuple[str, ...], says: str) -> None:
    done = scm("transfer", *arguments)
    assert (done.code, done.paths, done.errors) == (2, [], [f"scm: {says}"])


def test_a_misspelled_device_gets_a_suggestion(place: Place, scm: Scm) -> None:
    done = scm("transfer", "data/anna", "data/cleo", "-m", "run", "--device", "cdua")
    assert (done.code, done.errors) == (2, ["scm: --device cdua: is no device; did you mean 'cuda'?"])


def test_colorize_without_a_model_finds_the_one_of_the_checkout_and_prints_its_terms(
    some_faces: SomeFaces, scm: Scm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, empty = tmp_path / "checkout", tmp_path / "empty"
    (root / "research").mkdir(parents=True)
    (root / "scmnet_cli").mkdir()
    for file in ("pyproject.toml", "scmnet_cli/weights.py"):
        (root / file).touch()
    (root / "research" / "faces.safetensors").write_bytes(some_faces.model.read_bytes())
    empty.mkdir()
    monkeypatch.setenv("SCM_WEIGHTS", str(empty))
    monkeypatch.setenv("TORCH_HOME", str(empty))
    monkeypatch.delenv("SCM_MODEL", raising=False)
    monkeypatch.setattr(weights, "_ROOT", root)
    monkeypatch.chdir(empty)
    arguments = ("colorize", "--edges", some_faces.data / "red", "--ref", some_faces.data / "blue", "-o", tmp_path)
    assert [path.name for path in scm(*arguments).paths] == ["red_like_blue.png"]
    monkeypatch.setattr(weights, "_ROOT", empty)
    done = scm(*arguments)
    assert done.code == 2
    assert done.errors[0].startswith("scm: colorize: no face model is installed, since its terms are non-commercial")
    assert f"copy research/faces.safetensors of the SCM-Net repository to {empty}" in done.errors[0]


def test_the_research_model_states_its_terms_in_one_line(scm: Scm, tmp_path: Path) -> None:
    if not (weights._ROOT / "research" / "faces.safetensors").is_file():
        pytest.skip("research/faces.safetensors is absent: it is in a checkout, not in the sdist")
    sketch = np.full((64, 64), 255, np.uint8)
    sketch[20:44, 30:32] = 0
    Image.fromarray(sketch).save(tmp_path / "sketch.png")
    done = scm("colorize", "--edges", tmp_path / "sketch.png", "--ref", "demo:stripes", "-o", tmp_path / "out")
    assert [path.name for path in done.paths] == ["sketch_like_stripes.png"]
    terms = [line for line in done.errors if line.startswith("scm: model ")]
    assert len(terms) == 1
    assert "non-commercial" in terms[0]


def test_poses_regions_garments_and_configs_are_completed() -> None:
    assert set(completion.complete_poses("")) >= set(shipped_poses())
    assert completion.complete_poses("library:walk") == ["library:walking", "library:walking-side"]
    assert "demo:stripes" in completion.complete_poses("demo:")
    assert completion.complete_poses("photos/") == []
    assert completion.complete_regions("tr") == ["trousers"]
    assert {"upper", "mouth"} <= set(completion.complete_regions(""))
    assert completion.complete_configs("fa") == ["faces", "faces-cpu"]
    garments = Wardrobe.read(SHIPPED_WARDROBE).garments
    assert dict(completion.complete_references("wardrobe:")) == {
        f"wardrobe:{name}": garment.about for name, garment in garments.items()
    }
    assert [name for name, _ in completion.complete_references("ward")] == ["wardrobe:"]


def test_completion_of_a_damaged_wardrobe_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"broken")
    monkeypatch.setenv("SCM_WARDROBE", str(tmp_path / "mine.safetensors"))
    assert completion.complete_references("wardrobe:") == []


def test_completion_imports_no_torch() -> None:
    code = (
        "import sys; from scmnet_cli.cli import completion as c\n"
        "c.complete_poses(''), c.complete_regions(''), c.complete_configs(''), c.complete_references('wardrobe:')\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("words", "cursor", "found"),
    [
        ("scm edit --ref wardrobe : red-ta", 5, "red-tartan-skirt"),
        ("scm transfer --src demo : st", 5, "stripes"),
        ("scm edit --region trou", 3, "trousers"),
        ("scm train data -c fac", 4, "faces faces-cpu"),
        ("scm transfer me.jpg walk", 3, "walking walking-side"),
    ],
)
def test_bash_completes_values_also_behind_a_colon(
    words: str, cursor: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"_SCM_COMPLETE": "complete_bash", "COMP_WORDS": words.replace(" ", "\n"), "COMP_CWORD": str(cursor)}
    done = subprocess.run(
        [sys.executable, "-m", "scmnet_cli"], capture_output=True, text=True, check=False, env=os.environ | about
    )
    assert done.stdout.split() == found.split(), done.stderr
