from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.checkpoint import load_model, save_model
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result, make_person
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import BODY_REGIONS, region_id
from scmnet_cli.types import Canvas, Person, Pose

HEIGHT, WIDTH = 64, 48
BOXES = {  # rows and columns
    "hair": (4, 10, 18, 30),
    "face": (10, 18, 20, 28),
    "upper": (18, 36, 14, 34),
    "arms": (20, 40, 8, 14),
    "pants": (36, 58, 16, 32),
    "skirt": (36, 48, 14, 34),
    "legs": (48, 60, 18, 30),
}
TROUSERED = ("hair", "face", "upper", "arms", "pants")
SKIRTED = ("hair", "face", "upper", "arms", "skirt", "legs")


def a_person(name: str, seed: int, parts: tuple[str, ...] = TROUSERED, shift: int = 0) -> Person:
    random = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH, 3), 230, dtype=np.uint8)
    regions = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for part in parts:
        top, bottom, left, right = BOXES[part]
        box = np.s_[top:bottom, left + shift : right + shift]
        image[box] = random.integers(0, 256, (bottom - top, right - left, 3))
        regions[box] = region_id(part)
    joints = np.ones((18, 3), dtype=np.float32)
    joints[:, 0] = np.linspace(14, 34, 18) + shift
    joints[:, 1] = random.permutation(np.linspace(6, 58, 18))
    return Person(name, image, regions, joints)


def save_tiny(path: Path, **settings: object) -> Path:
    config = parse_config({"model": {"size": "tiny", "height": HEIGHT, "width": WIDTH, **settings}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(path, build_generator(config.model).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("run") / "model.safetensors")


@pytest.fixture(scope="module")
def pipeline(model_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(model_path, "cpu")


ANNA, BEN, CLEO = a_person("anna", 1), a_person("ben", 2, shift=4), a_person("cleo", 3, SKIRTED)


def pixels(result: Result) -> np.ndarray:
    return np.asarray(result.image)


def test_a_transfer_has_the_models_canvas_and_the_moved_maps(pipeline: Pipeline) -> None:
    result = pipeline.transfer(ANNA, BEN)
    assert (result.source, result.pose) == ("anna", "ben")
    assert result.image.mode == "RGB"
    assert result.image.size == result.moved_source.size == (WIDTH, HEIGHT)
    assert result.moved_regions.shape == (HEIGHT, WIDTH)
    assert set(np.unique(result.moved_regions)) <= set(np.unique(ANNA.regions))
    assert np.array_equal(result.joints, BEN.joints)
    assert 0 <= result.entropy <= 1
    assert result.seconds > 0


def test_a_transfer_equals_the_networks_output(pipeline: Pipeline, model_path: Path) -> None:
    from scmnet_cli.regions import one_hot
    from scmnet_cli.skeleton import pose_maps

    saved = load_model(model_path)
    network = build_generator(saved.config.model).eval()
    network.load_state_dict(saved.state)
    image = torch.from_numpy(ANNA.image).permute(2, 0, 1)[None] / 127.5 - 1
    masks = one_hot(torch.from_numpy(ANNA.regions)[None])
    with torch.inference_mode():
        drawn = network(pose_maps(torch.from_numpy(BEN.joints)[None], Canvas(HEIGHT, WIDTH)), image, masks)
    expected = ((drawn.image[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    assert np.abs(pixels(pipeline.transfer(ANNA, BEN)) - expected).max() <= 0.51


def test_the_same_input_gives_the_same_bytes_after_reloading(pipeline: Pipeline, model_path: Path) -> None:
    first = pipeline.transfer(ANNA, BEN)
    again = Pipeline.from_pretrained(model_path.parent, "cpu").transfer(ANNA, BEN)
    assert first.image.tobytes() == pipeline.transfer(ANNA, BEN).image.tobytes() == again.image.tobytes()


def test_loading_a_model_does_not_change_the_global_random_state(model_path: Path) -> None:
    before = torch.random.get_rng_state()
    Pipeline.from_pretrained(model_path, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_pose_and_another_source_give_another_picture(pipeline: Pipeline) -> None:
    result = pipeline.transfer(ANNA, BEN)
    assert result.image.tobytes() != pipeline.transfer(ANNA, CLEO).image.tobytes()
    assert result.image.tobytes() != pipeline.transfer(CLEO, BEN).image.tobytes()


def test_a_person_and_their_bare_joints_are_the_same_pose(pipeline: Pipeline) -> None:
    assert pipeline.transfer(ANNA, BEN).image.tobytes() == pipeline.transfer(ANNA, Pose.of(BEN)).image.tobytes()


def test_a_sources_style_is_encoded_once_for_all_poses(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    encode = pipeline.model.encode_regions

    def counting(image: Tensor, masks: Tensor) -> Tensor:
        read.append(len(image))
        return encode(image, masks)

    monkeypatch.setattr(pipeline.model, "encode_regions", counting)
    results = list(pipeline.transfer_many(ANNA, [ANNA, BEN, CLEO], batch=2))
    assert [result.pose for result in results] == ["anna", "ben", "cleo"]
    encoded = pipeline.encode(ANNA)
    pipeline.transfer(encoded, BEN)
    pipeline.transfer(encoded, CLEO)
    assert read == [1, 1]


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_a_batch_of_poses_equals_single_transfers(pipeline: Pipeline, batch: int) -> None:
    poses = [ANNA, BEN, CLEO]
    for single, batched in zip(
        pipeline.transfer_many(ANNA, poses), pipeline.transfer_many(ANNA, poses, batch=batch), strict=True
    ):
        assert single.pose == batched.pose
        assert np.abs(pixels(single).astype(int) - pixels(batched)).max() <= 1
        assert (single.moved_regions == batched.moved_regions).mean() > 0.99
        assert single.entropy == pytest.approx(batched.entropy, abs=1e-4)


def test_poses_are_read_lazily(pipeline: Pipeline) -> None:
    asked = []

    def poses() -> Iterator[Person]:
        for person in (ANNA, BEN, CLEO):
            asked.append(person.name)
            yield person

    results = pipeline.transfer_many(ANNA, poses())
    assert asked == []
    next(results)
    assert asked == ["anna"]


def test_the_colour_of_a_region_moves_with_the_field(pipeline: Pipeline) -> None:
    image, regions = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), region_id("upper"), np.uint8)
    image[:] = (200, 40, 90)
    result = pipeline.transfer(Person("red", image, regions, ANNA.joints), BEN)
    assert set(np.unique(result.moved_regions)) == {region_id("upper")}
    assert np.abs(np.asarray(result.moved_source).astype(int) - (200, 40, 90)).max() <= 1


def test_a_person_of_twice_the_size_gives_the_same_result(pipeline: Pipeline) -> None:
    def doubled(person: Person) -> Person:
        joints = person.joints * np.array([2, 2, 1], dtype=np.float32)
        return Person(
            person.name, person.image.repeat(2, 0).repeat(2, 1), person.regions.repeat(2, 0).repeat(2, 1), joints
        )

    small, large = pipeline.encode(ANNA), pipeline.encode(doubled(ANNA))
    assert large.person.canvas == pipeline.canvas
    assert np.array_equal(small.person.regions, large.person.regions)
    posed = pipeline.transfer(small, BEN)
    assert np.array_equal(posed.joints, pipeline.transfer(small, doubled(BEN)).joints)
    assert posed.image.tobytes() == pipeline.transfer(small, Pose.of(doubled(BEN))).image.tobytes()


def test_another_aspect_is_refused_with_the_canvas_to_prepare_for(pipeline: Pipeline) -> None:
    square = Person("wide", np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.uint8), ANNA.joints)
    for use in (lambda: pipeline.encode(square), lambda: pipeline.transfer(ANNA, Pose.of(square))):
        with pytest.raises(ScmError, match=r"wide: .*64x64.*64x48"):
            use()


def test_a_pose_without_joints_and_a_source_without_a_person_are_errors(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match=r"^ghost: has no joint"):
        pipeline.transfer(ANNA, Pose("ghost", np.zeros((18, 3), np.float32), pipeline.canvas))
    with pytest.raises(ScmError, match=r"^nobody: .*all background"):
        pipeline.encode(replace(ANNA, name="nobody", regions=np.zeros_like(ANNA.regions)))


def test_a_source_needs_no_joints(pipeline: Pipeline) -> None:
    blind = replace(ANNA, joints=np.zeros_like(ANNA.joints))
    assert pipeline.transfer(blind, BEN).image.tobytes() == pipeline.transfer(ANNA, BEN).image.tobytes()


def test_an_unavailable_device_is_a_one_line_error(model_path: Path) -> None:
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ScmError, match=f"--device {device}: .*try cpu"):
            Pipeline.from_pretrained(model_path, device)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
    other = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, "ccf": False}}, "test")
    save_model(tmp_path / "m", build_generator(other.model).state_dict(), config)
    with pytest.raises(ScmError, match=r"does not fit.*lacks ccf"):
        Pipeline.from_pretrained(tmp_path / "m")


def test_a_batch_size_of_zero_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match="batch 0"):
        next(pipeline.transfer_many(ANNA, [BEN], batch=0))


# Editing


def test_exchanging_regions_with_oneself_changes_nothing(pipeline: Pipeline) -> None:
    plain, encoded = pipeline.transfer(CLEO, CLEO), pipeline.encode(CLEO)
    for names in (["hair"], ["skirt", "upper"], ["background"], sorted({*SKIRTED, "background"})):
        same = pipeline.exchange(encoded, dict.fromkeys(names, CLEO))
        assert torch.equal(same.style.packed(), encoded.style.packed())
        assert np.array_equal(same.person.image, CLEO.image)
        assert np.array_equal(same.person.regions, CLEO.regions)
        assert same.removed == ()
        assert pipeline.edit(CLEO, dict.fromkeys(names, CLEO)).image.tobytes() == plain.image.tobytes()


def test_an_edit_replaces_the_features_of_its_region_and_no_others(pipeline: Pipeline) -> None:
    anna, ben = pipeline.encode(ANNA), pipeline.encode(BEN)
    edited = pipeline.exchange(anna, {"upper": ben})
    for i, name in enumerate(BODY_REGIONS):
        origin = ben if name == "upper" else anna
        assert torch.equal(edited.region_features[:, i], origin.region_features[:, i])
    assert not torch.equal(anna.region_features, ben.region_features)
    assert pipeline.edit(anna, {"upper": ben}).image.tobytes() != pipeline.transfer(anna, ANNA).image.tobytes()


def test_other_regions_of_the_reference_do_not_matter(pipeline: Pipeline) -> None:
    image = BEN.image.copy()
    image[BEN.regions != region_id("upper")] = 7
    other = replace(BEN, image=image)
    assert pipeline.edit(ANNA, {"upper": BEN}).image.tobytes() == pipeline.edit(ANNA, {"upper": other}).image.tobytes()


def test_several_regions_are_exchanged_with_several_references(pipeline: Pipeline) -> None:
    anna, ben, cleo = (pipeline.encode(person) for person in (ANNA, BEN, CLEO))
    at_once = pipeline.exchange(anna, {"upper": ben, "hair": cleo})
    in_turn = pipeline.exchange(pipeline.exchange(anna, {"hair": cleo}), {"upper": ben})
    assert torch.equal(at_once.region_features, in_turn.region_features)
    assert torch.equal(at_once.region_features[:, region_id("hair")], cleo.region_features[:, region_id("hair")])


def test_an_edit_keeps_the_sources_pose_unless_another_is_given(pipeline: Pipeline) -> None:
    assert np.array_equal(pipeline.edit(ANNA, {"upper": BEN}).joints, ANNA.joints)
    result = pipeline.edit(ANNA, {"upper": BEN}, pose=CLEO)
    assert (result.source, result.pose) == ("anna", "cleo")
    assert np.array_equal(result.joints, CLEO.joints)


def test_an_edited_source_is_transferred_to_many_poses(pipeline: Pipeline) -> None:
    edited = pipeline.exchange(ANNA, {"upper": BEN})
    assert isinstance(edited, EncodedSource)
    drawn = [result.image.tobytes() for result in pipeline.transfer_many(edited, [BEN, CLEO])]
    assert drawn == [pipeline.edit(ANNA, {"upper": BEN}, pose).image.tobytes() for pose in (BEN, CLEO)]


def test_the_edited_person_shows_the_references_region(pipeline: Pipeline) -> None:
    person = pipeline.exchange(ANNA, {"upper": BEN}).person
    worn = BEN.regions == region_id("upper")
    assert np.array_equal(person.regions == region_id("upper"), worn)
    assert np.array_equal(person.image[worn], BEN.image[worn])
    left = (ANNA.regions == region_id("upper")) & ~worn
    assert left.any()
    assert (person.image[left] == 230).all()
    assert (person.regions[left] == region_id("background")).all()


def test_a_references_background_stays_behind_the_person(pipeline: Pipeline) -> None:
    street = replace(BEN, image=np.where(BEN.regions[..., None] == 0, np.uint8(99), BEN.image))
    person = pipeline.exchange(ANNA, {"background": street}).person
    assert np.array_equal(person.regions, ANNA.regions)
    assert np.array_equal(person.image[ANNA.regions > 0], ANNA.image[ANNA.regions > 0])
    both = (ANNA.regions == 0) & (BEN.regions == 0)
    assert (person.image[both] == 99).all()


def test_a_skirt_replaces_pants_and_pants_replace_a_skirt(pipeline: Pipeline) -> None:
    anna, cleo = pipeline.encode(ANNA), pipeline.encode(CLEO)
    skirted = pipeline.exchange(anna, {"skirt": cleo})
    assert skirted.removed == ("pants",)
    assert not skirted.region_features[:, region_id("pants")].any()
    assert region_id("pants") not in skirted.person.regions
    assert pipeline.exchange(cleo, {"pants": anna}).removed == ("skirt",)


def test_pants_and_skirt_are_both_kept_if_the_edit_names_both_or_the_source_wears_both(pipeline: Pipeline) -> None:
    assert pipeline.exchange(ANNA, {"skirt": CLEO, "pants": BEN}).removed == ()
    both = a_person("both", 4, ("upper", "pants", "skirt"))
    assert pipeline.exchange(both, {"skirt": CLEO}).removed == ()


def test_a_region_that_the_source_lacks_is_added(pipeline: Pipeline) -> None:
    bald = a_person("bald", 5, ("face", "upper", "pants"))
    edited = pipeline.exchange(bald, {"hair": ANNA})
    assert region_id("hair") in edited.person.regions
    assert edited.region_features[:, region_id("hair")].any()


def test_a_region_that_the_reference_lacks_is_an_error_that_lists_its_regions(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match=r"^ben: has no region 'skirt' to take; it has background, pants, hair, face"):
        pipeline.edit(ANNA, {"skirt": BEN})


def test_an_unknown_region_is_an_error_that_suggests_the_nearest(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match=r"'pant' is not one of.*did you mean 'pants'"):
        pipeline.edit(ANNA, {"pant": BEN})
    with pytest.raises(ScmError, match="no region is given"):
        pipeline.edit(ANNA, {})


def test_a_model_without_regions_transfers_but_refuses_to_edit(tmp_path: Path) -> None:
    pipeline = Pipeline.from_pretrained(save_tiny(tmp_path / "global.safetensors", style="global"), "cpu")
    assert pipeline.transfer(ANNA, BEN).image.size == (WIDTH, HEIGHT)
    with pytest.raises(ScmError, match=r"style: global.*cannot edit"):
        pipeline.edit(ANNA, {"upper": BEN})


# make_person


def test_make_person_combines_image_map_and_joints() -> None:
    made = make_person(Image.fromarray(ANNA.image), Image.fromarray(ANNA.regions), ANNA.joints.tolist(), "anna")
    assert made.name == "anna"
    assert np.array_equal(made.image, ANNA.image)
    assert np.array_equal(made.regions, ANNA.regions)
    assert np.array_equal(made.joints, ANNA.joints)


def test_a_palette_map_is_read_by_index_and_a_grey_picture_as_rgb() -> None:
    regions = Image.fromarray(ANNA.regions)
    regions.putpalette([value for index in range(256) for value in (255 - index, 0, 0)])
    made = make_person(Image.fromarray(ANNA.image[..., 0]), regions, ANNA.joints)
    assert np.array_equal(made.regions, ANNA.regions)
    assert made.image.shape == (HEIGHT, WIDTH, 3)


def test_a_missing_joint_may_have_any_coordinates() -> None:
    joints = ANNA.joints.copy()
    joints[3] = (np.nan, -1, 0)
    joints[4] = (5, 5, np.nan)
    made = make_person(Image.fromarray(ANNA.image), ANNA.regions, joints)
    assert (made.joints[3:5] == 0).all()
    assert np.array_equal(made.joints[5:], ANNA.joints[5:])


@pytest.mark.parametrize(
    ("regions", "joints", "says"),
    [
        (ANNA.regions[:-1], ANNA.joints, r"region map is \(63, 48\), the image \(64, 48\)"),
        (ANNA.regions + 5, ANNA.joints, "ids 0 to 7"),
        (ANNA.regions / 2, ANNA.joints, "ids 0 to 7"),
        (ANNA.image, ANNA.joints, r"region map is \(64, 48, 3\)"),
        (ANNA.regions, ANNA.joints[:17], r"joints have shape \(17, 3\)"),
        (ANNA.regions, ANNA.joints[:, :2], r"joints have shape \(18, 2\)"),
        (ANNA.regions, ANNA.joints + np.float32("inf"), "not finite"),
    ],
)
def test_make_person_refuses_invalid_input_in_one_line(regions: np.ndarray, joints: np.ndarray, says: str) -> None:
    with pytest.raises(ScmError, match=says):
        make_person(Image.fromarray(ANNA.image), regions, joints, "anna")
