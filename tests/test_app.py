"""The logic behind the web page, without a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scmnet_cli.analyser.people import Analysis
from scmnet_cli.app import session as steps
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.app.posing import Posing, draw_posing, zoom
from scmnet_cli.app.studio import Studio, enlarged
from scmnet_cli.app.uploads import Limits, read_upload
from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox
from scmnet_cli.inference.inputs.sketches import read_drawing
from scmnet_cli.inference.inspection import inspect_point
from scmnet_cli.inference.pipeline import Pipeline, make_person
from scmnet_cli.inference.wardrobe import Wardrobe, take
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from conftest import Place, Scm, SomeFaces

PHOTO = Canvas(96, 72)


def pipeline_of(seed: int = 0, **fields: object) -> Pipeline:
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, **fields}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = build_generator(config.model)
    return Pipeline(net, SavedModel(net.state_dict(), config), torch.device("cpu"))


class SamePersonAnalyser:
    """Analyser stub: finds the same person in every photo that is not black."""

    def __call__(self, image: UInt8Array) -> Analysis:
        height, width = image.shape[:2]
        joints = np.ones((18, 3), np.float32)
        joints[:, :2] = np.random.default_rng(0).uniform(0.2, 0.8, (18, 2)) * (width, height)
        joints[JOINTS.index("left_ear")] = 0
        probabilities = np.zeros((NUM_REGIONS, 24, 18), np.float32)
        labels = np.zeros((24, 18), int)
        for region, rows in {"hair": slice(2, 5), "upper": slice(5, 14), "pants": slice(14, 22)}.items():
            labels[rows, 4:14] = region_id(region)
        np.put_along_axis(probabilities, labels[None], 1, 0)
        crop = CropBox(0, 0, width, height, Canvas(96, 72))
        return Analysis(float(image.any()), joints, probabilities, crop, (height, width))


def studio_of(pipeline: Pipeline | None = None, **more: object) -> Studio:
    return Studio(pipeline or pipeline_of(), SamePersonAnalyser(), **more)


def photo(name: str, seed: int = 1) -> Path:
    path = Path(f"{name}.png")
    noise = np.random.default_rng(seed).integers(0, 256, (PHOTO.height, PHOTO.width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def pixels(session: steps.Session) -> UInt8Array:
    assert session.drawn is not None
    return np.asarray(session.drawn.result.image)


def joint_of(posing: Posing, name: str) -> list[float]:
    return posing.pose.joints[JOINTS.index(name)].tolist()


def test_an_uploaded_photo_is_drawn_at_once_in_the_initial_pose(place: Place):
    studio = studio_of()
    session = steps.take_photo(studio, steps.start(studio), photo("me"))
    assert session.found is not None
    assert session.drawn is not None
    assert session.found.regions == ("pants", "hair", "upper")
    assert session.found.picture.shape == (512, 2 * 384, 3)
    expected = studio.pipeline.transfer(session.found.person, session.posing.pose)
    assert session.drawn.result.pose == steps.FIRST_POSE
    assert np.array_equal(pixels(session), np.asarray(expected.image))
    assert session.drawn.strip.shape[1] > 3 * 48


def test_nothing_is_drawn_without_a_photo(place: Place):
    studio = studio_of()
    session = steps.mirror_pose(studio, steps.take_pose(studio, steps.start(studio), 3))
    session = steps.ask_origin(studio, steps.wear(studio, session, [], []), 3, 3)
    assert session.drawn is None
    with pytest.raises(ScmError, match="give your photo first"):
        steps.take_own_pose(studio, session)


def test_a_new_pose_redraws_the_person_and_clears_the_clicked_point(place: Place):
    studio = studio_of()
    first = steps.take_photo(studio, steps.start(studio), photo("me"))
    asked = steps.ask_origin(studio, first, 20, 30)
    again = steps.take_pose(studio, asked, 0)
    assert again.source is first.source
    assert again.origin is None
    assert again.drawn.result.pose == studio.library()[0].name
    assert not np.array_equal(pixels(again), pixels(first))
    other = steps.take_pose_of_photo(studio, again, photo("dancer", 2))
    own = steps.take_own_pose(studio, other)
    assert np.array_equal(other.posing.pose.joints, own.posing.pose.joints), (
        "the analyser stub finds the same person everywhere"
    )
    assert (other.posing.pose.name, own.posing.pose.name) == ("dancer", "me")


def test_sessions_share_only_the_model(place: Place):
    studio = studio_of()
    ann, bob = steps.start(studio), steps.start(studio)
    ann = steps.take_photo(studio, ann, photo("ann", 1))
    bob = steps.take_photo(studio, bob, photo("bob", 2))
    assert not np.array_equal(pixels(ann), pixels(bob))
    assert np.array_equal(pixels(steps.take_photo(studio, bob, photo("ann", 1))), pixels(ann))


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (b"no picture", Limits(), "cannot be read as a picture"),
        (b"", Limits(), "empty"),
        (b"x" * 3000, Limits(megabytes=0.002), "has over 0.002 MB"),
    ],
)
def test_an_unreadable_upload_is_reported_by_file_name_only(place: Place, content: bytes, limits: Limits, message: str):
    path = place.path / "me.jpg"
    path.write_bytes(content)
    with pytest.raises(ScmError, match=message) as caught:
        read_upload(path, limits)
    assert str(caught.value).startswith("me.jpg: ")
    assert str(place.path) not in str(caught.value)


def test_a_picture_with_too_many_pixels_is_refused_before_decoding(place: Place, monkeypatch):
    path = photo("large")
    monkeypatch.setattr("scmnet_cli.app.uploads.read_photo", lambda _: pytest.fail("was unpacked"))
    with pytest.raises(ScmError, match=r"large\.png: has 72 x 96 pixels, over 0\.005 million"):
        read_upload(path, Limits(megapixels=0.005))


def test_a_photo_without_a_person_is_reported_and_keeps_the_session(place: Place):
    Image.new("RGB", (40, 60)).save("night.png")
    with pytest.raises(ScmError, match=r"night\.png: nobody is seen"):
        studio_of().read(Path("night.png"))


def test_a_click_selects_the_nearest_joint_and_the_next_click_places_it(place: Place):
    posing = steps.start(studio_of()).posing
    scale = zoom(posing.pose.canvas)
    x, y, _ = joint_of(posing, "left_wrist")
    picture = draw_posing(posing)
    assert picture.shape == (64 * scale, 48 * scale, 3)
    chosen = posing.click(x * scale + 3, y * scale - 3)
    assert chosen.chosen == "left_wrist"
    assert not np.array_equal(draw_posing(chosen), picture), "the selected joint is marked"
    placed = chosen.click(5 * scale, 7 * scale)
    assert placed.chosen is None
    assert joint_of(placed, "left_wrist") == pytest.approx([5, 7, 1], abs=0.6)
    assert placed.pose.name == "walking-by-hand"
    rest = [row for row, name in enumerate(JOINTS) if name != "left_wrist"]
    assert np.array_equal(placed.pose.joints[rest], posing.pose.joints[rest])


def test_a_click_far_from_all_joints_selects_none(place: Place):
    posing = steps.start(studio_of()).posing
    assert posing.click(0, 0) is posing


def test_a_missing_joint_can_be_selected_by_name_and_placed_inside_only(place: Place):
    posing = steps.start(studio_of()).posing.choose("left_wrist").remove()
    assert joint_of(posing, "left_wrist") == [0, 0, 0]
    assert draw_posing(posing.choose("left_wrist")).any()
    placed = posing.choose("left_wrist").click(1e6, -1e6)
    assert joint_of(placed, "left_wrist") == [47, 0, 1]


def test_the_last_joint_cannot_be_removed(place: Place):
    posing = steps.start(studio_of()).posing
    for name in JOINTS:
        posing = posing.choose(name).remove()
    assert (posing.pose.joints[:, 2] > 0).sum() == 1


def test_mirroring_twice_restores_the_pose(place: Place):
    posing = steps.start(studio_of()).posing
    once = posing.mirror()
    assert once.pose.name == "walking-mirrored"
    assert once.mirror().pose.name == "walking"
    assert once.mirror().pose.joints == pytest.approx(posing.pose.joints, abs=1e-4)


def test_selecting_a_joint_draws_nothing_and_placing_it_does(place: Place):
    studio = studio_of()
    session = steps.take_photo(studio, steps.start(studio), photo("me"))
    chosen = steps.choose_joint(session, "nose")
    assert chosen.drawn is session.drawn
    placed = steps.click_pose(studio, chosen, 10, 10)
    assert placed.drawn is not session.drawn
    assert steps.remove_joint(studio, placed).drawn is placed.drawn, "no joint is selected"


def test_clothes_of_another_photo_default_to_the_top_and_match_an_edit(place: Place):
    studio = studio_of()
    session = steps.take_photo(studio, steps.start(studio), photo("me", 1))
    dressed = steps.take_reference(studio, session, photo("friend", 2))
    assert dressed.regions == ("upper",)
    edit = studio.pipeline.edit(session.source, {"upper": dressed.reference}, session.posing.pose)
    assert np.array_equal(pixels(dressed), np.asarray(edit.image))
    assert not np.array_equal(pixels(dressed), pixels(session))
    back = steps.wear(studio, dressed, [], [])
    assert np.array_equal(pixels(back), pixels(session))
    hair = steps.wear(studio, dressed, ["hair"], [])
    assert steps.take_reference(studio, hair, photo("third", 3)).regions == ("hair",), "the selection is kept"


def test_wardrobe_garments_take_precedence_over_the_photo(place: Place):
    pipeline = pipeline_of()
    garment = take(place.person("cleo", 2), "upper", "striped-top")
    studio = studio_of(pipeline, wardrobe=Wardrobe([garment]))
    assert studio.garments == {"striped-top": "upper"}
    session = steps.take_photo(studio, steps.start(studio), photo("me"))
    session = steps.take_reference(studio, session, photo("friend", 2))
    worn = steps.wear(studio, session, ["upper", "hair"], ["striped-top"])
    references = {"upper": studio.wardrobe.reference("striped-top", pipeline), "hair": session.reference}
    edit = pipeline.edit(session.source, references, session.posing.pose)
    assert np.array_equal(pixels(worn), np.asarray(edit.image))


def test_without_a_wardrobe_or_regions_there_are_no_garments(place: Place):
    assert studio_of().garments == {}
    garment = take(place.person("cleo", 2), "upper", "striped-top")
    assert studio_of(pipeline_of(style="global"), wardrobe=Wardrobe([garment])).garments == {}


def test_the_origin_of_a_point_equals_the_inspection_of_the_edited_person(place: Place):
    studio = studio_of()
    session = steps.take_photo(studio, steps.start(studio), photo("me", 1))
    session = steps.take_reference(studio, session, photo("friend", 2))
    drawn = session.drawn
    scale = zoom(studio.pipeline.canvas)
    assert enlarged(drawn.result.image, studio.pipeline.canvas).size == (48 * scale, 64 * scale) == (384, 512)
    asked = steps.ask_origin(studio, session, 20 * scale, 31 * scale - 1)
    point = inspect_point(studio.pipeline, drawn.worn, session.posing.pose, 20, 30)
    name, share = next(iter(point.region_shares.items()))
    assert f"{share:.0%} {name}" in asked.origin.told
    assert asked.origin.picture.shape == (512, 2 * 384, 3)
    other = steps.ask_origin(studio, session, 40 * scale, 60 * scale)
    assert not np.array_equal(other.origin.picture, asked.origin.picture)
    with pytest.raises(ScmError, match="outside"):
        steps.ask_origin(studio, session, 48 * scale, 30 * scale)


def test_a_model_of_faces_is_refused(place: Place):
    with pytest.raises(ScmError, match="draws faces; give a model of people"):
        studio_of(pipeline_of(domain="face"))


def test_a_session_stores_the_person_and_not_the_photo(place: Place):
    studio = studio_of()
    path = photo("me")
    session = steps.take_photo(studio, steps.start(studio), path)
    path.unlink()
    again = steps.take_pose(studio, session, 1)
    assert again.found.person.image.shape == (64, 48, 3)
    assert isinstance(again.found.person, Person)
    alike = make_person(Image.fromarray(again.found.person.image), again.found.person.regions, again.posing.pose.joints)
    assert np.array_equal(
        pixels(again), np.asarray(studio.pipeline.transfer(replace(alike, name="me"), Pose.of(alike)).image)
    )


def a_drawing(name: str) -> Path:
    """A square in dark strokes on white."""
    picture = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(picture).rectangle((50, 40, 150, 170), outline="black", width=3)
    path = Path(f"{name}.png")
    picture.save(path)
    return path


def test_a_drawing_gets_the_colours_of_the_chosen_face(place: Place, some_faces: SomeFaces):
    studio = FaceStudio(Pipeline.from_pretrained(some_faces.model, "cpu"), some_faces.data)
    assert studio.names == ("red", "blue")
    assert [picture.shape for picture in studio.faces()] == [(32, 32, 3)] * 2
    made = studio.colour(a_drawing("sketch"), "red")
    lines = read_drawing(Path("sketch.png"), studio.pipeline.canvas)
    expected = studio.pipeline.transfer(PreparedFolder(some_faces.data).load("red"), lines)
    assert np.array_equal(np.asarray(made.result.image), np.asarray(expected.image))
    blue = studio.colour(Path("sketch.png"), "blue")
    assert not np.array_equal(np.asarray(blue.result.image), np.asarray(made.result.image))


def test_an_empty_drawing_is_reported_with_the_remedy(place: Place, some_faces: SomeFaces):
    studio = FaceStudio(Pipeline.from_pretrained(some_faces.model, "cpu"), some_faces.data)
    Image.new("RGB", (90, 90), "white").save("empty.png")
    with pytest.raises(ScmError, match="shows no line"):
        studio.colour(Path("empty.png"), "red")


def test_the_domain_of_a_model_is_checked_before_serving(place: Place, some_faces: SomeFaces, scm: Scm):
    with pytest.raises(ScmError, match="is of people; give one of faces"):
        FaceStudio(Pipeline.from_pretrained(some_faces.model, "cpu"), place.data)
    given = ["app", "-m", place.model, "--face-model", place.model, "--device", "cpu"]
    assert scm(*given).errors == ["scm: --face-model and --faces: each needs the other"]
    done = scm(*given, "--faces", some_faces.data)
    assert done.code == 2
    assert "is of people; give one of faces" in done.errors[0]


def test_the_page_uses_the_estimators_named_on_the_command_line(
    place: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch
):
    class Nodding:
        def __init__(self, name: str, _: object) -> None:
            self.name = name

    served: list[Studio] = []

    def serve(studio: Studio, *_: object, **__: object):
        served.append(studio)
        raise KeyboardInterrupt

    monkeypatch.setattr("scmnet_cli.analyser.rtm_pose.RtmPose", Nodding)
    monkeypatch.setattr("scmnet_cli.app.server.serve", serve)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert scm("app", "-m", place.model, "--device", "cpu", "--pose-estimator", "rtmpose-m").code == 0
    assert served[0].analyser.pose_estimator == "rtmpose-m"
    refused = scm("app", "-m", place.model, "--parser-labels", "fashn18")
    assert refused.errors == ["scm: --parser-labels fashn18: there is no --parser; give its file, or leave this out"]
