"""``scm inspect``: statistics of the correlation field, and their figure."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli import checkpoint
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inspection import Inspection, inspect_point, inspect_transfer
from scmnet_cli.inference.inspection_sheet import WIDTH, draw_inspection
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import BODY_REGIONS, COLOURS, region_id
from scmnet_cli.types import Person, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm

GRID = (8, 6)


def pipeline_of(**settings: object) -> Pipeline:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, **settings}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_generator(config.model)
    return Pipeline(net, checkpoint.SavedModel(net.state_dict(), config), torch.device("cpu"))


def noisy(place: Place) -> Person:
    """Return a person of random colours, in blocks as large as the field's positions."""
    person = place.person("anna", 0)
    regions = np.zeros((64, 48), np.uint8)
    for name, (top, bottom) in {"hair": (8, 16), "upper": (16, 40), "pants": (40, 64)}.items():
        regions[top:bottom, 16:32] = region_id(name)
    image = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    return replace(person, image=image, regions=regions)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(2) <= 16).sum())


def uniform_inspection(place: Place, **about: object) -> Inspection:
    """Return the inspection of a uniform field."""
    pipeline = pipeline_of()
    pipeline.model.tau = 1e6
    return inspect_transfer(pipeline, noisy(place), place.person("ben", 1), **about)


def identity_inspection(place: Place, monkeypatch: pytest.MonkeyPatch, **about: object) -> Inspection:
    """Return the inspection of an identity field: each position attends to the same position of the source."""
    pipeline, person = pipeline_of(), noisy(place)
    style = pipeline.encode(person).style
    monkeypatch.setattr(pipeline.model, "encode_pose", lambda *_: style.features)
    pipeline.model.tau = 1e-4
    return inspect_transfer(pipeline, person, person, **about)


def test_a_uniform_field_has_maximal_entropy_and_shares_equal_to_the_region_areas(place: Place):
    found = uniform_inspection(place, points=[(3, 5)])
    assert found.entropy == pytest.approx(np.full(GRID, math.log(48)), rel=1e-4)
    assert found.points[0].weights == pytest.approx(np.full(GRID, 1 / 48), rel=1e-2)
    share = {name: float((found.source.regions == region_id(name)).mean()) for name in ("background", "upper", "pants")}
    for name, expected in share.items():
        assert found.right_shares[name] == pytest.approx(expected, rel=1e-2)
        assert found.points[0].region_shares[name] == pytest.approx(expected, rel=1e-2)
    mean = np.asarray(found.source.image, np.float64).reshape(8, 8, 6, 8, 3).mean((0, 2))
    assert np.abs(found.moved_pixels[:8, :8] - mean).max() <= 2


def test_an_identity_field_moves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch):
    found = identity_inspection(place, monkeypatch, points=[(20, 20)])
    assert np.abs(found.moved_pixels.astype(int) - found.source.image).max() <= 1
    assert found.entropy.max() < 1e-3
    assert found.region_accuracy == 1
    assert set(found.right_shares) == {"background", "hair", "upper", "pants"}
    assert list(found.right_shares.values()) == pytest.approx([1] * 4, abs=1e-4)
    assert found.points[0].weights[2, 2] == pytest.approx(1, abs=1e-4)
    assert found.points[0].region_shares["upper"] == pytest.approx(1, abs=1e-4)
    for part in found.parts:
        assert part.right_share == pytest.approx(1, abs=1e-4)
        assert np.abs(np.subtract(part.place, part.origin)).max() <= 8
    assert np.array_equal(found.moved_feature_colours, found.features.colours)


def test_the_numbers_match_the_result_and_the_explicit_field(place: Place):
    pipeline, source, pose = pipeline_of(), place.person("anna", 0), place.person("ben", 1)
    found = inspect_transfer(pipeline, source, pose, [(17, 30)])
    drawn = pipeline.transfer(source, pose)
    assert np.array_equal(np.asarray(found.result.image), np.asarray(drawn.image))
    assert found.entropy.mean() / math.log(48) == pytest.approx(drawn.entropy, rel=1e-4)
    assert np.array_equal(found.moved_regions.argmax(0), drawn.moved_regions[::8, ::8])
    from scmnet_cli.skeleton import pose_maps

    with torch.no_grad():
        maps = pose_maps(torch.from_numpy(pose.joints)[None], pipeline.canvas)
        field = pipeline.model.field(pipeline.model.encode_pose(maps), pipeline.encode(source).style).explicit()
    assert found.points[0].weights.ravel() == pytest.approx(
        field[0, (30 // 8) * 6 + 17 // 8].numpy(), rel=1e-3, abs=1e-6
    )


def test_inspecting_one_point_equals_that_point_of_the_whole_inspection(place: Place):
    pipeline, source, pose = pipeline_of(), place.person("anna", 0), place.person("ben", 1)
    (whole,) = inspect_transfer(pipeline, source, pose, [(17, 30)]).points
    alone = inspect_point(pipeline, pipeline.encode(source), pose, 17, 30)
    assert alone.weights == pytest.approx(whole.weights, abs=1e-7)
    assert alone.entropy == pytest.approx(whole.entropy)
    assert alone.region_shares == pytest.approx(whole.region_shares)
    with pytest.raises(ScmError, match="outside"):
        inspect_point(pipeline, source, pose, 48, 30)


def test_each_arm_is_a_separate_part_and_specks_are_ignored(place: Place):
    pose = place.person("ben", 1)
    regions = pose.regions.copy()
    regions[18:30, 6:12] = regions[18:32, 38:44] = region_id("arms")
    regions[60:62, 2:4] = region_id("arms")
    found = inspect_transfer(pipeline_of(), place.person("anna", 0), replace(pose, regions=regions))
    arms = [part for part in found.parts if part.region == "arms"]
    assert [round(part.size * 64 * 48) for part in arms] == [84, 72]
    for part in arms:
        x, y = part.place
        assert regions[int(y), int(x)] == region_id("arms")
    assert "arms" not in found.right_shares  # the source shows none


def test_joints_without_a_region_map_use_the_moved_regions_and_have_no_accuracy(place: Place):
    found = inspect_transfer(pipeline_of(), place.person("anna", 0), Pose.of(place.person("ben", 1)))
    assert not found.regions_known
    assert found.region_accuracy is None
    assert np.array_equal(found.regions, found.result.moved_regions)


def test_feature_maps_exist_for_each_source_region_and_for_all_together(place: Place):
    pipeline, source = pipeline_of(carry_colours=True), place.person("anna", 0)
    maps = inspect_transfer(pipeline, source, source).features
    assert maps.decomposed
    assert set(maps.region_strengths) == {"background", "hair", "upper", "pants"}
    encoded = pipeline.encode(source)
    assert maps.strength == pytest.approx(encoded.style.features[0].abs().mean(0).numpy())
    upper = encoded.region_features[0, region_id("upper"), :4].abs().mean(0).numpy()
    assert maps.region_strengths["upper"] == pytest.approx(upper)
    assert maps.variation == pytest.approx(maps.strength.std() / maps.strength.mean())


def test_a_model_without_the_dse_is_compared_by_its_fused_features(place: Place):
    source = place.person("anna", 0)
    found = inspect_transfer(pipeline_of(), source, source, compare=pipeline_of(style="global"))
    assert found.compared is not None
    assert not found.compared.decomposed
    assert found.compared.region_strengths == {}
    assert found.compared.strength.shape == GRID
    assert not np.array_equal(found.compared.strength, found.features.strength)


@pytest.mark.parametrize("point", [(-1, 3), (48, 3), (3, 64)])
def test_a_point_outside_the_result_is_refused_with_the_valid_range(place: Place, point: tuple[int, int]):
    with pytest.raises(ScmError, match=r"x is 0-47, y 0-63"):
        inspect_transfer(pipeline_of(), place.person("anna", 0), place.person("ben", 1), [point])


def test_the_same_input_gives_the_same_picture(place: Place):
    first, second = (draw_inspection(uniform_inspection(place, points=[(9, 9)])) for _ in range(2))
    assert first.shape[1:] == (WIDTH, 3)
    assert np.array_equal(first, second)


def test_arrows_have_the_colour_of_their_region_and_cross_the_pose(place: Place, monkeypatch: pytest.MonkeyPatch):
    found = identity_inspection(place, monkeypatch)
    pose = slice(WIDTH * 2 // 7, WIDTH * 3 // 7)  # within the second of four columns
    with_arrows = draw_inspection(found)[100:500, pose]
    without = draw_inspection(replace(found, parts=()))[100:500, pose]
    drawn = {part.region for part in found.parts}
    assert drawn == {"hair", "upper", "pants"}
    for name, colour in zip(BODY_REGIONS, COLOURS, strict=True):
        added = near(with_arrows, colour) - near(without, colour)
        assert (added > 20) == (name in drawn)


def test_points_and_a_compared_model_get_their_own_panels(place: Place):
    source = place.person("anna", 0)
    plain = draw_inspection(inspect_transfer(pipeline_of(), source, source))
    pointed = draw_inspection(inspect_transfer(pipeline_of(), source, source, [(4, 4), (40, 40)]))
    compared = draw_inspection(inspect_transfer(pipeline_of(), source, source, compare=pipeline_of(style="global")))
    assert len(pointed) > len(plain) + 200
    assert (compared[-300:, -220:] != 255).any()
    assert (plain[-300:, -220:] == 255).all()


def test_a_model_without_the_dse_can_be_inspected(place: Place):
    source = place.person("anna", 0)
    found = inspect_transfer(pipeline_of(style="global"), source, place.person("ben", 1))
    assert found.features.region_strengths == {}
    assert draw_inspection(found).shape[1] == WIDTH


def test_the_command_writes_one_picture_and_its_numbers_and_prints_the_path(place: Place, scm: Scm):
    done = scm("inspect", "--src", "data/anna", "--pose", "data/ben", "--at", "20,30", "-m", "run", "-o", "seen")
    assert done.code == 0
    assert [str(path) for path in done.paths] == ["seen/anna_to_ben_inspect.png"]
    with Image.open(done.paths[0]) as picture:
        assert picture.width == WIDTH
        assert "Software" in picture.info
    report = done.report()
    assert report["inputs"]["at"] == [[20, 30]]
    assert report["regions_known"]
    assert 0 <= report["region_accuracy"] <= 1
    assert 0 < report["entropy_nats"] <= math.log(48)
    assert set(report["right_share"]) == {"background", "hair", "upper", "pants"}
    assert sum(report["points"][0]["region_shares"].values()) == pytest.approx(1, abs=1e-3)
    assert json.dumps(report)


def test_the_same_command_overwrites_its_picture_and_another_point_gets_a_numbered_file(place: Place, scm: Scm):
    command = ("inspect", "--data", "data", "--src", "anna", "--pose", "ben", "-m", "run")
    first, again, other = scm(*command), scm(*command), scm(*command, "--at", "1,1")
    assert first.paths == again.paths
    assert other.paths[0].name == "anna_to_ben_inspect_2.png"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "20;30"], "--at 20;30: expected a pixel of the result as X,Y"),
        (["--at", "20,99"], "--at 20,99: is outside the result"),
        (["--pose", "data"], "--pose data: matches 3 poses"),
        (["--compare", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_inspected_is_a_one_line_error(place: Place, scm: Scm, options: list[str], message: str):
    pose = [] if "--pose" in options else ["--pose", "data/ben"]
    done = scm("inspect", "--src", "data/anna", *pose, *options, "-m", "run")
    assert done.code == 2
    assert message in done.errors[0]
    assert not done.paths
