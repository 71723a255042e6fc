"""Reconstruction of unseen people from a moved source, beside baselines that need no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.checkpoint import save_model
from scmnet_cli.cli.main import main
from scmnet_cli.config import load_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.baselines import Method, region_mean
from scmnet_cli.evaluation.half_body import is_full_body
from scmnet_cli.evaluation.metric_networks import MetricNetworks
from scmnet_cli.evaluation.metric_results import MetricResults, compute_metrics
from scmnet_cli.evaluation.prepared_cases import MODEL, CaseSet, PreparedCases, load_people
from scmnet_cli.evaluation.protocols import PROTOCOLS
from scmnet_cli.evaluation.reposed import lend_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.training.measure import draw_grid, moved_sources, spread_of
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from conftest import Place, SomeFaces


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config("smoke", ["model.height=64", "model.width=48"])
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, build_generator(config.model).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def warping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with part warp and random weights, of half the size of the large people."""
    config = load_config("smoke", ["model.part_warp=true", "model.height=48", "model.width=32"])
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("warping") / "model.safetensors"
    save_model(path, build_generator(config.model).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def large_data(drawn_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn people at 96x64."""
    folder = tmp_path_factory.mktemp("large") / "data"
    prepare(FolderSource(drawn_source), folder, Canvas(96, 64), jobs=1)
    return folder


def test_region_mean_fills_each_target_region_with_the_sources_mean_colour() -> None:
    source_labels = torch.tensor([[[0, 0, 5, 5], [0, 0, 5, 1]]])
    target_labels = torch.tensor([[[5, 1, 0, 0], [7, 7, 0, 0]]])
    levels = torch.tensor([0.8, -1.0, 0, 0, 0, 0.2, 0, 0])
    source = levels[source_labels][:, None].expand(-1, 3, -1, -1).clone()
    source[0, :, 0, 2] = 0.5  # the mean of `upper` is 0.3
    painted = region_mean(source, one_hot(source_labels), one_hot(target_labels))
    person = (0.5 + 0.2 + 0.2 - 1.0) / 4  # the source has no legs: its whole person's mean
    expected = torch.tensor([[0.3, -1.0, 0.8, 0.8], [person, person, 0.8, 0.8]])
    assert torch.allclose(painted[0], expected.expand(3, -1, -1), atol=1e-6)


def evaluated(data: Path, pipeline: Pipeline | None, **options: Any) -> tuple[PreparedCases, MetricResults]:
    cases = PreparedCases(data, options.pop("split", "val"), pipeline, case_set=options.pop("case_set", None))
    return cases, compute_metrics(
        cases, PROTOCOLS["raw"], MetricNetworks(["ssim", "l1", "l1_person", "copy_score"]), **options
    )


def test_source_unchanged_and_region_mean_do_not_depend_on_the_model(drawn_data: Path, untrained: Path) -> None:
    pipeline = Pipeline.from_pretrained(untrained, "cpu")
    cases, one = evaluated(drawn_data, pipeline)
    torch.manual_seed(1)
    for parameter in pipeline.model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    _, other = evaluated(drawn_data, pipeline)
    for answer in cases.answers[1:]:
        assert one.scores[answer] == other.scores[answer]
    assert one.scores[MODEL].values["l1"] != other.scores[MODEL].values["l1"]
    assert one.scores["source unchanged"].values["copy_score"].value == pytest.approx(1)
    field = cases.field()
    assert field is not None
    assert 0 <= field.region_accuracy <= 1
    assert one.names == PreparedFolder(drawn_data).names("val")


def test_batch_size_does_not_matter_and_a_partial_last_batch_counts(drawn_data: Path) -> None:
    _, one = evaluated(drawn_data, None, split="train", batch=4)
    _, other = evaluated(drawn_data, None, split="train", batch=3)
    people = len(PreparedFolder(drawn_data).names("train"))
    assert people % 4 or people % 3
    assert len(one.names) == people
    for answer, scores in one.scores.items():
        for name, column in scores.per_image.items():
            assert other.scores[answer].per_image[name] == pytest.approx(column, abs=1e-5)


def test_pairs_are_evaluated_with_one_picture_as_source_and_the_other_as_ground_truth(place: Place) -> None:
    pipeline = Pipeline.from_pretrained(place.model, "cpu")
    cases, found = evaluated(place.data, pipeline, split="train")
    assert cases.form == "pairs"
    assert found.names == ["anna_to_ben"]
    case = cases.one(0)
    people = {name: PreparedFolder(place.data).load(name) for name in ("anna", "ben")}
    assert np.array_equal(case.answers["source unchanged"], people["anna"].image)
    assert np.array_equal(case.reference, people["ben"].image)
    drawn = np.asarray(pipeline.transfer(people["anna"], people["ben"]).image).astype(int)
    assert np.abs(case.answers[MODEL].astype(int) - drawn).max() <= 1
    assert found.scores["source unchanged"].values["copy_score"].value == pytest.approx(1)


def test_an_unavailable_case_set_and_an_empty_split_list_what_exists(drawn_data: Path, place: Place) -> None:
    with pytest.raises(ScmError, match=r"has no pair with both ends in val; leave --set out"):
        PreparedCases(drawn_data, "val", None, case_set=CaseSet.pairs)
    with pytest.raises(ScmError, match=r"no people in test; name another --split: train \(3\)"):
        PreparedCases(place.data, None, None)
    sitting = place.person("sitting", 0)
    sitting.joints[10] = 0  # the right ankle is not visible
    place.prepare(place.path / "sitting", [sitting], [])
    with pytest.raises(ScmError, match="has no person with neck and both whole legs in train"):
        PreparedCases(place.path / "sitting", "train", None, case_set=CaseSet.half2full)


def test_without_a_val_list_the_test_list_is_evaluated(place: Place) -> None:
    for split in ("train", "test"):  # as the benchmarks are
        (place.data / f"{split}.txt").write_text({"train": "cleo\n", "test": "anna\nben\n"}[split])
    cases = PreparedCases(place.data, None, None)
    assert (cases.split, cases.form, len(cases)) == ("test", "pairs", 1)


def test_moved_sources_are_those_of_the_reconstruction_without_flips(drawn_data: Path) -> None:
    flipped, unflipped = (
        PreparedCases(drawn_data, "train", None, case_set=case_set)
        for case_set in (CaseSet.reconstruction, CaseSet.moved)
    )
    same = []
    for index in range(len(flipped)):
        one, other = flipped.one(index), unflipped.one(index)
        assert np.array_equal(one.reference, other.reference)
        same.append(np.array_equal(one.source, other.source))
    assert 0 < sum(same) < len(same), "some sources are mirrored and some are not"


def test_half_to_full_body_uses_only_what_lies_above_the_hips_as_source(drawn_data: Path) -> None:
    folder = PreparedFolder(drawn_data)
    cases = PreparedCases(drawn_data, "train", None, case_set=CaseSet.half2full)
    whole = [name for name in folder.names("train") if is_full_body(folder.entry(name).joints)]
    assert len(cases) == len(whole) > 0
    case = cases.one(0)
    person = folder.load(whole[0])
    assert case.name == person.name
    assert np.array_equal(case.reference, person.image)
    assert case.joints is not None
    assert np.array_equal(case.joints, person.joints)
    assert case.source is not None
    assert case.source_labels is not None
    # The source shows what is above the hips, enlarged, and nothing of the legs.
    above = person.regions[: round(float(person.joints[[8, 11], 1].mean()))]
    assert set(np.unique(case.source_labels)) <= set(np.unique(above))
    assert (case.source_labels == region_id("face")).sum() > 1.5 * (above == region_id("face")).sum()
    assert case.source_labels[-1].max() == 0
    values = evaluated(drawn_data, None, split="train", case_set=CaseSet.half2full)[1].scores["source unchanged"].values
    assert values["copy_score"].value == pytest.approx(1)
    assert values["ssim"].value < 1


def test_reposed_sources_have_the_next_persons_pose_and_the_truth_is_the_photo(drawn_data: Path) -> None:
    folder = PreparedFolder(drawn_data)
    cases = PreparedCases(drawn_data, "train", None, case_set=CaseSet.reposed)
    names = folder.names("train")
    assert [cases.one(index).name for index in range(len(cases))] == names
    own, following = (folder.load(name) for name in names[:2])
    case = cases.one(0)
    assert np.array_equal(case.reference, own.image)
    assert case.joints is not None
    assert case.source_joints is not None
    assert np.array_equal(case.joints, own.joints)
    # The neck stays, the torso keeps its length, and every bone has the next person's direction.
    assert np.allclose(case.source_joints[1], own.joints[1])
    for start, end in ((1, 8), (2, 3), (3, 4), (8, 9), (9, 10)):
        if min(case.source_joints[[start, end], 2]) > 0:
            bone, wanted = (joints[end, :2] - joints[start, :2] for joints in (case.source_joints, following.joints))
            cosine = bone @ wanted / np.linalg.norm(bone) / np.linalg.norm(wanted)
            assert cosine == pytest.approx(1, abs=1e-4)
    assert np.abs(case.answers["source unchanged"].astype(int) - own.image).mean() > 1
    assert case.source_labels is not None
    person = case.source_labels != 0
    colours = case.answers["source unchanged"][~person]
    assert (np.abs(colours.astype(int) - 230) <= 1).all()  # plain where the warp covers nothing


def test_reposed_sources_are_the_same_for_every_limit_batch_and_model(large_data: Path, warping: Path) -> None:
    pipelines = [None, None, Pipeline.from_pretrained(warping, "cpu")]
    found = []
    for pipeline, limit, batch in zip(pipelines, (None, 2, 3), (3, 1, 2), strict=True):
        cases = PreparedCases(
            large_data, "train", pipeline, case_set=CaseSet.reposed, limit=limit, canvas=Canvas(96, 64)
        )
        first = [case for chunk in cases.chunks(batch) for case in chunk][:2]
        found.append([(case.name, case.source, case.source_labels, case.source_joints) for case in first])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert one[0] == other[0]
            assert all(np.array_equal(left, right) for left, right in zip(one[1:], other[1:], strict=True))


def test_a_person_without_hips_gives_no_pose_and_gets_none() -> None:
    whole, other, bust = (np.random.default_rng(seed).uniform(8, 40, (18, 3)).astype(np.float32) for seed in range(3))
    bust[[8, 11]] = 0
    lent = lend_poses([whole, bust, other])
    assert lent[1] is None
    assert lent[0] is not None
    assert lent[2] is not None
    assert np.allclose(lent[0][1, :2], whole[1, :2])
    scale = np.linalg.norm(lent[0][3, :2] - lent[0][2, :2]) / np.linalg.norm(other[3, :2] - other[2, :2])
    torso = [float(np.linalg.norm(pose[1, :2] - pose[[8, 11], :2].mean(0))) for pose in (whole, other)]
    assert scale == pytest.approx(np.clip(torso[0] / torso[1], 0.6, 1.6), rel=1e-4)
    assert lend_poses([whole]) == [None]


def test_the_part_warp_baseline_is_the_source_warped_to_the_targets_joints(place: Place) -> None:
    cases = PreparedCases(place.data, "train", None, [Method.part_warp])
    assert cases.answers == ("part warp alone",)
    source, target = (PreparedFolder(place.data).load(name) for name in ("anna", "ben"))
    image = torch.tensor(source.image).permute(2, 0, 1)[None] / 127.5 - 1
    joints = [torch.tensor(person.joints)[None] for person in (source, target)]
    warp = warp_parts(image, one_hot(torch.tensor(source.regions)[None]), *joints)
    drawn = torch.tensor(cases.one(0).answers["part warp alone"].astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    person = (warp.regions[0].argmax(0) != 0) & (warp.coverage[0, 0] > 0.25)
    assert person.any()
    assert (drawn - warp.image[0])[:, person].abs().max() < 0.005
    assert (drawn[:, ~person] - (230 / 127.5 - 1)).abs().max() < 0.005


def test_in_its_own_pose_the_part_warp_returns_the_person(place: Place) -> None:
    (place.data / "pairs.csv").write_text("from,to\nanna,anna\n")
    case = PreparedCases(place.data, "train", None).one(0)
    assert np.abs(case.answers["part warp alone"].astype(int) - case.reference).max() <= 1


def test_a_small_model_with_part_warp_is_evaluated_at_the_folders_size_as_transfer_draws(
    large_data: Path, warping: Path
) -> None:
    pipeline = Pipeline.from_pretrained(warping, "cpu")
    cases = PreparedCases(large_data, "train", pipeline, case_set=CaseSet.cross, limit=3, canvas=Canvas(96, 64))
    case = cases.one(0)
    assert {picture.shape for picture in case.answers.values()} == {(96, 64, 3)}
    folder = PreparedFolder(large_data)
    of, to = case.name.split("_to_")
    drawn = np.asarray(pipeline.transfer(folder.load(of), folder.load(to), Canvas(96, 64)).image)
    assert np.array_equal(case.answers[MODEL], drawn)
    assert cases.described()["model_draws"] == "48x32, enlarged to 96x64 by any-resolution drawing"
    assert cases.described()["canvas"] == "96x64"
    assert cases.field() is None


def test_pictures_of_a_model_without_part_warp_are_enlarged_and_the_numbers_say_so(
    large_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config("smoke", ["model.height=48", "model.width=32"])
    save_model(tmp_path / "model.safetensors", build_generator(config.model).state_dict(), config)
    options = ["eval", str(large_data), "-m", str(tmp_path), "--split", "train", "--limit", "2", "--metrics", "l1"]
    with pytest.raises(SystemExit) as ended:
        main([*options, "--size", "96x64", "-o", str(tmp_path / "out")])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    said = "48x32, enlarged to 96x64 by Lanczos enlargement (no part warp)"
    assert found["inputs"]["model_draws"] == said
    assert {numbers["l1"]["size"] for numbers in found["answers"].values()} == {"96x64"}
    assert f"the model draws {said}" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("wide", "--size wide: is not a size"),
        ("64x64", "--size 64x64: does not have the aspect ratio of the folder's 64x48; try 64x48"),
        ("128x96", "--size 128x96: is larger than the images of"),
        ("32x24", "--size 32x24: is smaller than the model's 64x48; choose that or more"),
    ],
)
def test_a_size_that_cannot_be_evaluated_at_is_one_line(
    size: str, said: str, drawn_data: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", str(drawn_data), "-m", str(untrained), "-o", str(tmp_path), "--size", size])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"), [("--set=reposed", "--set reposed: needs joints"), ("--method=part-warp", "needs joints")]
)
def test_faces_have_no_part_warp(
    option: str, said: str, some_faces: SomeFaces, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = PreparedCases(some_faces.data, "train", None)
    assert cases.answers == ("source unchanged", "mean colour of each region")
    arguments = ["eval", str(some_faces.data), "-o", str(tmp_path), "--split", "train", option]
    with pytest.raises(SystemExit) as ended:
        main(arguments if "--method" in option else [*arguments, "-m", str(some_faces.model)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_moved_sources_move_their_joints_with_the_picture(drawn_data: Path, untrained: Path) -> None:
    people = load_people(Pipeline.from_pretrained(untrained, "cpu"), drawn_data, "train")
    found = moved_sources(people, list(range(len(people))))
    hair, face = region_id("hair"), region_id("face")
    seen = 0
    for row in range(len(people)):
        if found.source.structure[row, 0, 2] > 0 and found.target.structure[row, 0, 2] > 0:
            x, y = found.source.structure[row, 0, :2].round().long().tolist()
            around = found.source.labels[row, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            assert ((around == face) | (around == hair)).any()
            seen += 1
    assert seen > 3


def test_evaluation_moves_are_deterministic_and_drop_nothing(drawn_data: Path, untrained: Path) -> None:
    people = load_people(Pipeline.from_pretrained(untrained, "cpu"), drawn_data, "train")
    whole = moved_sources(people, [0, 1, 2])
    alone = moved_sources(people, [2])
    assert torch.equal(whole.source.image[2:], alone.source.image)
    assert torch.equal(whole.source.labels[2:], alone.source.labels)
    assert not torch.allclose(whole.source.image, whole.target.image, atol=0.1)


def test_the_same_person_for_every_source_has_no_spread(drawn_data: Path, untrained: Path) -> None:
    pipeline = Pipeline.from_pretrained(untrained, "cpu")
    people = load_people(pipeline, drawn_data, "train").batch([0, 1, 2])
    grid = draw_grid(pipeline.model, people)
    same = type(grid)(people, people.image[0].expand(3, 3, -1, -1, -1))
    assert spread_of(same) == 0
    copied = type(grid)(people, people.image[:, None].expand(-1, 3, -1, -1, -1))
    assert spread_of(copied) == pytest.approx(1)


def test_eval_writes_numbers_a_table_and_sheets(
    drawn_data: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch"))
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "eval",
                str(drawn_data),
                "-m",
                str(untrained),
                "-o",
                str(tmp_path / "eval"),
                "--split",
                "train",
                "--limit",
                "3",
            ]
        )
    assert ended.value.code == 0
    found = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert list(found["answers"]) == [
        "SCM-Net",
        "source unchanged",
        "mean colour of each region",
        "part warp alone",
    ]
    assert found["count"] == 3
    for numbers in found["answers"].values():
        assert numbers["ssim"]["count"] == 3
        assert numbers["ssim"]["protocol"] == "raw"
        assert "lpips_alex" not in numbers
    assert "scm weights fetch alexnet" in found["not_computed"]["lpips_alex"]
    assert "scm weights fetch inception" in found["not_computed"]["fid"]
    assert 0 <= found["field"]["region_accuracy"] <= 1
    lines = (tmp_path / "eval" / "per_image.csv").read_text().splitlines()
    assert lines[0].startswith("name,ssim,")
    assert len(lines) == 4
    for sheet in ("cases", "transfers", "edits"):
        assert np.asarray(Image.open(tmp_path / "eval" / f"{sheet}.png")).std() > 0
    assert "| SCM-Net |" in (tmp_path / "eval" / "table.md").read_text()


def test_the_environments_model_is_evaluated_unless_a_method_is_named(
    drawn_data: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_MODEL", str(untrained))
    options = ["eval", str(drawn_data), "--split", "train", "--limit", "2", "--metrics", "l1", "-o", str(tmp_path)]
    evaluated = []
    for more in ([], ["--method", "source-copy"]):
        with pytest.raises(SystemExit) as ended:
            main([*options, *more])
        assert ended.value.code == 0
        found = json.loads((tmp_path / "metrics.json").read_text())
        evaluated.append((found["inputs"].get("model", {}).get("path"), next(iter(found["answers"]))))
    assert evaluated == [(str(untrained), "SCM-Net"), (None, "source unchanged")]


def test_the_same_input_gives_the_same_bytes(drawn_data: Path, untrained: Path, tmp_path: Path) -> None:
    options = ["eval", str(drawn_data), "-m", str(untrained), "--split", "train", "--limit", "3", "--set", "half2full"]
    options += ["--metrics", "ssim,psnr,l1_person,copy_score,region_consistency"]
    written = []
    for out in (tmp_path / "one", tmp_path / "two"):
        with pytest.raises(SystemExit):
            main([*options, "-o", str(out)])
        numbers = json.loads((out / "metrics.json").read_text())
        del numbers["seconds"]
        rest = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "metrics.json"}
        written.append((json.dumps(numbers), rest))
    assert written[0] == written[1]
    assert {"per_image.csv", "per_image.source-unchanged.csv", "report.html", "cases.png"} <= set(written[0][1])


def test_an_empty_split_is_a_one_line_error(
    drawn_data: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", str(drawn_data), "-m", str(untrained), "-o", str(tmp_path), "--split", "test"])
    assert ended.value.code == 2
    assert "no people" in capsys.readouterr().err
