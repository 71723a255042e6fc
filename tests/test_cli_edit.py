from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import region_id

if TYPE_CHECKING:
    from conftest import Place, Scm


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_an_edit_equals_the_pipelines_result(place: Place, scm: Scm) -> None:
    done = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "-m", "run", "--device", "cpu")
    assert done.code == 0
    assert done.paths == [Path("outputs/anna_upper-from-ben.png")]
    anna, ben = place.person("anna", 0), place.person("ben", 1)
    drawn = Pipeline.from_pretrained(place.model, "cpu").edit(anna, {"upper": ben})
    assert np.array_equal(pixels(done.paths[0]), np.asarray(drawn.image))


def test_editing_with_the_own_region_equals_a_transfer_to_the_own_pose(place: Place, scm: Scm) -> None:
    plain = scm("transfer", "--src", "data/anna", "--pose", "data/anna", "-m", "run")
    edited = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/anna", "-m", "run")
    assert np.array_equal(pixels(plain.paths[0]), pixels(edited.paths[0]))


def test_several_regions_pair_with_their_references_in_order(place: Place, scm: Scm) -> None:
    done = scm(
        "edit", "--data", "data", "--src", "anna", "-m", "run",
        "--region", "pants", "--ref", "ben", "--region", "hair", "--ref", "cleo",
    )  # fmt: skip
    assert done.paths == [Path("outputs/anna_pants-from-ben_hair-from-cleo.png")]
    exchanged = done.report()["inputs"]["exchanged"]
    assert {region: reference["name"] for region, reference in exchanged.items()} == {"pants": "ben", "hair": "cleo"}


def test_an_edit_accepts_another_pose(place: Place, scm: Scm) -> None:
    edit = ("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "-m", "run")
    own, other = scm(*edit), scm(*edit, "--pose", "data/cleo")
    assert other.paths == [Path("outputs/anna_upper-from-ben_to_cleo.png")]
    assert other.report()["inputs"]["pose"]["name"] == "cleo"
    assert own.report()["inputs"]["pose"]["name"] == "anna"
    assert not np.array_equal(pixels(own.paths[0]), pixels(other.paths[0]))


def test_several_sources_get_the_same_regions(place: Place, scm: Scm) -> None:
    done = scm("edit", "--src", "data", "--region", "upper", "--ref", "data/ben", "-m", "run")
    assert [path.name for path in done.paths] == [f"{name}_upper-from-ben.png" for name in ("anna", "ben", "cleo")]


def test_the_report_lists_the_regions_that_an_edit_removed(place: Place, scm: Scm) -> None:
    skirted = place.person("dora", 5)
    skirted.regions[skirted.regions == region_id("pants")] = region_id("skirt")
    place.prepare(place.path / "more", [skirted], [])
    report = scm("edit", "--src", "data/anna", "--region", "skirt", "--ref", "more/dora", "-m", "run").report()
    assert report["removed_regions"] == ["pants"]
    assert report["metrics"]["region_consistency_taken"] == "where the field moved it"
    report = scm("edit", "--src", "data/anna", "--region", "hair", "--ref", "more/dora", "-m", "run").report()
    assert report["removed_regions"] == []
    assert report["metrics"]["region_consistency_taken"] == "where the pose shows it"


def test_an_edit_has_no_metrics_that_need_ground_truth(place: Place, scm: Scm) -> None:
    report = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "-m", "run").report()
    assert set(report["not_computed"]) == {"l1", "ssim_raw", "ssim_patn", "lpips_alex", "copy_score"}
    assert set(report["metrics"]["region_closeness"]) == {"background", "pants", "hair", "upper"}


def test_the_strip_shows_source_reference_pose_and_result(place: Place, scm: Scm) -> None:
    done = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "-m", "run", "--strip")
    assert pixels(done.paths[0].with_suffix(".strip.png")).shape[1] >= 4 * 48


def test_a_source_that_cannot_be_edited_is_skipped(place: Place, scm: Scm) -> None:
    (place.data / "images" / "cleo.png").write_bytes(b"broken")
    done = scm("edit", "--src", "data", "--region", "upper", "--ref", "data/ben", "-m", "run")
    assert done.code == 0
    assert [path.name for path in done.paths] == ["anna_upper-from-ben.png", "ben_upper-from-ben.png"]
    assert len(done.errors) == 1
    assert done.errors[0].startswith("scm: skipped cleo: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--region", "pant", "--ref", "data/ben"), "region 'pant' is not one of"),
        (("--region", "pants", "--region", "hair", "--ref", "data/ben"), "--region is given 2 times and --ref 1 times"),
        (
            ("--region", "hair", "--ref", "data/ben", "--region", "hair", "--ref", "data/cleo"),
            "--region hair: is given twice",
        ),
        (
            ("--region", "skirt", "--ref", "data/ben"),
            "ben: has no region 'skirt' to take; it has background, pants, hair, upper",
        ),
        (("--region", "hair", "--ref", "data"), "--ref data: is a folder of 3 people; give one of them"),
        (("--region", "hair", "--ref", "data/bean"), "--ref data/bean: data has no entry 'bean'; did you mean 'ben'?"),
    ],
)
def test_a_users_mistake_is_one_line_with_exit_code_2(
    place: Place, scm: Scm, arguments: tuple[str, ...], says: str
) -> None:
    done = scm("edit", "--src", "data/anna", "-m", "run", *arguments)
    assert (done.code, done.paths) == (2, [])
    assert len(done.errors) == 1
    assert says in done.errors[0]
