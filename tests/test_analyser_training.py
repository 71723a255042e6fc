"""Views of training photos and the training of the analyser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from test_analyser import SMALL, a_net, analysis_of

from scmnet_cli.analyser.analysis import BEYOND
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.subjects import PEOPLE
from scmnet_cli.analyser.training.lighting import in_garment_colour, with_shadow
from scmnet_cli.analyser.training.loop import AnalyserRun, save_weights
from scmnet_cli.analyser.training.losses import ViewBatch, losses
from scmnet_cli.analyser.training.photos import Material, pseudo_labels
from scmnet_cli.analyser.training.settings import AnalyserConfig, FaceParserConfig, parse_analyser_config
from scmnet_cli.analyser.training.views import CARRIED, TrainingPhoto, Views, plain_view, training_photo
from scmnet_cli.analyser.windows import Window
from scmnet_cli.checkpoint import load_tensors
from scmnet_cli.cli.analyser import _TRAIN_HELP
from scmnet_cli.errors import ScmError
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import Person


def photo_of(person: Person) -> TrainingPhoto:
    return training_photo(person.image, person.regions, person.joints)


@pytest.fixture(scope="module")
def photos() -> list[TrainingPhoto]:
    return [photo_of(draw_person(seed)) for seed in range(3)]


# views


def test_a_view_depends_only_on_seed_and_index(photos: list[TrainingPhoto]) -> None:
    first, second, other = (Views(photos, [], SMALL, seed) for seed in (0, 0, 1))
    second.view(5)
    assert np.array_equal(first.view(9).image, second.view(9).image)
    assert not np.array_equal(first.view(9).image, other.view(9).image)


def test_each_epoch_shows_each_photo_once(photos: list[TrainingPhoto]) -> None:
    seen: list[int] = []

    class Watched(list[TrainingPhoto]):
        def __getitem__(self, place):  # type: ignore[no-untyped-def]
            seen.append(place)
            return super().__getitem__(place)

    views = Views(Watched(photos), [], SMALL, 0)
    for number in range(6):
        views.view(number)
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]


@pytest.mark.parametrize("mirrored", [False, True])
def test_joints_stay_on_their_mark_when_the_window_rotates(mirrored: bool) -> None:
    image = np.zeros((200, 140, 3), np.uint8)
    image[97:104, 57:64] = 255
    joints = np.zeros((18, 3), np.float32)
    joints[2] = (60, 100, 1)
    photo = training_photo(image, None, np.concatenate([joints[:17], [[20, 180, 1]]]).astype(np.float32))
    window = Window(70, 110, 150, 1.1, 0.3, mirrored)
    seen = np.asarray(window.look(photo.levels, SMALL)).mean(-1)
    rows, columns = np.nonzero(seen > 128)
    joint = window.joints(photo.joints, SMALL, MIRRORED)[MIRRORED[2] if mirrored else 2]
    assert joint[2] == 1
    assert joint[:2] == pytest.approx((columns.mean(), rows.mean()), abs=0.7)


def test_joints_outside_the_window_are_dropped(photos: list[TrainingPhoto]) -> None:
    left, top, right, bottom = photos[0].box
    window = Window((left + right) / 2, top + 0.15 * (bottom - top), 0.3 * (bottom - top), 1, 0, False)
    joints = window.joints(photos[0].joints, SMALL, MIRRORED)
    lost = joints[:, 2] == 0
    assert 0 < lost.sum() < 18
    assert (joints[lost] == 0).all()
    assert ((joints[~lost, :2] > -0.5) & (joints[~lost, :2] < 63.5)).all()


def test_a_cropped_photo_keeps_its_labels_and_joints_in_place(photos: list[TrainingPhoto]) -> None:
    photo = photos[0]
    left, top, right, bottom = photo.box
    edge = 2 * round((top + 0.55 * (bottom - top)) / 2)
    cut = photo.cropped((10, 4, photo.levels[0].width, edge))
    assert photo.labels is not None
    assert cut.labels is not None
    assert np.array_equal(np.asarray(cut.labels), np.asarray(photo.labels)[4:edge, 10:])
    assert cut.box == pytest.approx((left - 10, top - 4, right - 10, edge - 4), abs=20)
    assert cut.box[3] == edge - 4
    kept = cut.joints[:, 2] > 0
    assert 0 < kept.sum() < (photo.joints[:, 2] > 0).sum()
    np.testing.assert_allclose(cut.joints[kept, :2], photo.joints[kept, :2] - (10, 4))
    assert not cut.joints[~kept].any()


def test_a_cropped_photo_without_labels_clips_its_box(photos: list[TrainingPhoto]) -> None:
    photo = replace(photos[0], labels=None, box=(20.0, 30.0, 90.0, 500.0))
    assert photo.cropped((40, 0, 200, 300)).box == (0, 30, 50, 300)


def test_views_are_padded_with_the_grey_that_the_analyser_uses(photos: list[TrainingPhoto]) -> None:
    views = [view for view in map(Views(photos, [], SMALL, 0).view, range(60)) if view.person == 1]
    grey = [(view.image == BEYOND).all(-1) for view in views]
    bordered = [(view, mask) for view, mask in zip(views, grey, strict=True) if mask.mean() > 0.1]
    assert len(bordered) > 5
    for view, mask in bordered:
        assert (view.labels[mask[1::2, 1::2]] == 0).mean() > 0.95


def test_a_view_beside_a_person_is_empty_unless_it_overlaps_the_person() -> None:
    person = draw_person(4)
    photo = photo_of(person)
    assert photo.labels is not None
    height = photo.levels[0].height
    left, _, right, _ = (round(edge) for edge in photo.box)
    beside, across = (replace(photo, empty=((0, 0, end, height),)) for end in (max(left - 12, 12), right))
    for source, expected in ((beside, {0, -1}), (across, {-1, 0})):
        views = Views([source], [], SMALL, 0)
        found = [views._beside_person(np.random.default_rng(seed)) for seed in range(20)]
        assert {view.person for view in found} <= expected
        for view in found:
            assert (view.person == 0) == (np.mean(view.labels > 0) < 0.01)


def test_joints_of_a_view_lie_on_labelled_pixels(photos: list[TrainingPhoto]) -> None:
    view = plain_view(photos[0], SMALL)
    inside = view.joints[view.joints[:, 2] > 0, :2].astype(int) // 2
    assert np.mean([view.labels[y, x] > 0 for x, y in inside]) > 0.8


def test_a_view_without_a_person_has_no_region_and_no_joint(photos: list[TrainingPhoto]) -> None:
    views = Views(photos, [], SMALL, 0)
    empty = [view for view in map(views.view, range(40)) if view.person == 0]
    assert empty
    for view in empty:
        assert not view.labels.any()
        assert not view.joints.any()


def test_a_photo_without_a_region_map_trains_joints_only() -> None:
    person = draw_person(3)
    views = Views([training_photo(person.image, None, person.joints)], [], SMALL, 0)
    batch = ViewBatch.of([views.view(number) for number in range(4)])
    assert (batch.labels == 255).any()
    net = a_net()
    unknown = ViewBatch(batch.image, torch.full_like(batch.labels, 255), batch.joints, batch.person)
    with torch.no_grad():
        terms = losses(net(batch.image), unknown, torch.ones(8))
    assert float(terms["regions"]) == 0
    assert float(terms["heat"]) > 0
    assert all(bool(term.isfinite()) for term in terms.values())


def test_bags_are_labelled_but_do_not_widen_the_box_of_the_person() -> None:
    person = draw_person(1)
    labels = person.regions.copy()
    labels[-20:-10, :20] = CARRIED
    photo, without = training_photo(person.image, labels, person.joints), photo_of(person)
    assert photo.box == without.box
    assert CARRIED in np.asarray(photo.labels)
    assert not (plain_view(photo, SMALL).labels == CARRIED).any()  # validation knows regions alone


def test_a_shadow_darkens_the_background_alone() -> None:
    person = draw_person(1)
    mask = person.regions > 0
    pixels = np.where(mask[..., None], person.image, np.uint8(200))
    for seed in range(6):
        shaded = np.asarray(with_shadow(Image.fromarray(pixels), mask, np.random.default_rng(seed)))
        assert np.array_equal(shaded[mask], pixels[mask])
        assert (shaded <= pixels).all()
        assert (shaded[~mask] < 190).any(), seed
    nobody = with_shadow(Image.fromarray(pixels), np.zeros_like(mask), np.random.default_rng(0))
    assert np.array_equal(np.asarray(nobody), pixels)


def test_a_camouflaged_background_has_a_garments_mean_colour() -> None:
    person = draw_person(1)
    ground = Image.fromarray(np.random.default_rng(0).integers(0, 100, person.image.shape, dtype=np.uint8))
    random = np.random.default_rng(0)
    changed = np.asarray(in_garment_colour(ground, Image.fromarray(person.image), person.regions, random))
    worn = [region_id(name) for name in ("upper", "pants", "skirt")]
    colours = [person.image[person.regions == region].mean(0) for region in worn if region in person.regions]
    left = [
        np.abs(changed.mean((0, 1)) - colour).sum() / np.abs(np.asarray(ground).mean((0, 1)) - colour).sum()
        for colour in colours
    ]
    assert min(left) < 0.45
    nothing_worn = in_garment_colour(ground, ground, np.zeros_like(person.regions), np.random.default_rng(0))
    assert np.array_equal(np.asarray(nothing_worn), np.asarray(ground))


# training

TINY = AnalyserConfig(
    images=6, batch=2, height=64, width=64, save_every=2, measure_every=6, precision="float32", warmup=2
)


def material(photos: list[TrainingPhoto]) -> Material:
    return Material(photos, [], photos[:1], [], "three")


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(photos: list[TrainingPhoto], tmp_path: Path) -> None:
    whole = AnalyserRun(material(photos), tmp_path / "a", TINY, pretrained=False)
    whole.train()
    part = AnalyserRun(material(photos), tmp_path / "b", TINY, pretrained=False)

    class KilledError(Exception):
        pass

    def kill(report: object) -> None:
        if part.images == 4:
            raise KilledError

    with pytest.raises(KilledError):
        part.train(kill)
    again = AnalyserRun(material(photos), tmp_path / "b", TINY, pretrained=False)
    assert again.images == 2  # what the last saved state holds
    again.train()
    for (name, a), b in zip(whole.average.module.state_dict().items(), again.average.module.state_dict().values(),
                            strict=True):  # fmt: skip
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4, msg=name)


def test_a_run_resumes_with_more_views_but_not_with_another_seed(photos: list[TrainingPhoto], tmp_path: Path) -> None:
    short = TINY.model_copy(update={"images": 2})
    AnalyserRun(material(photos), tmp_path, short, pretrained=False).train()
    assert AnalyserRun(material(photos), tmp_path, TINY, pretrained=False).images == 2
    with pytest.raises(ScmError, match="other settings, seed or photos"):
        AnalyserRun(material(photos), tmp_path, TINY, seed=1, pretrained=False)


def test_other_regions_can_be_trained_and_the_header_names_the_kind(
    photos: list[TrainingPhoto], tmp_path: Path
) -> None:
    two = [replace(photo, labels=photo.labels and photo.labels.point([min(id_, 1) for id_ in range(256)]))
           for photo in photos]  # fmt: skip
    faces = Material(
        two,
        [],
        two[:1],
        [],
        "three",
        replace(PEOPLE, regions=("ground", "person"), carried=False),
        about={"kind": "scm faces"},
    )
    outcome = AnalyserRun(faces, tmp_path, TINY.model_copy(update={"images": 2}), pretrained=False).train()
    tensors, about = load_tensors(outcome.model)
    assert tensors["regions.weight"].shape[0] == 2
    assert about == {"kind": "scm faces", "images": "2"}


def test_the_help_names_every_setting_with_its_default() -> None:
    people, faces = _TRAIN_HELP.split("defaults:")[1].split("With --domain face:")
    said = [dict(item.split("=") for item in part.split("\b")[0].split()) for part in (people, faces)]
    of_people, of_faces = (config().model_dump() for config in (AnalyserConfig, FaceParserConfig))
    assert said[0] == {name: str(value) for name, value in of_people.items()}
    assert said[1] == {name: str(value) for name, value in of_faces.items() if value != of_people[name]}


def test_settings_are_checked() -> None:
    assert parse_analyser_config(["images=12", "precision=float32"]).images == 12
    with pytest.raises(ScmError, match="did you mean 'images'"):
        parse_analyser_config(["image=12"])
    with pytest.raises(ScmError, match="height=30"):
        parse_analyser_config(["height=30"])


def test_pseudo_labels_mark_uncertain_pixels_as_unknown() -> None:
    person = draw_person(1)
    exact = analysis_of(person)
    unsure = exact.probabilities.copy()
    unsure[:, :50] = 1 / 8
    labels = pseudo_labels(cast(Analyser, lambda _: replace(exact, probabilities=unsure)), person.image)
    assert labels is not None
    assert (labels[:48] == 255).all()
    assert np.array_equal(labels[52:], person.regions[52:])
    nobody = cast(Analyser, lambda _: replace(exact, person=0.1))
    assert pseudo_labels(nobody, person.image) is None


def test_a_run_starts_from_given_weights(photos: list[TrainingPhoto], tmp_path: Path) -> None:
    net = a_net(seed=3)
    save_weights(tmp_path / "a.safetensors", net, {"kind": PEOPLE.kind})
    run = AnalyserRun(material(photos), tmp_path / "run", TINY, pretrained=False, init=tmp_path / "a.safetensors")
    for started in (run.net, run.average.module):
        torch.testing.assert_close(started.heat.weight, net.heat.weight.half().float(), atol=0, rtol=0)
