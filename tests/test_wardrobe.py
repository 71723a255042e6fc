"""Wardrobes: garments kept as cut-outs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.checkpoint import SavedModel, save_tensors
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Garment, Wardrobe, take
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from conftest import Place, Scm

FIELDS = [{}, {"carry_colours": True, "carry_detail": 4}, {"part_warp": True}]


def pipeline_of(seed: int = 0, **fields: object) -> Pipeline:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, **fields}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build_generator(config.model)
    return Pipeline(net, SavedModel(net.state_dict(), config), torch.device("cpu"))


def test_a_written_garment_is_read_back_unchanged(place: Place) -> None:
    cleo = place.person("cleo", 2)
    smooth = np.linspace(0, 255, cleo.image.size, dtype=np.uint8).reshape(cleo.image.shape)
    taken = take(replace(cleo, image=smooth), "upper", "top", "striped")
    Wardrobe([taken], "mine").write(Path("wardrobe.safetensors"))
    wardrobe = Wardrobe.read(Path("wardrobe.safetensors"))
    found = wardrobe.garments["top"]
    assert (found.kind, found.about, wardrobe.about) == ("upper", "striped", "mine")
    assert found.image.shape == taken.image.shape
    assert np.abs(found.joints - taken.joints).max() < 0.06
    assert np.array_equal(found.image[..., 3] > 127, taken.image[..., 3] > 127)
    opaque = taken.image[..., 3] > 127
    assert np.abs(found.image[opaque][:, :3].astype(int) - taken.image[opaque][:, :3]).mean() < 12, "WebP"


def test_a_garment_as_a_person_matches_its_joints(place: Place) -> None:
    cleo = place.person("cleo", 2)
    worn = take(cleo, "upper", "top").person(Canvas(64, 48))
    assert abs(worn.canvas.width / worn.canvas.height - 0.75) < 0.02
    mask, before = worn.regions == region_id("upper"), cleo.regions == region_id("upper")
    assert mask.sum() == before.sum()
    shift = np.argwhere(mask).min(0) - np.argwhere(before).min(0)
    known = worn.joints[:, 2] > 0
    moved = worn.joints[known, :2] - cleo.joints[known, :2]
    assert np.abs(moved - shift[::-1]).max() < 1e-4


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_every_model_of_people_can_use_a_garment(place: Place, fields: dict[str, object]) -> None:
    pipeline, anna = pipeline_of(**fields), place.person("anna", 0)
    wearer = replace(place.person("cleo", 2), joints=anna.joints)
    wardrobe = Wardrobe([take(wearer, "upper", "top")])
    worn = pipeline.edit(anna, {"upper": wardrobe.reference("top", pipeline)})
    assert not np.array_equal(np.asarray(worn.image), np.asarray(pipeline.transfer(anna, anna).image))


def test_garments_are_listed_by_kind() -> None:
    image, joints = np.zeros((4, 4, 4), np.uint8), np.zeros((18, 3), np.float32)
    kinds = {"a": "upper", "b": "pants", "c": "upper"}
    wardrobe = Wardrobe([Garment(name, kind, image, joints) for name, kind in kinds.items()])
    assert {kind: [garment.name for garment in garments] for kind, garments in wardrobe.by_kind().items()} == {
        "upper": ["a", "c"], "pants": ["b"],
    }  # fmt: skip


def test_unknown_garments_bad_names_and_absent_regions_are_one_line_errors(place: Place) -> None:
    pipeline, cleo = pipeline_of(), place.person("cleo", 2)
    wardrobe = Wardrobe([take(cleo, "upper", "denim-jacket")])
    with pytest.raises(ScmError, match=r"no such garment.*denim-jacket"):
        wardrobe.reference("denim-jaket", pipeline)
    with pytest.raises(ScmError, match="lower-case letters"):
        take(cleo, "upper", "Denim Jacket")
    with pytest.raises(ScmError, match="has no skirt to take"):
        take(cleo, "skirt", "kilt")
    with pytest.raises(ScmError, match="no kind of garment"):
        take(cleo, "uper", "top")


@pytest.mark.parametrize("garments", ["", "{", "[]", '{"top": {}}', '{"top": {"kind": "upper", "joints": []}}'])
def test_a_damaged_wardrobe_is_a_one_line_error(place: Place, garments: str) -> None:
    path = Path("wardrobe.safetensors")
    save_tensors(path, {"other": torch.zeros(1)}, {"kind": "scm wardrobe", "version": "2", "garments": garments})
    with pytest.raises(ScmError, match=r"wardrobe\.safetensors.*the file is damaged, copy it again"):
        Wardrobe.read(path)


def test_a_wardrobe_of_features_is_refused_with_the_remedy(place: Place) -> None:
    path = Path("wardrobe.safetensors")
    save_tensors(path, {"other": torch.zeros(1)}, {"kind": "scm wardrobe", "model": "0", "garments": "{}"})
    with pytest.raises(ScmError, match="scm wardrobe add"):
        Wardrobe.read(path)


def test_a_file_of_other_tensors_is_refused_as_a_wardrobe(place: Place) -> None:
    save_tensors(Path("state.safetensors"), {"a": torch.zeros(1)}, {})
    with pytest.raises(ScmError, match="holds no wardrobe"):
        Wardrobe.read(Path("state.safetensors"))


def test_the_shipped_garments_are_cc0_small_and_of_every_kind() -> None:
    wardrobe = Wardrobe.read(SHIPPED_WARDROBE)
    assert "CC0" in wardrobe.about
    assert set(wardrobe.by_kind()) >= {"upper", "pants", "skirt", "dress"}
    assert SHIPPED_WARDROBE.stat().st_size < 4e6
    for garment in wardrobe.garments.values():
        assert (garment.joints[:, 2] > 0).sum() >= 2
        assert (garment.image[..., 3] > 127).mean() > 0.1


def test_the_command_adds_garments_draws_them_and_edits_with_them(place: Place, scm: Scm) -> None:
    mine = ["--wardrobe", "mine.safetensors", "-m", "run"]
    added = scm(
        "wardrobe", "add", "striped-top", "--region", "upper", "--src", "data/cleo", "--about", "a stripe", *mine
    )
    assert (added.code, added.paths) == (0, [Path("mine.safetensors")])
    assert scm("wardrobe", "add", "dark-hair", "--region", "hair", "--src", "data/anna", *mine).code == 0
    drawn = scm("wardrobe", "--src", "data/anna", "-o", "wardrobe.png", *mine)
    assert drawn.code == 0
    assert "striped-top  upper   a stripe" in "\n".join(map(str, drawn.paths))
    with Image.open("wardrobe.png") as sheet:
        assert sheet.width > 3 * 48
    edited = scm("edit", "--src", "data/anna", "--region", "shirt", "--ref", "wardrobe:striped-top", "--strip", *mine)
    assert edited.paths == [Path("outputs/anna_upper-from-striped-top.png")]
    report = json.loads(Path("outputs/anna_upper-from-striped-top.json").read_text())
    assert report["inputs"]["exchanged"]["upper"] == {"name": "striped-top", "path": "mine.safetensors#striped-top"}


def test_a_garment_is_replaced_only_on_request(place: Place, scm: Scm) -> None:
    about = ["--region", "upper", "--src", "data/cleo", "--wardrobe", "m.safetensors", "-m", "run"]
    add = ["wardrobe", "add", "top", *about]
    assert scm(*add).code == 0
    again = scm(*add)
    assert again.code == 2
    assert "is in m.safetensors already" in again.errors[0]
    assert scm(*add, "--replace").code == 0


def test_a_missing_wardrobe_is_an_error_with_the_remedy(place: Place, scm: Scm) -> None:
    done = scm(
        "edit", "--src", "data/anna", "--region", "upper", "--ref", "wardrobe:top", "--wardrobe", "no.st", "-m", "run"
    )
    assert (done.code, len(done.errors)) == (2, 1)
    assert "scm wardrobe add" in done.errors[0]
