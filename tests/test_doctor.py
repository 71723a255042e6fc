"""``scm doctor`` finds what would fail and names the remedy."""

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
    """Return a function that runs all checks and returns the findings by name."""

    def run(**given) -> dict[str, Finding]:
        return {finding.what: finding for finding in examine(**{"device": "cpu"} | given)}

    return run


def test_nothing_is_broken_here_and_absent_weights_are_reported_with_the_remedy(found) -> None:
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


def test_an_unavailable_device_is_named(found) -> None:
    assert found(device="cuda:7")["device"].state == "broken"


def test_an_unwritable_folder_is_named(found, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path):  # noqa: A002 - as tempfile calls it
        if "outputs" in str(dir):
            raise PermissionError(13, "Permission denied")
        return (Path(dir) / "probe").open("w")

    Path("outputs").mkdir()
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert found()["output folder"].state == "broken"
    assert "Permission denied" in found()["output folder"].found


def test_scm_weights_that_is_not_a_folder_is_reported(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", "nowhere")
    assert found()["SCM_WEIGHTS"].state == "broken"


def test_a_missing_extra_is_reported_with_its_use_and_how_to_install_it(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor._EXTRAS, "video", (("no_such_package",), "scm transfer --pose clip.mp4"))
    finding = found()["extra video"]
    assert finding.state == "missing"
    assert "scm transfer --pose clip.mp4" in finding.found
    assert finding.remedy == "pip install 'scmnet-cli[video]'"


def test_every_extra_of_the_package_is_checked() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert set(doctor._EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_incompatible_packages_are_reported(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    finding = found()["torch and torchvision"]
    assert finding.state == "broken"
    assert "pip install" in finding.remedy


def test_low_memory_and_disk_space_are_reported(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_available_memory", lambda: 0.5)
    monkeypatch.setattr(doctor, "_LEAST_DISK", 1e9)
    assert found()["memory"].state == found()["disk"].state == "missing"


def test_the_command_exits_with_0_or_1_and_prints_json(
    place: Place, scm: Scm, capfd: pytest.CaptureFixture[str]
) -> None:
    done = scm("doctor", "-m", "run", "--device", "cpu")
    assert done.code == 0
    place.model.write_bytes(b"broken")
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", "-m", "run", "--device", "cpu", "--json"])
    report = json.loads(capfd.readouterr().out)
    assert exit_.value.code == 1
    assert not report["fine"]
    assert [finding["what"] for finding in report["findings"] if finding["state"] == "broken"] == ["model"]
    assert not Path("outputs").exists(), "nothing is changed"
