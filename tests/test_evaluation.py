"""Reconstruction of unseen people from a moved source, beside the answers that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.checkpoint import save_model
from scmnet_cli.cli.main import main
from scmnet_cli.config import load_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.evaluation.reconstruction import evaluate_reconstruction, load_people, region_mean
from scmnet_cli.models.build import build_generator
from scmnet_cli.pipeline import Pipeline
from scmnet_cli.regions import one_hot
from scmnet_cli.training.measure import draw_grid, moved_sources, spread_of


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config("smoke")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, build_generator(config.model).state_dict(), config)
    return path


def test_region_mean_paints_each_source_colour_into_the_targets_region() -> None:
    source_labels = torch.tensor([[[0, 0, 5, 5], [0, 0, 5, 1]]])
    target_labels = torch.tensor([[[5, 1, 0, 0], [7, 7, 0, 0]]])
    levels = torch.tensor([0.8, -1.0, 0, 0, 0, 0.2, 0, 0])
    source = levels[source_labels][:, None].expand(-1, 3, -1, -1).clone()
    source[0, :, 0, 2] = 0.5  # the mean of `upper` is 0.3
    painted = region_mean(source, one_hot(source_labels), one_hot(target_labels))
    person = (0.5 + 0.2 + 0.2 - 1.0) / 4  # the source has no legs: its whole person's mean
    expected = torch.tensor([[0.3, -1.0, 0.8, 0.8], [person, person, 0.8, 0.8]])
    assert torch.allclose(painted[0], expected.expand(3, -1, -1), atol=1e-6)


def test_source_unchanged_and_region_mean_do_not_depend_on_the_model(drawn_data: Path, untrained: Path) -> None:
    pipeline = Pipeline.from_pretrained(untrained, "cpu")
    one = evaluate_reconstruction(pipeline, drawn_data)
    torch.manual_seed(1)
    for parameter in pipeline.model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    other = evaluate_reconstruction(pipeline, drawn_data)
    assert [row.l1 for row in one.rows[1:]] == [row.l1 for row in other.rows[1:]]
    assert one.rows[0].l1 != other.rows[0].l1
    assert 0 <= one.region_accuracy <= 1
    assert one.num_people == len(PreparedFolder(drawn_data).names("val"))


def test_evaluation_moves_are_the_same_every_time_and_lose_nothing(drawn_data: Path, untrained: Path) -> None:
    people = load_people(Pipeline.from_pretrained(untrained, "cpu"), drawn_data, "train")
    whole = moved_sources(people, [0, 1, 2])
    alone = moved_sources(people, [2])
    assert torch.allclose(whole.style_image[2:], alone.style_image, atol=1e-6)
    assert not torch.allclose(whole.style_image, whole.target.image)


def test_one_person_for_every_source_has_no_spread(drawn_data: Path, untrained: Path) -> None:
    pipeline = Pipeline.from_pretrained(untrained, "cpu")
    people = load_people(pipeline, drawn_data, "train").batch([0, 1, 2])
    grid = draw_grid(pipeline.model, people, pipeline.canvas)
    same = type(grid)(people, people.image[0].expand(3, 3, -1, -1, -1))
    assert spread_of(same) == 0
    copied = type(grid)(people, people.image[:, None].expand(-1, 3, -1, -1, -1))
    assert spread_of(copied) == pytest.approx(1)


def test_eval_writes_numbers_a_table_and_sheets(drawn_data: Path, untrained: Path, tmp_path: Path) -> None:
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
    assert [row["answer"] for row in found["rows"]] == ["SCM-Net", "source unchanged", "mean colour of each region"]
    assert found["num_people"] == 3
    for row in found["rows"]:
        assert (row["lpips_alex"] is None) == (found["not_computed"] is not None)
    for sheet in ("reconstructions", "transfers", "edits"):
        assert np.asarray(Image.open(tmp_path / "eval" / f"{sheet}.png")).std() > 0
    assert "| SCM-Net |" in (tmp_path / "eval" / "table.md").read_text()


def test_an_empty_split_is_one_clear_line(
    drawn_data: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", str(drawn_data), "-m", str(untrained), "-o", str(tmp_path), "--split", "test"])
    assert ended.value.code == 2
    assert "no people" in capsys.readouterr().err
