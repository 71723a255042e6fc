"""``--no-mirrored-limbs``: only what the photo shows of arms and legs is drawn."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from test_app import photo as uploaded
from test_app import pipeline_of, studio_of
from test_export import a_model
from test_extremities import HEIGHT, STANDING, WIDTH, standing
from test_unseen_legs import WALKING, dressed
from test_unseen_limbs import LEFT, SHORT, joints_with, photo
from torch import Tensor

from scmnet_cli.app import session as steps
from scmnet_cli.errors import ScmError
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.drawing_model import DrawingModel
from scmnet_cli.inference.exports.export import export_onnx
from scmnet_cli.inference.exports.exported import ExportedModel
from scmnet_cli.inference.inputs.demo_people import demo_people
from scmnet_cli.inference.inspection import inspect_point
from scmnet_cli.inference.pipeline import Pipeline, make_person
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, Person, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm

ELBOW, WRIST = JOINTS.index("right_elbow"), JOINTS.index("right_wrist")
CANVAS = Canvas(HEIGHT, WIDTH)
TO = Pose("standing", standing()[0].numpy(), CANVAS)


def person(joints: Tensor, **about: tuple[str, ...]) -> Person:
    return person_of(*photo(joints, **about), joints)


def person_of(image: Tensor, masks: Tensor, joints: Tensor) -> Person:
    labels = masks[0].argmax(0).numpy().astype(np.uint8)
    return make_person(Image.fromarray(to_uint8(image[0])), labels, joints[0].numpy(), "anna")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return pipeline_of(height=HEIGHT, width=WIDTH, part_warp=True)


SHORT_ARM = person(joints_with(**SHORT))
ONE_ARM = person(standing("right_elbow", "right_wrist"), without=("right",))


def test_an_arm_that_hardly_shows_keeps_the_photos_own_pixels(pipeline: Pipeline) -> None:
    x, y = STANDING["right_wrist"]
    encoded = pipeline.encode(SHORT_ARM)
    for drawing, mirrored in ((pipeline, True), (pipeline.without_mirrored_limbs(), False), (pipeline, True)):
        warp = drawing.warp(drawing.structure(encoded, [TO]), drawing.photo(encoded))
        assert warp is not None
        assert (abs(float(warp.image[0, 0, y, x]) - LEFT) < 0.05) == mirrored


@pytest.mark.parametrize(
    ("source", "left_out"),
    [
        (ONE_ARM, {ELBOW, WRIST}),
        (person(standing(), without=("right",)), {WRIST}),
        (person(standing("right_wrist")), {WRIST}),
        (SHORT_ARM, set()),
        (person(standing()), set()),
        (person(standing("right_wrist", "left_wrist")), set()),
    ],
    ids=["one arm", "not in the map", "unknown wrist", "points at the camera", "both arms", "no arm"],
)
def test_an_arm_that_the_photo_lacks_is_left_out_of_the_pose(
    pipeline: Pipeline, source: Person, left_out: set[int]
) -> None:
    encoded = pipeline.encode(source)
    assert torch.equal(pipeline.structure(encoded, [TO])[0], torch.from_numpy(TO.joints))
    structure = pipeline.without_mirrored_limbs().structure(encoded, [TO, TO])
    assert structure.shape == (2, 18, 3)
    expected = torch.from_numpy(TO.joints).clone()
    expected[sorted(left_out)] = 0
    assert torch.equal(structure, expected.expand(2, -1, -1))


def test_one_of_several_photos_that_shows_the_arm_is_enough(pipeline: Pipeline) -> None:
    drawing = pipeline.without_mirrored_limbs()
    for second, scores in ((person(standing()), 1), (ONE_ARM, 0)):
        encoded = drawing.encode_photos([ONE_ARM, second])
        assert drawing.structure(encoded, [TO])[0, [ELBOW, WRIST], 2].tolist() == [scores] * 2


def test_the_same_encoded_person_is_drawn_with_and_without(pipeline: Pipeline) -> None:
    encoded = pipeline.encode(SHORT_ARM)
    pictures = [
        np.asarray(drawing.transfer(encoded, TO).image)
        for drawing in (pipeline, pipeline.without_mirrored_limbs(), pipeline)
    ]
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])
    unaffected = pipeline.encode(person(standing()))
    first, second = (drawing.transfer(unaffected, TO) for drawing in (pipeline, pipeline.without_mirrored_limbs()))
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image)), "both arms show"


def test_a_personal_model_and_the_inspection_keep_the_choice(pipeline: Pipeline) -> None:
    drawing = pipeline.without_mirrored_limbs()
    assert not drawing.with_difference({}).mirrored_limbs
    encoded = pipeline.encode(ONE_ARM)
    x, y = STANDING["right_wrist"]
    rows = [inspect_point(model, encoded, TO, x, y).weights for model in (pipeline, drawing)]
    assert not np.array_equal(*rows)


def test_loading_takes_the_option_and_a_model_without_part_warp_refuses_it(tmp_path: Path, place: Place) -> None:
    run = a_model(tmp_path / "warping", part_warp=True)
    assert Pipeline.from_pretrained(run, "cpu").mirrored_limbs
    assert not Pipeline.from_pretrained(run, "cpu", mirrored_limbs=False).mirrored_limbs
    with pytest.raises(ScmError, match=r"--no-mirrored-limbs: .* has no part warp and mirrors no limb"):
        Pipeline.from_pretrained(place.model, "cpu", mirrored_limbs=False)


@pytest.mark.slow
def test_an_exported_model_draws_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    run = a_model(tmp_path / "run", height=HEIGHT // 2, width=WIDTH // 2, part_warp=True)
    export_onnx(run, tmp_path / "onnx")
    model, exported = Pipeline.from_pretrained(run, "cpu"), ExportedModel.from_exported(tmp_path / "onnx")

    def levels(drawing: DrawingModel, source: Person, pose: Pose, size: Canvas) -> np.ndarray:
        return np.asarray(drawing.transfer(source, pose, size).image, int)

    image, masks = dressed(standing(), (("right", "knee"),))
    lost_leg = person_of(image, masks, standing())
    walking = Pose("walking", WALKING[0].numpy(), CANVAS)
    for source, pose in ((SHORT_ARM, TO), (ONE_ARM, TO), (lost_leg, walking)):
        for size in (model.canvas, CANVAS):
            mirrored, expected = (levels(it, source, pose, size) for it in (model, model.without_mirrored_limbs()))
            assert abs(expected - levels(exported.without_mirrored_limbs(), source, pose, size)).max() <= 1
            assert abs(mirrored - levels(exported, source, pose, size)).max() <= 1
            assert abs(mirrored - expected).max() > 1


@pytest.fixture
def files(place: Place) -> Path:
    """A photo of a person with a short arm, its maps, and a model with part warp."""
    a_model(place.path / "warping", height=HEIGHT // 2, width=WIDTH // 2, part_warp=True)
    Image.fromarray(SHORT_ARM.image).save("anna.png")
    Image.fromarray(SHORT_ARM.regions).save("anna.regions.png")
    Path("anna.joints.json").write_text(json.dumps(SHORT_ARM.joints.tolist()))
    return place.path


def test_the_command_draws_without_and_reports_it(files: Path, scm: Scm) -> None:
    reports, pictures = [], []
    for given in ((), ("--no-mirrored-limbs",)):
        done = scm("transfer", "anna.png", "arms-open", "-m", "warping", "--skip-existing", *given)
        reports.append(done.report()["options"])
        pictures.append(np.asarray(Image.open(done.paths[0])))
    assert [report.get("no_mirrored_limbs") for report in reports] == [None, True]
    assert not np.array_equal(*pictures), "--skip-existing takes the option into account"


@pytest.mark.parametrize(
    "command",
    [
        ("transfer", "data/anna", "walking"),
        ("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben"),
        ("inspect", "--src", "data/anna", "--pose", "data/ben"),
        ("demo", "data/anna.png", "--no-open"),
        ("personalize", "data/anna", "-o", "anna.safetensors"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_moves_people_has_the_option(place: Place, scm: Scm, command: tuple[str, ...]) -> None:
    """The model of this test mirrors no limb, and each command says so."""
    done = scm(*command, "-m", "run", "--no-mirrored-limbs")
    assert done.code == 2
    (line,) = done.errors
    assert "mirrors no limb; leave --no-mirrored-limbs out" in line


def test_a_visitor_of_the_page_chooses(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="needs the extra app")
    from scmnet_cli.app import stages

    studio = studio_of(pipeline_of(part_warp=True))
    before = steps.draw(studio, steps.read_photo(studio, steps.start(studio), uploaded("me")))
    after = steps.draw(studio, steps.set_mirrored_limbs(before, mirrored=False))
    assert before.drawn is not None
    assert after.drawn is not None
    assert (before.drawn.pipeline.mirrored_limbs, after.drawn.pipeline.mirrored_limbs) == (True, False)
    assert studio.pipeline.mirrored_limbs, "the model of all visitors stays as it is"
    learned = steps.draw(studio, dataclasses.replace(after, personal=studio.pipeline.with_difference({})))
    assert learned.drawn is not None
    assert not learned.drawn.pipeline.mirrored_limbs
    assert [stages.shown(before, each)[3]["mirrored_limbs"] for each in (after, learned)] == [False, False]
    used: list[bool] = []
    monkeypatch.setattr(Pipeline, "structure", lambda self, *_: used.append(self.mirrored_limbs) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        steps.trace(studio, after, 0.5, 0.5)
    assert used == [False], "the origin of a point is that of the picture"


def test_the_checkbox_of_the_page_draws_anew(tmp_path: Path) -> None:
    from test_app_page import RESULT, browser_on, start, stop

    pytest.importorskip("gradio", reason="needs the extra app")
    server = start(a_model(tmp_path / "model", part_warp=True), tmp_path / "tmp")
    try:
        with browser_on(server, tmp_path) as browser:
            browser.changes(RESULT, lambda: browser.upload("photo", demo_people()["stripes"]))
            checkbox = browser.one("[data-limbs]")
            assert checkbox.is_selected()
            first = browser.source(RESULT)
            browser.changes(RESULT, lambda: browser.press("[data-limbs]"))
            assert not browser.one("[data-limbs]").is_selected()
            browser.changes(RESULT, lambda: browser.press("[data-limbs]"))
            assert browser.source(RESULT) == first
            assert browser.one("[data-limbs]").is_selected()
    finally:
        assert stop(server) == 0
