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
from scmnet_cli.evaluation.baselines import region_mean
from scmnet_cli.evaluation.half_body import is_full_body
from scmnet_cli.evaluation.instruments import Instruments
from scmnet_cli.evaluation.judging import Judgement, judge
from scmnet_cli.evaluation.prepared_cases import MODEL, CaseSet, PreparedCases, load_people
from scmnet_cli.evaluation.protocols import PROTOCOLS
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.training.measure import draw_grid, moved_sources, spread_of

if TYPE_CHECKING:
    from conftest import Place


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config("smoke")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, build_generator(config.model).state_dict(), config)
    return path


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


def judged(data: Path, pipeline: Pipeline | None, **options: Any) -> tuple[PreparedCases, Judgement]:
    cases = PreparedCases(data, options.pop("split", "val"), pipeline, case_set=options.pop("case_set", None))
    return cases, judge(cases, PROTOCOLS["raw"], Instruments(["ssim", "l1", "l1_person", "copy_score"]), **options)


def test_source_unchanged_and_region_mean_do_not_depend_on_the_model(drawn_data: Path, untrained: Path) -> None:
    pipeline = Pipeline.from_pretrained(untrained, "cpu")
    cases, one = judged(drawn_data, pipeline)
    torch.manual_seed(1)
    for parameter in pipeline.model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    _, other = judged(drawn_data, pipeline)
    for answer in cases.answers[1:]:
        assert one.scores[answer] == other.scores[answer]
    assert one.scores[MODEL].values["l1"] != other.scores[MODEL].values["l1"]
    assert one.scores["source unchanged"].values["copy_score"].value == pytest.approx(1)
    field = cases.field()
    assert field is not None
    assert 0 <= field.region_accuracy <= 1
    assert one.names == PreparedFolder(drawn_data).names("val")


def test_batch_size_does_not_matter_and_a_partial_last_batch_counts(drawn_data: Path) -> None:
    _, one = judged(drawn_data, None, split="train", batch=4)
    _, other = judged(drawn_data, None, split="train", batch=3)
    people = len(PreparedFolder(drawn_data).names("train"))
    assert people % 4 or people % 3
    assert len(one.names) == people
    for answer, scores in one.scores.items():
        for name, column in scores.per_image.items():
            assert other.scores[answer].per_image[name] == pytest.approx(column, abs=1e-5)


def test_pairs_are_evaluated_with_one_picture_as_source_and_the_other_as_ground_truth(place: Place) -> None:
    pipeline = Pipeline.from_pretrained(place.model, "cpu")
    cases, found = judged(place.data, pipeline, split="train")
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
    values = judged(drawn_data, None, split="train", case_set=CaseSet.half2full)[1].scores["source unchanged"].values
    assert values["copy_score"].value == pytest.approx(1)
    assert values["ssim"].value < 1


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
    assert list(found["answers"]) == ["SCM-Net", "source unchanged", "mean colour of each region"]
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
    judged = []
    for more in ([], ["--method", "source-copy"]):
        with pytest.raises(SystemExit) as ended:
            main([*options, *more])
        assert ended.value.code == 0
        found = json.loads((tmp_path / "metrics.json").read_text())
        judged.append((found["inputs"].get("model", {}).get("path"), next(iter(found["answers"]))))
    assert judged == [(str(untrained), "SCM-Net"), (None, "source unchanged")]


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
