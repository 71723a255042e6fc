"""Results of any method evaluated against references: names, protocols, report and the paper's tables."""

from __future__ import annotations

import json
import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.cli.main import main
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.cases import Case
from scmnet_cli.evaluation.folders import FolderCases, find_matches
from scmnet_cli.evaluation.metric_networks import MetricNetworks
from scmnet_cli.evaluation.metric_results import MetricResults, Value, compute_metrics
from scmnet_cli.evaluation.protocols import PROTOCOLS, find_protocol
from scmnet_cli.evaluation.published import compare, published_tables
from scmnet_cli.metrics.ssim import ssim_raw
from scmnet_cli.types import Canvas, UInt8Array
from scmnet_cli.weights import backbone_shapes

if TYPE_CHECKING:
    from conftest import Place

NAMES = ("fashionMENTees_Tanksid0000000101_1front", "fashionWOMENDressesid0000000202_2_side", "ada")
ComputeMetrics = Callable[..., MetricResults]


def picture(seed: int, height: int = 64, width: int = 44) -> UInt8Array:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def save(path: Path, pixels: UInt8Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        save(tmp_path / "reference" / f"{name}.png", picture(seed))
    return tmp_path / "reference"


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch"))
    monkeypatch.setenv("SCM_CACHE", str(tmp_path / "cache"))


def evaluated(
    generated: Path, reference: Path, protocol: str = "raw", pairs: Path | None = None, batch: int = 8
) -> MetricResults:
    metric_networks = MetricNetworks(["ssim", "ssim_raw", "psnr", "l1", "copy_score"])
    return compute_metrics(
        FolderCases(generated, reference, pairs), find_protocol(protocol), metric_networks, batch=batch
    )


# Names


@pytest.mark.parametrize(
    "naming", ["{b}", "{a}___{b}_vis", "{a}.jpg___{b}.jpg_vis", "{a}_2_{b}_vis", "{a}_2_{b}", "{a}_to_{b}"]
)
def test_names_of_every_known_scheme_find_their_reference(tmp_path: Path, reference: Path, naming: str) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / "results" / f"{naming.format(a=NAMES[number - 1], b=name)}.png", picture(9))
    found = {match.reference.stem: match.source for match in find_matches(tmp_path / "results", reference)}
    assert set(found) == set(NAMES)
    if "{a}" in naming:
        assert {to: of.stem for to, of in found.items() if of} == {
            name: NAMES[number - 1] for number, name in enumerate(NAMES)
        }


def test_a_result_without_a_reference_is_named(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / "nobody.png", picture(9))
    with pytest.raises(ScmError, match=r"nobody\.png: no picture in .* matches its name"):
        find_matches(tmp_path / "results", reference)


def test_a_pairs_file_matches_names_that_follow_no_scheme(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / "0001.png", picture(9))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"generated,reference,source\n0001.png,{NAMES[0]}.png,ada.png\n")
    (match,) = find_matches(tmp_path / "results", reference, pairs)
    assert (match.reference.stem, match.source and match.source.stem) == (NAMES[0], "ada")


def test_pairs_without_a_result_are_counted_and_the_first_is_named(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / f"ada_2_{NAMES[0]}_vis.png", picture(9))
    save(tmp_path / "results" / "extra.png", picture(9))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f",from,to\n0,ada.jpg,{NAMES[0]}.jpg\n")
    assert len(find_matches(tmp_path / "results", reference, pairs)) == 1
    pairs.write_text(f",from,to\n0,ada.jpg,{NAMES[0]}.jpg\n1,ada.jpg,{NAMES[1]}.jpg\n")
    with pytest.raises(ScmError, match=rf"1 of 2 pairs lack a result .* first ada,{NAMES[1]}"):
        find_matches(tmp_path / "results", reference, pairs)


def test_the_last_of_patns_five_pictures_in_a_row_is_evaluated_and_the_first_is_the_source(
    tmp_path: Path, reference: Path
) -> None:
    cells = [picture(seed) for seed in (7, 8, 0, 8, 5)]
    save(tmp_path / "results" / f"ada___{NAMES[0]}_vis.png", np.hstack(cells))
    case = FolderCases(tmp_path / "results", reference).one(0)
    assert np.array_equal(case.answers["generated"], cells[4])
    assert case.source is not None
    assert np.array_equal(case.source, cells[0])


def test_a_result_named_by_a_target_that_pairs_share_is_refused(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / f"{NAMES[0]}.png", picture(9))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"from,to\nada,{NAMES[0]}\n")
    assert len(find_matches(tmp_path / "results", reference, pairs)) == 1
    pairs.write_text(f"from,to\nada,{NAMES[0]}\n{NAMES[1]},{NAMES[0]}\n")
    with pytest.raises(ScmError, match=r"is named after its target, which 2 pairs .* share; name results by"):
        find_matches(tmp_path / "results", reference, pairs)


def test_a_wide_picture_is_a_strip_only_under_the_name_of_one(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / "ada.png", np.hstack([picture(7), picture(8)]))
    case = FolderCases(tmp_path / "results", reference).one(0)
    assert case.answers["generated"].shape == (64, 88, 3)
    with pytest.raises(ScmError, match="ada: is 64x88, its reference 64x44; protocol raw would distort it: crop the"):
        evaluated(tmp_path / "results", reference)


def test_results_of_another_shape_are_refused_with_the_protocol_that_fits_and_evaluated_by_it_with_a_remark(
    tmp_path: Path,
) -> None:
    right = picture(0, 256, 176)
    square = np.full((256, 256, 3), 255, np.uint8)
    square[:, 40:216] = right
    for folder, pixels in (("r", right), ("g", square)):
        for name in "ab":
            save(tmp_path / folder / f"{name}.png", pixels)
    with pytest.raises(ScmError, match="use --protocol patn or gfla or pise, which compare them at equal"):
        evaluated(tmp_path / "g", tmp_path / "r")
    cases = FolderCases(tmp_path / "g", tmp_path / "r")
    found = compute_metrics(cases, find_protocol("patn"), MetricNetworks(["ssim"]))
    assert found.scores["generated"].values["ssim"].value == pytest.approx(1)
    (remark,) = cases.remarks()
    assert remark.startswith("2 of 2 results have another aspect than their references, a the first; they are compared")


def test_missing_results_are_reported_in_table_json_and_report(tmp_path: Path, reference: Path) -> None:
    save(tmp_path / "results" / "ada.png", picture(9))
    save(reference / "wide.png", picture(1, 64, 88))
    given = ("--generated", tmp_path / "results", "--reference", reference, "--metrics", "ssim", "-o", tmp_path / "out")
    assert scm(*given) == 0
    said = "3 of 4 references have no result"
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["remarks"] == [said]
    assert said in (tmp_path / "out" / "table.md").read_text()
    assert said in (tmp_path / "out" / "report.html").read_text()


# Numbers


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_folder_compared_with_itself_gets_the_best_values_in_every_protocol(reference: Path, protocol: str) -> None:
    values = evaluated(reference, reference, protocol).scores["generated"].values
    assert values["ssim"].value == pytest.approx(1)
    assert values["l1"].value == 0
    assert values["psnr"].value == float("inf")
    assert {value.count for value in values.values()} == {3}


def test_file_order_and_batch_size_do_not_matter_and_the_last_batch_counts(tmp_path: Path, reference: Path) -> None:
    renamed = tmp_path / "renamed"
    for seed, name in enumerate(NAMES):
        save(tmp_path / "results" / f"{name}.png", picture(10 + seed))
        save(renamed / f"{'zyx'[seed]}_to_{name}.png", picture(10 + seed))
    one, two = evaluated(tmp_path / "results", reference, batch=2), evaluated(renamed, reference, batch=3)
    assert one.names != [name.partition("_to_")[2] for name in two.names]
    for name in ("ssim", "psnr", "l1"):
        ours, theirs = (found.scores["generated"].values[name] for found in (one, two))
        assert ours.value == pytest.approx(theirs.value, rel=1e-5)
        assert ours.count == theirs.count == 3
    assert one.reference_sha256 == two.reference_sha256


def test_at_most_two_chunks_of_pictures_are_in_memory(tmp_path: Path, reference: Path) -> None:
    read: list[weakref.ref[Case]] = []
    most = 0

    class Watched(FolderCases):
        def one(self, index: int) -> Case:
            nonlocal most
            case = super().one(index)
            read.append(weakref.ref(case))
            most = max(most, sum(known() is not None for known in read))
            return case

    for number in range(20):
        save(tmp_path / "results" / f"{number}_to_ada.png", picture(number))
    found = compute_metrics(Watched(tmp_path / "results", reference), PROTOCOLS["raw"], MetricNetworks(["l1"]), batch=2)
    assert len(found.names) == 20
    assert 4 <= most <= 6  # two chunks, and the last of the one before


def test_padding_raises_ssim_as_expected(tmp_path: Path) -> None:
    right, wrong = picture(0, 256, 176), picture(1, 256, 176)
    save(tmp_path / "r" / "a.png", right)
    save(tmp_path / "g" / "a.png", (0.7 * right + 0.3 * wrong).astype(np.uint8))
    values = evaluated(tmp_path / "g", tmp_path / "r", "patn").scores["generated"].values
    assert values["ssim"].value == pytest.approx(0.69 * values["ssim_raw"].value + 0.31, abs=0.02)
    assert 0.3 < values["ssim_raw"].value < 0.95


def test_protocols_with_a_crop_use_the_centre_of_a_square_picture(tmp_path: Path) -> None:
    middle, other = picture(0, 256, 176), picture(1, 256, 176)
    for folder, inside in (("r", middle), ("g", other)):
        save(tmp_path / "whole" / folder / "a.png", inside)
        square = np.full((256, 256, 3), 90 if folder == "r" else 10, np.uint8)
        square[:, 40:216] = inside
        save(tmp_path / "square" / folder / "a.png", square)
    for protocol in ("patn", "pise"):
        whole, square_values = (
            evaluated(tmp_path / kind / "g", tmp_path / kind / "r", protocol).scores["generated"].values["ssim"].value
            for kind in ("whole", "square")
        )
        assert whole == square_values
    assert PROTOCOLS["pise"].ssim is ssim_raw


def test_a_landscape_picture_is_refused_by_a_protocol_of_fixed_size() -> None:
    with pytest.raises(ScmError, match="upright to square"):
        PROTOCOLS["patn"].box(Canvas(100, 200), "a.png")
    with pytest.raises(ScmError, match="did you mean 'patn'"):
        find_protocol("pant")


def test_cached_statistics_of_a_reference_set_are_found_by_its_content(tmp_path: Path, reference: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = backbone_shapes("vgg16")
    state = {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in shapes.items()}
    torch.save(state, tmp_path / "vgg16-features-fp16.pth")
    metric_networks = MetricNetworks(["fd_vgg16"], tmp_path)
    for seed, name in enumerate(NAMES):
        save(tmp_path / "results" / f"{name}.png", picture(10 + seed))

    def distance(of: Path) -> float:
        cases = FolderCases(of, reference)
        found = compute_metrics(cases, PROTOCOLS["raw"], metric_networks, cache=tmp_path / "cache")
        assert found.weights["fd_vgg16"]["name"] == "vgg16-features-fp16.pth"
        return found.scores["generated"].values["fd_vgg16"].value

    first = distance(tmp_path / "results")
    assert first > 0
    (kept,) = (tmp_path / "cache").iterdir()
    assert distance(tmp_path / "results") == first
    assert distance(reference) == pytest.approx(0, abs=1e-6 * first)
    (tmp_path / "reference" / "ada.png").rename(reference / "eve.png")
    (tmp_path / "results" / "ada.png").rename(tmp_path / "results" / "eve.png")
    assert distance(tmp_path / "results") == pytest.approx(first)
    assert list((tmp_path / "cache").iterdir()) == [kept]
    kept.write_bytes(b"damaged")
    with pytest.raises(ScmError, match="delete it, it is a cache"):
        distance(reference)


@pytest.mark.slow
def test_fid_and_is_do_not_depend_on_the_batch_size(tmp_path: Path, seeded_inception: Path) -> None:
    for seed in range(11):
        save(tmp_path / "r" / f"{seed:02}.png", picture(seed))
        noisy = picture(seed).astype(int) + picture(50 + seed) // 4
        save(tmp_path / "g" / f"{seed:02}.png", noisy.clip(0, 255).astype(np.uint8))
    metric_networks = MetricNetworks(["fid", "is"], seeded_inception)

    def values(batch: int) -> dict[str, Value]:
        cases = FolderCases(tmp_path / "g", tmp_path / "r")
        found = compute_metrics(cases, PROTOCOLS["raw"], metric_networks, batch=batch, cache=tmp_path / "cache")
        return found.scores["generated"].values

    one, other = values(4), values(11)
    assert one["fid"].value > 0.1
    assert one["fid"].value == pytest.approx(other["fid"].value, rel=1e-3)
    assert one["is"].value == pytest.approx(other["is"].value, rel=1e-4)
    assert 1 <= one["is"].value <= 2  # one or two pictures per split
    assert {value.count for value in one.values()} == {11}


# The command


def scm(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["eval", *(str(argument) for argument in arguments)])
    return int(ended.value.code or 0)


def test_the_command_writes_the_same_numbers_twice_and_a_self_contained_report(
    tmp_path: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(NAMES):
        save(tmp_path / "results" / f"{name}.png", picture(10 + seed))
    texts = []
    for _ in range(2):
        out = tmp_path / "out"
        given = ("--generated", tmp_path / "results", "--reference", reference, "-o", out, "--compare")
        assert scm(*given) == 0
        texts.append(re.sub(r'"seconds": [\d.]+', "", (out / "metrics.json").read_text()))
    assert texts[0] == texts[1]
    found = json.loads((out / "metrics.json").read_text())
    number = found["answers"]["generated"]["ssim"]
    assert (number["count"], number["protocol"], number["size"]) == (3, "raw", "64x44")
    assert found["references"]["count"] == 3
    assert set(found["not_computed"]) >= {"fid", "is", "fd_vgg16", "lpips_alex", "lpips_vgg", "ssim_person"}
    assert (out / "per_image.csv").read_text().startswith("name,ssim,psnr,l1\n")
    report = (out / "report.html").read_text()
    assert report.count("<img") == report.count("data:image/png;base64,") == 3
    assert not re.search(r"(src|href)=.(?!data:)", report)
    assert "<svg" in report
    printed = capsys.readouterr()
    assert "| PATN | 24.071 | 0.77 | 0.252 | 3.213 |" in printed.out
    assert "| ours: generated |" in printed.out
    assert "warning: ours use protocol raw" in printed.out
    assert "not computed: fid: inception weights" in printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to evaluate"),
        (("--generated", "."), "each needs the other"),
        (("data", "-m", "run", "--method", "source-copy"), "-m and --method: give one"),
        (("--generated", ".", "--reference", ".", "--save"), "--save"),
        (("--generated", ".", "--reference", ".", "--set", "half2full"), "--set half2full"),
        (("data", "-m", "run", "--joints", "joints.csv"), "--joints joints.csv"),
        (("--generated", "nowhere", "--reference", "."), "is not a folder"),
    ],
)
def test_an_invalid_evaluation_is_a_one_line_error(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scm(*arguments) == 2
    assert said in capsys.readouterr().err


def test_pck_uses_the_joints_of_another_estimator(drawn_data: Path, tmp_path: Path) -> None:
    given = ("--generated", drawn_data / "images", "--reference", drawn_data / "images", "--metrics", "pck")
    out = ("-o", tmp_path / "out")
    assert scm(drawn_data, *given, *out, "--joints", drawn_data / "joints.csv") == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    pck = found["answers"]["generated"]["pck"]
    assert (pck["value"], pck["count"]) == (1, len(list((drawn_data / "images").iterdir())))
    assert "weights" not in pck
    assert found["inputs"]["joints"]["sha256"]

    lines = (drawn_data / "joints.csv").read_text().splitlines()
    (tmp_path / "joints.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert scm(drawn_data, *given, *out, "--joints", tmp_path / "joints.csv") == 2


def test_saved_pictures_of_a_method_evaluated_as_a_folder_give_the_same_numbers(
    drawn_data: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    metrics = ("--metrics", "ssim,psnr,l1,ssim_person")
    assert scm(drawn_data, "--method", "region-mean", "--split", "train", "--save", "-o", first, *metrics) == 0
    given = ("--generated", first / "images", "--reference", drawn_data / "images")
    assert scm(drawn_data, *given, "-o", second, *metrics) == 0
    one, two = (json.loads((out / "metrics.json").read_text()) for out in (first, second))
    assert one["answers"]["mean colour of each region"] == two["answers"]["generated"]
    assert one["references"] == two["references"]


def test_with_a_prepared_folder_the_baselines_stand_beside_results_of_any_method(place: Place) -> None:
    """They are those of the pairs: a folder of what one baseline draws gives its row twice."""
    metrics = ("--metrics", "ssim,l1,l1_person,copy_score", "--split", "train")
    assert scm(place.data, "--method", "part-warp", "--save", "-o", place.path / "one", *metrics) == 0
    given = ("--generated", place.path / "one" / "images", "--reference", place.data / "images")
    assert scm(place.data, *given, "-o", place.path / "two", *metrics[:2]) == 0
    one, two = (json.loads((place.path / name / "metrics.json").read_text())["answers"] for name in ("one", "two"))
    assert list(two) == ["generated", "source unchanged", "mean colour of each region", "part warp alone"]
    assert two["generated"] == two["part warp alone"] == one["part warp alone"]
    assert two["source unchanged"]["copy_score"]["value"] == 1
    assert scm(*given, "-o", place.path / "three", *metrics[:2]) == 0  # without DATA nothing is known of the sources
    alone = json.loads((place.path / "three" / "metrics.json").read_text())
    assert list(alone["answers"]) == ["generated"]


def test_joints_of_another_estimator_are_of_the_results_and_give_the_baselines_no_pck(place: Place) -> None:
    results = place.path / "results"
    results.mkdir()
    shutil.copy(place.data / "images" / "ben.png", results / "anna_to_ben.png")
    lines = (place.data / "joints.csv").read_text().splitlines()
    (place.path / "found.csv").write_text(
        "\n".join([lines[0], *(line.replace("ben", "anna_to_ben") for line in lines if line.startswith("ben"))]) + "\n"
    )
    given = ("--generated", results, "--reference", place.data / "images", "--joints", place.path / "found.csv")
    assert scm(place.data, *given, "--metrics", "pck", "-o", place.path / "out") == 0
    found = json.loads((place.path / "out" / "metrics.json").read_text())["answers"]
    assert found["generated"]["pck"]["value"] == 1
    assert found["part warp alone"] == {}


# The paper's tables


def test_the_papers_tables_are_as_printed_and_each_row_names_its_likely_protocol() -> None:
    tables = published_tables()
    assert [(name, len(table.rows)) for name, table in tables.items()] == [("Table 1", 11), ("Table 2", 4)]
    ours = tables["Table 1"].rows[-1]
    assert (ours.method, ours.fid, ours.ssim, ours.lpips, ours.inception_score) == (
        "SCM-Net", 12.18, 0.751, 0.182, 3.632,
    )  # fmt: skip
    assert {row.likely_protocol for table in tables.values() for row in table.rows} <= {*PROTOCOLS, "unknown"}
    assert all(row.why for table in tables.values() for row in table.rows)


def test_compare_warns_only_about_what_differs() -> None:
    numbers = {"ssim": {"value": 0.7}}
    metrics = {"protocol": {"name": "patn"}, "form": "folders", "count": 8570, "answers": {"mine": numbers}}
    text = compare(metrics, "Table 2")
    assert "| ours: mine | - | 0.7 | - | - | patn |" in text
    assert text.count("warning:") == 1  # the data are the paper's; its reference set is unknown in any case
    assert compare(metrics | {"count": 12, "form": "reconstruction"}, "Table 2").count("warning:") == 3
    with pytest.raises(ScmError, match="did you mean 'Table 1'"):
        compare(metrics, "Table1")


@pytest.mark.data
def test_the_papers_numbers_are_in_the_papers_text(shared: Callable[[str], Path]) -> None:
    printed = shared("paper/scm-net.txt").read_text()
    for table in published_tables().values():
        for row in table.rows:
            (line,) = [line for line in printed.splitlines() if line.startswith((f"{row.method}\t", f"{row.method} ["))]
            numbers = [None if cell == "-" else float(cell) for cell in line.split("\t")[1:]]
            assert numbers == [row.value(column) for column in ("fid", "ssim", "lpips", "is")]
