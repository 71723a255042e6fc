"""The logic behind the web page, without a page."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.app import session as steps
from scmnet_cli.app import views
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.app.posing import Posing
from scmnet_cli.app.studio import Studio, enlarged, example_photos
from scmnet_cli.app.uploads import Limits, read_upload
from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox
from scmnet_cli.inference.hidden_places import hidden_places
from scmnet_cli.inference.inputs.sketches import read_drawing
from scmnet_cli.inference.inspection import inspect_point
from scmnet_cli.inference.pipeline import Pipeline, make_person
from scmnet_cli.inference.wardrobe import Wardrobe, take
from scmnet_cli.models.build import build_generator
from scmnet_cli.provenance import COMPOSITE, add_mark
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
        without_edges = np.full_like(image, 127)  # so that the maps of all photos are alike
        return Analysis(float(image.any()), joints, probabilities, crop, without_edges)


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


def places(posing: Posing) -> list[list[float] | None]:
    """The joints as the browser sends them."""
    return views.pose_view(posing.pose)["joints"]


def taken(studio: Studio, session: steps.Session, name: str, seed: int = 1) -> steps.Session:
    return steps.draw(studio, steps.read_photo(studio, session, photo(name, seed)))


def worn(studio: Studio, session: steps.Session, regions: list[str], garments: list[str]) -> steps.Session:
    return steps.draw(studio, steps.wear(studio, session, regions, garments))


def referring(studio: Studio, session: steps.Session, name: str, seed: int) -> steps.Session:
    return steps.draw(studio, steps.read_reference(studio, session, photo(name, seed)))


def test_a_photo_is_read_and_drawn_in_the_pose_that_the_page_starts_with(place: Place):
    studio = studio_of()
    session = steps.read_photo(studio, steps.start(studio), photo("me"))
    assert session.found is not None
    assert session.drawn is None
    session = steps.draw(studio, session)
    assert session.drawn is not None
    assert session.found.regions == ("pants", "hair", "upper")
    assert session.found.photo.canvas == PHOTO, "a small photo is not enlarged"
    expected = studio.pipeline.transfer(session.found.person, session.posing.pose)
    assert session.drawn.result.pose == steps.FIRST_POSE
    assert np.array_equal(pixels(session), np.asarray(expected.image))
    assert session.drawn.strip.shape[1] > 3 * 48


def test_nothing_is_drawn_without_a_photo(place: Place):
    studio = studio_of()
    session = steps.mirror_pose(steps.choose_pose(studio, steps.start(studio), 3))
    session = steps.trace(studio, worn(studio, session, [], []), 0.5, 0.5)
    assert session.drawn is None
    with pytest.raises(ScmError, match="choose your photo first"):
        steps.use_own_pose(session)


def test_a_new_pose_draws_the_same_person_anew_and_forgets_the_traced_point(place: Place):
    studio = studio_of()
    first = taken(studio, steps.start(studio), "me")
    asked = steps.trace(studio, first, 0.4, 0.5)
    assert asked.origin is not None
    again = steps.draw(studio, steps.choose_pose(studio, asked, 0))
    assert again.source is first.source
    assert again.origin is None
    assert again.posing.number == 0
    assert again.drawn.result.pose == studio.library()[0].name
    assert not np.array_equal(pixels(again), pixels(first))
    other = steps.read_pose(studio, again, photo("dancer", 2))
    own = steps.use_own_pose(other)
    assert np.array_equal(other.posing.pose.joints, own.posing.pose.joints), "the analyser of this test sees all alike"
    assert (other.posing.pose.name, own.posing.pose.name) == ("dancer", "me")
    assert other.posing.number is None
    assert other.pose_found.photo.name == "dancer", "the photo of the pose is shown"


def test_a_pose_that_the_library_does_not_have_is_refused(place: Place):
    studio = studio_of()
    for number in (-1, 25):
        with pytest.raises(ScmError, match="the library has 25"):
            steps.choose_pose(studio, steps.start(studio), number)


def test_sessions_share_only_the_model(place: Place):
    studio = studio_of()
    ann, bob = steps.start(studio), steps.start(studio)
    ann = taken(studio, ann, "ann", 1)
    bob = taken(studio, bob, "bob", 2)
    assert not np.array_equal(pixels(ann), pixels(bob))
    assert np.array_equal(pixels(taken(studio, bob, "ann", 1)), pixels(ann))


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (b"no picture", Limits(), "is not one of"),
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
    with pytest.raises(ScmError, match=r"night\.png: no person found"):
        studio_of().read(Path("night.png"))


def test_a_joint_is_moved_by_hand_and_the_others_stay(place: Place):
    posing = steps.start(studio_of()).posing
    joints = places(posing)
    joints[JOINTS.index("left_wrist")] = [5.0, 7.0]
    moved = posing.moved(joints)
    assert joint_of(moved, "left_wrist") == [5, 7, 1]
    assert moved.pose.name == "walking-by-hand"
    assert moved.number is None, "it is the library's pose no longer"
    rest = [row for row, name in enumerate(JOINTS) if name != "left_wrist"]
    assert moved.pose.joints[rest, :2] == pytest.approx(posing.pose.joints[rest, :2], abs=0.06)
    assert moved.moved(joints).pose.name == "walking-by-hand"


def test_a_joint_is_left_out_and_one_outside_lands_on_the_edge(place: Place):
    posing = steps.start(studio_of()).posing
    joints = places(posing)
    joints[0] = None
    joints[1] = [1e6, -1e6]
    moved = posing.moved(joints)
    assert joint_of(moved, "nose") == [0, 0, 0]
    assert joint_of(moved, "neck") == [47, 0, 1]
    assert places(moved)[0] is None


@pytest.mark.parametrize(
    "joints",
    [None, [], [[1, 2]] * 17, [[1, 2]] * 17 + [[1]], [[1, 2]] * 17 + ["ab"], [[1, float("nan")]] * 18, 7],
)
def test_what_is_no_pose_is_refused_and_changes_nothing(place: Place, joints: object):
    with pytest.raises(ScmError, match="expected 18 joints"):
        steps.start(studio_of()).posing.moved(joints)


def test_a_pose_without_any_joint_is_refused(place: Place):
    with pytest.raises(ScmError, match="keep at least one"):
        steps.start(studio_of()).posing.moved([None] * 18)


def test_mirroring_twice_restores_the_pose(place: Place):
    posing = steps.start(studio_of()).posing
    once = posing.mirror()
    assert once.pose.name == "walking-mirrored"
    assert once.mirror().pose.name == "walking"
    assert once.mirror().pose.joints == pytest.approx(posing.pose.joints, abs=1e-4)


def test_moving_a_joint_draws_another_picture(place: Place):
    studio = studio_of()
    session = taken(studio, steps.start(studio), "me")
    joints = places(session.posing)
    joints[JOINTS.index("right_wrist")] = [2.0, 2.0]
    moved = steps.draw(studio, steps.move_joints(session, joints))
    assert not np.array_equal(pixels(moved), pixels(session))


def test_clothes_of_another_photo_default_to_the_top_and_match_an_edit(place: Place):
    studio = studio_of()
    session = taken(studio, steps.start(studio), "me", 1)
    dressed = referring(studio, session, "friend", 2)
    assert dressed.regions == ("upper",)
    edit = studio.pipeline.edit(session.source, {"upper": dressed.reference}, session.posing.pose)
    assert np.array_equal(pixels(dressed), np.asarray(edit.image))
    assert not np.array_equal(pixels(dressed), pixels(session))
    back = worn(studio, dressed, [], [])
    assert np.array_equal(pixels(back), pixels(session))
    hair = worn(studio, dressed, ["hair"], [])
    assert referring(studio, hair, "third", 3).regions == ("hair",), "a choice stays"


def test_what_is_not_offered_cannot_be_worn(place: Place):
    studio = studio_of()
    session = taken(studio, steps.start(studio), "me")
    with pytest.raises(ScmError, match="upper: is not available"):
        steps.wear(studio, session, ["upper"], [])
    with pytest.raises(ScmError, match="crown: is not available"):
        steps.wear(studio, session, [], ["crown"])


def test_wardrobe_garments_take_precedence_over_the_photo(place: Place):
    pipeline = pipeline_of()
    garment = take(place.person("cleo", 2), "upper", "striped-top")
    studio = studio_of(pipeline, wardrobe=Wardrobe([garment]))
    assert studio.garments == {"striped-top": "upper"}
    session = taken(studio, steps.start(studio), "me")
    session = referring(studio, session, "friend", 2)
    dressed = worn(studio, session, ["upper", "hair"], ["striped-top"])
    references = {"upper": studio.wardrobe.reference("striped-top", pipeline), "hair": session.reference}
    edit = pipeline.edit(session.source, references, session.posing.pose)
    assert np.array_equal(pixels(dressed), np.asarray(edit.image))


def test_the_wardrobe_is_shown_by_kind_with_a_thumbnail_of_each(place: Place):
    garments = [
        take(place.person("cleo", 2), kind, name)
        for name, kind in (("striped-top", "upper"), ("long-hair", "hair"), ("red-shirt", "upper"))
    ]
    studio = studio_of(wardrobe=Wardrobe(garments))
    cards = studio.garment_cards()
    assert {card.picture.shape[0] for card in cards} == {144}
    shown = views.garment_views(cards)
    assert [(shelf["title"], [card["title"] for card in shelf["garments"]]) for shelf in shown] == [
        ("Tops", ["striped top", "red shirt"]),
        ("Hair", ["long hair"]),
    ]


def test_without_a_wardrobe_or_regions_there_are_no_garments(place: Place):
    assert studio_of().garments == {}
    garment = take(place.person("cleo", 2), "upper", "striped-top")
    assert studio_of(pipeline_of(style="global"), wardrobe=Wardrobe([garment])).garments == {}


def test_the_origin_of_a_point_equals_the_inspection_of_the_edited_person(place: Place):
    studio = studio_of()
    session = taken(studio, steps.start(studio), "me", 1)
    session = referring(studio, session, "friend", 2)
    drawn = session.drawn
    assert enlarged(drawn.result.image, studio.pipeline.canvas).size == (384, 512)
    asked = steps.trace(studio, session, 20.5 / 48, 30.5 / 64)
    point = inspect_point(studio.pipeline, drawn.worn, session.posing.pose, 20, 30)
    name, share = next(iter(point.region_shares.items()))
    assert f"{share:.0%} {name}" in asked.origin.sentence
    assert asked.origin.picture.shape == (512, 2 * 384, 3)
    other = steps.trace(studio, session, 1, 1)
    assert not np.array_equal(other.origin.picture, asked.origin.picture)
    for across, down in ((1.01, 0.5), (float("nan"), 0.5), (0.5, -0.1)):
        with pytest.raises(ScmError, match="outside"):
            steps.trace(studio, session, across, down)


def test_the_views_carry_photo_analysis_and_a_marked_result_with_its_origin(place: Place):
    studio = studio_of()
    session = taken(studio, steps.start(studio), "me")
    shown = views.photo_view(session.found)
    assert (shown["width"], shown["height"]) == (72, 96)
    assert shown["joints"][JOINTS.index("left_ear")] is None
    assert [entry["name"] for entry in shown["legend"]] == ["pants", "hair", "upper"]
    overlay = decoded(shown["regions"]).convert("RGBA")
    assert overlay.size == (72, 96)
    assert overlay.getpixel((0, 0))[3] == 0, "the background is clear"
    assert overlay.getpixel((36, 40))[3] > 0
    result = views.result_view(session.drawn, session.found, mark=True)
    picture = decoded(result["image"])
    assert picture.size == (48, 64) == (result["width"], result["height"])
    assert result["not_shown"] == hidden_places(session.found.person)
    assert COMPOSITE in picture.info["XML:com.adobe.xmp"]
    assert np.array_equal(np.asarray(picture), add_mark(pixels(session)))
    plain = views.result_view(session.drawn, session.found, mark=False)
    assert np.array_equal(np.asarray(decoded(plain["image"])), pixels(session))
    saved = views.file_view("scm-result", pixels(session), "JPEG", mark=True)
    assert saved["name"] == "scm-result.jpg"
    assert decoded(saved["data"]).info["xmp"].count(COMPOSITE.encode()) == 1


def test_the_examples_are_the_photos_that_ship(place: Place, monkeypatch: pytest.MonkeyPatch):
    names = [path.stem for path in example_photos()]
    assert len(names) >= 1
    assert names == sorted(names)
    monkeypatch.setattr("scmnet_cli.app.studio.demo_people", dict)
    assert len(example_photos()) == 1


def decoded(url: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    image.load()
    return image


def test_a_model_of_faces_is_refused(place: Place):
    with pytest.raises(ScmError, match="draws faces; give a model of people"):
        studio_of(pipeline_of(domain="face"))


def test_a_session_stores_the_person_and_not_the_photo(place: Place):
    studio = studio_of()
    path = photo("me")
    session = steps.draw(studio, steps.read_photo(studio, steps.start(studio), path))
    path.unlink()
    again = steps.draw(studio, steps.choose_pose(studio, session, 1))
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
    with pytest.raises(ScmError, match="has no lines"):
        studio.colour(Path("empty.png"), "red")


def test_the_domain_of_a_model_is_checked_before_serving(place: Place, some_faces: SomeFaces, scm: Scm):
    with pytest.raises(ScmError, match="is for people; give one for faces"):
        FaceStudio(Pipeline.from_pretrained(some_faces.model, "cpu"), place.data)
    given = ["app", "-m", place.model, "--face-model", place.model, "--device", "cpu"]
    assert scm(*given).errors == ["scm: --face-model and --faces: each needs the other; give both"]
    done = scm(*given, "--faces", some_faces.data)
    assert done.code == 2
    assert "is for people; give one for faces" in done.errors[0]


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
    assert refused.errors == ["scm: --parser-labels fashn18: needs --parser; give its file, or leave this out"]
