from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from scmnet_cli.checkpoint import SavedModel, save_tensors
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.wardrobe import Wardrobe, style_fingerprint, take
from scmnet_cli.models.build import build_generator

if TYPE_CHECKING:
    from conftest import Place, Scm

FIELDS = [{}, {"carry_colours": True}, {"carry_colours": True, "carry_detail": 4}]


def pipeline_of(seed: int = 0, **fields: object) -> Pipeline:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, **fields}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build_generator(config.model)
    return Pipeline(net, SavedModel(net.state_dict(), config), torch.device("cpu"))


def closet_of(pipeline, *garments) -> Wardrobe:
    return Wardrobe(style_fingerprint(pipeline.model), garments)


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_a_garment_from_a_file_is_worn_as_the_person_it_was_taken_from_would_lend_it(place: Place, fields) -> None:
    pipeline, anna, cleo = pipeline_of(**fields), place.person("anna", 0), place.person("cleo", 2)
    closet_of(pipeline, take(pipeline, cleo, "upper", "top", "striped")).write(Path("closet.safetensors"))
    closet = Wardrobe.read(Path("closet.safetensors"))
    assert (closet.garments["top"].region, closet.garments["top"].about) == ("upper", "striped")
    lent = pipeline.exchange(anna, {"upper": cleo})
    worn = pipeline.exchange(anna, {"upper": closet.reference("top", pipeline)})
    assert torch.allclose(worn.region_features, lent.region_features, atol=2e-3)
    shown, true = worn.person.regions == 5, lent.person.regions == 5
    assert (shown & true).sum() > 0.75 * (shown | true).sum()


def test_without_patterns_a_garment_keeps_no_more_than_means_over_positions(place: Place) -> None:
    pipeline, cleo = pipeline_of(carry_colours=True, carry_detail=4), place.person("cleo", 2)
    plain = take(pipeline, cleo, "upper", "top", patterns=False)
    whole = take(pipeline, cleo, "upper", "top")
    part = pipeline.model.style_encoder.part_features
    assert (plain.features.shape[0], whole.features.shape[0]) == (part + 4, part + 64)
    worn = closet_of(pipeline, plain).reference("top", pipeline).region_features[0, 5]
    cells = torch.nn.functional.pixel_shuffle(worn[part:], 4)
    assert torch.allclose(
        cells, torch.nn.functional.avg_pool2d(cells, 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
    )
    assert torch.equal(worn[:part], closet_of(pipeline, whole).reference("top", pipeline).region_features[0, 5, :part])


def test_another_models_garments_are_refused(place: Place) -> None:
    pipeline, other = pipeline_of(), pipeline_of(seed=1)
    closet = closet_of(pipeline, take(pipeline, place.person("cleo", 2), "upper", "top"))
    with pytest.raises(ScmError, match="encoded by another model"):
        closet.reference("top", other)


def test_unknown_garments_bad_names_and_absent_regions_are_told(place: Place) -> None:
    pipeline, cleo = pipeline_of(), place.person("cleo", 2)
    closet = closet_of(pipeline, take(pipeline, cleo, "upper", "denim-jacket"))
    with pytest.raises(ScmError, match=r"no such garment.*denim-jacket"):
        closet.reference("denim-jaket", pipeline)
    with pytest.raises(ScmError, match="lower-case letters"):
        take(pipeline, cleo, "upper", "Denim Jacket")
    with pytest.raises(ScmError, match="no region 'skirt' to take"):
        take(pipeline, cleo, "skirt", "kilt")


@pytest.mark.parametrize(
    "garments", ["{", '{"top": {}}', '{"top": {"region": "upper", "top": 0, "left": 0, "about": ""}}']
)
def test_a_damaged_wardrobe_is_one_line(place: Place, garments: str) -> None:
    path = Path("closet.safetensors")
    save_tensors(path, {"other": torch.zeros(1)}, {"kind": "scm wardrobe", "model": "0", "garments": garments})
    with pytest.raises(ScmError, match=r"closet\.safetensors: its header does not fit"):
        Wardrobe.read(path)


def test_a_file_of_other_tensors_is_no_wardrobe(place: Place) -> None:
    save_tensors(Path("state.safetensors"), {"a": torch.zeros(1)}, {})
    with pytest.raises(ScmError, match="holds no wardrobe"):
        Wardrobe.read(Path("state.safetensors"))


def test_the_command_adds_garments_draws_them_and_edits_with_them(place: Place, scm: Scm) -> None:
    mine = ["--wardrobe", "mine.safetensors", "-m", "run"]
    added = scm(
        "wardrobe", "add", "striped-top", "--region", "upper", "--src", "data/cleo", "--about", "a stripe", *mine
    )
    assert (added.code, added.paths) == (0, [Path("mine.safetensors")])
    assert scm("wardrobe", "add", "dark-hair", "--region", "hair", "--src", "data/anna", *mine).code == 0
    drawn = scm("wardrobe", "--src", "data/anna", "-o", "closet.png", *mine)
    assert drawn.code == 0
    assert "striped-top  upper   a stripe" in "\n".join(map(str, drawn.paths))
    with Image.open("closet.png") as sheet:
        assert sheet.width > 3 * 48
    edited = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "wardrobe:striped-top", "--strip", *mine)
    assert edited.paths == [Path("outputs/anna_upper-from-striped-top.png")]
    report = json.loads(Path("outputs/anna_upper-from-striped-top.json").read_text())
    assert report["inputs"]["exchanged"]["upper"] == {"name": "striped-top", "path": "mine.safetensors#striped-top"}


def test_a_name_is_not_taken_twice_unless_asked(place: Place, scm: Scm) -> None:
    add = [
        "wardrobe",
        "add",
        "top",
        "--region",
        "upper",
        "--src",
        "data/cleo",
        "--wardrobe",
        "m.safetensors",
        "-m",
        "run",
    ]
    assert scm(*add).code == 0
    again = scm(*add)
    assert again.code == 2
    assert "is in m.safetensors already" in again.errors[0]
    assert scm(*add, "--replace").code == 0


def test_without_a_wardrobe_the_error_says_how_to_make_one(place: Place, scm: Scm) -> None:
    done = scm(
        "edit", "--src", "data/anna", "--region", "upper", "--ref", "wardrobe:top", "--wardrobe", "no.st", "-m", "run"
    )
    assert (done.code, len(done.errors)) == (2, 1)
    assert "scm wardrobe add" in done.errors[0]
