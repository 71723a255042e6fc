"""``scm doctor`` finds what would fail, and says how to mend it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scmnet_cli import doctor
from scmnet_cli.cli.main import main
from scmnet_cli.doctor import Finding, examine

if TYPE_CHECKING:
    from conftest import Place, Scm


@pytest.fixture(autouse=True)
def no_weights(place: Place) -> None:
    (place.path / "no-weights").mkdir()  # what SCM_WEIGHTS names


@pytest.fixture
def found(place: Place):
    """Return a function that examines and gives the findings by name."""

    def run(**given) -> dict[str, Finding]:
        return {finding.what: finding for finding in examine(**{"device": "cpu"} | given)}

    return run


def test_a_machine_that_runs_these_tests_is_fine_but_for_what_is_absent(found) -> None:
    findings = found(model=Path("run"))
    assert [name for name, finding in findings.items() if finding.state == "broken"] == []
    assert {"Python", "torch and torchvision", "device", "cores", "memory", "disk", "model"} <= set(findings)
    assert findings["model"].found.endswith("tiny, person, 64x48")
    assert findings["weights vgg19"] == Finding(
        "weights vgg19",
        "missing",
        "absent; needed by scm train: losses on VGG19 features, the default",
        "scm weights fetch vgg19",
    )


def test_every_finding_that_is_not_fine_has_a_remedy(found) -> None:
    assert all(bool(finding.remedy) == (finding.state != "fine") for finding in found().values())


def test_a_broken_model_is_named(found, place: Place) -> None:
    place.model.write_bytes(b"broken")
    assert (found(model=Path("run"))["model"].state, "truncated" in found(model=Path("run"))["model"].found) == (
        "broken",
        True,
    )


def test_a_device_that_is_not_there_is_named(found) -> None:
    assert found(device="cuda:7")["device"].state == "broken"


def test_a_folder_that_cannot_be_written_to_is_named(found, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path):  # noqa: A002 - as tempfile calls it
        if "outputs" in str(dir):
            raise PermissionError(13, "Permission denied")
        return (Path(dir) / "probe").open("w")

    Path("outputs").mkdir()
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert found()["output folder"].state == "broken"
    assert "Permission denied" in found()["output folder"].found


def test_weights_that_are_named_but_are_no_folder_are_told(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", "nowhere")
    assert found()["SCM_WEIGHTS"].state == "broken"


def test_an_extra_that_is_not_installed_says_who_needs_it_and_how_to_get_it(
    found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor._EXTRAS, "video", (("no_such_package",), "scm transfer --pose clip.mp4"))
    finding = found()["extra video"]
    assert finding.state == "missing"
    assert "scm transfer --pose clip.mp4" in finding.found
    assert finding.remedy == "pip install 'scmnet-cli[video]'"


def test_every_extra_of_the_package_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert set(doctor._EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_packages_that_do_not_fit_together_are_told(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    finding = found()["torch and torchvision"]
    assert finding.state == "broken"
    assert "pip install" in finding.remedy


def test_little_memory_and_disk_are_told(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_available_memory", lambda: 0.5)
    monkeypatch.setattr(doctor, "_LEAST_DISK", 1e9)
    assert found()["memory"].state == found()["disk"].state == "missing"


def test_the_command_exits_with_0_or_1_and_speaks_json(
    place: Place, scm: Scm, capfd: pytest.CaptureFixture[str]
) -> None:
    done = scm("doctor", "-m", "run", "--device", "cpu")
    assert done.code == 0
    place.model.write_bytes(b"broken")
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", "-m", "run", "--device", "cpu", "--json"])
    told = json.loads(capfd.readouterr().out)
    assert exit_.value.code == 1
    assert not told["fine"]
    assert [finding["what"] for finding in told["findings"] if finding["state"] == "broken"] == ["model"]
    assert not Path("outputs").exists(), "nothing is changed"
