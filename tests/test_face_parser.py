"""The face parser: finding a face in a photo, its weights and evaluation, and the commands that take one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from faces_of_discs import COLOURS, GROUND, SMALL, TURNED, Colours, a_face, a_parser, in_photo, nobody, person_with_head
from torch import nn

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.evaluation.faces import evaluate_face_parser
from scmnet_cli.analyser.evaluation.scores import compare
from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.analyser.faces import Face, FaceParser, find_face, heads
from scmnet_cli.analyser.network import AnalyserNet
from scmnet_cli.analyser.people import SHIPPED, Analyser
from scmnet_cli.analyser.subjects import FACES
from scmnet_cli.analyser.training.loop import save_weights
from scmnet_cli.analyser.windows import Window
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo, save_png
from scmnet_cli.inference.inputs.faces import read_framed_face
from scmnet_cli.preprocess.face_photos import FacePhotoSource
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import BODY_REGIONS, CELEBAMASK_PARTS, FACE_REGIONS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, Person, UInt8Array


@pytest.mark.parametrize("window", [Window(64, 64, 128), TURNED, Window(60, 66, 100, angle=-0.5)])
def test_a_face_is_found_and_aligned_wherever_it_is_in_the_photo(window: Window) -> None:
    photo = in_photo(a_face(128), window, 128, 160)
    face = a_parser()(photo)
    assert face is not None
    assert (face.window.centre_x, face.window.centre_y) == pytest.approx((window.centre_x, window.centre_y), abs=2)
    assert face.window.height == pytest.approx(window.height, rel=0.05)
    assert face.window.angle == pytest.approx(window.angle, abs=0.05)
    wanted = window.to_photo((ALIGNED * 64 - 0.5).astype(np.float32), SMALL)
    np.testing.assert_allclose(face.joints[:, :2], wanted, atol=2)
    skin = (np.abs(a_face(64).astype(int) - GROUND) > 60).any(-1)
    assert ((face.regions_on(SMALL) > 0) == skin).mean() > 0.95
    assert np.abs(face.picture(SMALL).astype(int) - a_face(64)).mean() < 8


def test_regions_lie_on_the_photo_where_the_face_is() -> None:
    photo = in_photo(a_face(128), TURNED, 128, 160)
    face = a_parser()(photo)
    assert face is not None
    skin = (np.abs(photo.astype(int) - GROUND) > 60).any(-1)
    assert (face.regions > 0)[skin].mean() > 0.9
    assert (face.regions == 0)[~skin].mean() > 0.97


def test_an_upright_face_keeps_its_place_and_its_map() -> None:
    face = a_parser()(in_photo(a_face(128), TURNED, 128, 160))
    assert face is not None
    upright = face.upright()
    assert upright.window == replace(face.window, angle=0.0)
    assert upright.photo.shape == face.photo.shape
    assert np.abs(upright.picture(SMALL).astype(int) - face.picture(SMALL)).mean() < 4
    np.testing.assert_allclose(upright.joints[:, :2], upright.expected, atol=2)
    skin = (np.abs(upright.photo.astype(int) - GROUND) > 60).any(-1)
    assert (upright.regions > 0)[skin].mean() > 0.9


def test_a_face_needs_three_of_five_landmarks() -> None:
    for hidden, found in (((0, 1), True), ((0, 1, 2), False)):
        assert (a_parser()(a_face(128, hidden)) is not None) == found


def test_a_face_without_a_nose_at_its_landmark_is_rejected() -> None:
    colours = Colours()
    parser = FaceParser(colours, SMALL, analyser=nobody)  # type: ignore[arg-type]
    assert parser(a_face(128)) is not None
    colours.knows_noses = False
    assert parser(a_face(128)) is None


def test_a_small_face_is_found_through_its_persons_head() -> None:
    window = Window(300, 40, 36)
    photo = in_photo(a_face(128), window, 400, 400)
    joints = np.zeros((18, 3), np.float32)
    known = window.to_photo((ALIGNED * 64 - 0.5).astype(np.float32), SMALL)
    for name, place in zip(("right_eye", "left_eye", "nose"), known + 2, strict=False):
        joints[JOINTS.index(name)] = (*place, 1)
    looked: list[str] = []

    class Somebody:
        def __call__(self, image: UInt8Array) -> Analysis:
            looked.append("once")
            return person_with_head(image, joints)

    face = a_parser(lambda: Somebody())(photo)  # type: ignore[arg-type, return-value]
    assert face is not None
    assert looked == ["once"]
    assert face.window.height == pytest.approx(36, rel=0.1)


def test_the_window_of_a_profile_is_sized_by_nose_and_neck() -> None:
    joints = np.zeros((18, 3), np.float32)
    for name, place in {"right_eye": (50, 40), "left_eye": (52, 40), "nose": (53, 44), "neck": (50, 94)}.items():
        joints[JOINTS.index(name)] = (*place, 1)
    (window,) = heads([person_with_head(np.zeros((200, 100, 3), np.uint8), joints)])
    assert window.height == pytest.approx(40, abs=1)
    assert (window.centre_x, window.centre_y) == (53.5, 44.5)


def test_a_photo_without_a_face_is_a_one_line_error(tmp_path: Path) -> None:
    save_png(tmp_path / "wall.png", np.full((80, 60, 3), GROUND, np.uint8))
    parser = a_parser()
    with pytest.raises(ScmError, match=r"wall.png: no face found in the photo; crop it around the face"):
        read_framed_face(tmp_path / "wall.png", SMALL, find=lambda *args: find_face(parser, *args))


def test_a_face_from_the_side_is_edited_without_a_line_about_drawing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Face, "is_turned", property(bool))
    find_face(a_parser(), Path("ann.png"), in_photo(a_face(128), TURNED, 128, 160), SMALL)
    assert caplog.records == []


def test_a_found_face_is_put_on_a_plain_background_on_request(tmp_path: Path) -> None:
    save_png(tmp_path / "ann.png", a_face(128))
    parser = a_parser()
    kept, plain = (
        read_framed_face(tmp_path / "ann.png", SMALL, ground, lambda *args: find_face(parser, *args)).cropped
        for ground in ("keep", "plain")
    )
    assert (kept.image[2, 2] == GROUND).all()
    assert (plain.image[2, 2] == 230).all()
    assert np.array_equal(kept.image[40, 32], plain.image[40, 32])


def test_a_folder_of_photos_becomes_a_prepared_folder_of_upright_faces(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, angle in enumerate((0.0, 0.4)):
        face = in_photo(a_face(128), Window(90, 70, 80, angle=angle), 140, 180)
        save_png(photos / f"p{number}.png", face)
    save_png(photos / "wall.png", np.full((80, 60, 3), GROUND, np.uint8))
    source = FacePhotoSource(photos, a_parser())
    outcome = prepare(source, tmp_path / "data", SMALL, "keep", jobs=1)
    assert outcome.num_usable == 2
    assert "no face found" in outcome.left_out["wall"]
    folder = PreparedFolder(tmp_path / "data")
    for name in folder.names():
        face_there, entry = folder.load(name), folder.entry(name)
        assert np.abs(face_there.image.astype(int) - a_face(64)).mean() < 10
        assert set(np.unique(face_there.regions)) == {0, 1, 5}
        assert face_there.edges is not None
        assert (entry.crop.left, entry.crop.top, entry.crop.width) == pytest.approx((50, 30, 80), abs=4)


def weights_of(path: Path, person_bias: float, licence: str = "non-commercial research and education only") -> Path:
    torch.manual_seed(0)
    net = FACES.build()
    nn.init.constant_(net.person.bias, person_bias)
    save_weights(path, net, {"kind": FACES.kind, "licence": licence})
    return path


def test_the_weights_take_at_most_six_megabytes(tmp_path: Path) -> None:
    assert weights_of(tmp_path / "f.safetensors", 0).stat().st_size <= 6_000_000


def test_a_network_without_its_last_stages_keeps_its_output_strides() -> None:
    with torch.no_grad():
        for stages in (5, 6):
            found = AnalyserNet(5, 8, stages).eval()(torch.zeros(1, 3, 64, 96))
            assert found.regions.shape == (1, 8, 32, 48)
            assert found.heat.shape == (1, 5, 16, 24)


def test_person_and_face_weights_are_never_confused(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"holds no face parser; give the face-parser.safetensors"):
        FaceParser.load(SHIPPED)
    with pytest.raises(ScmError, match=r"holds no analyser; give the analyser.safetensors"):
        Analyser.load(weights_of(tmp_path / "f.safetensors", 0))


def test_the_licence_is_printed_and_a_folder_without_a_face_is_a_one_line_error(scm, tmp_path: Path, capfd) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "photos").mkdir()
    save_png(tmp_path / "photos" / "wall.png", np.full((40, 40, 3), GROUND, np.uint8))
    file = weights_of(tmp_path / "f.safetensors", -50)
    arguments = ("preprocess", tmp_path / "photos", "-o", tmp_path / "data", "--domain", "face")
    outcome = scm(*arguments, "--face-parser", file)
    assert outcome.code == 2
    assert len(outcome.errors) == 2
    assert outcome.errors[0].endswith("f.safetensors: for non-commercial research and education only")
    assert "no face found in the photo" in outcome.errors[1]


def test_a_photo_without_a_map_asks_for_a_face_parser(scm, place) -> None:  # type: ignore[no-untyped-def]
    outcome = scm("preprocess", place.data / "images", "-o", "faces", "--domain", "face")
    assert outcome.code == 2
    assert "give --face-parser" in outcome.errors[-1]


def test_a_perfect_parser_scores_one_and_finds_no_face_on_walls(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    side = 64
    parts = np.zeros((side, side), np.uint8)
    image = a_face(side)
    parts[(np.abs(image.astype(int) - GROUND) > 60).any(-1)] = CELEBAMASK_PARTS.index("skin")
    for number, part in enumerate(("r_eye", "l_eye", "nose")):
        parts[(image == COLOURS[number]).all(-1)] = CELEBAMASK_PARTS.index(part)
    for number in range(10):
        save_png(tmp_path / "images" / f"{number}.png", image)
        save_png(tmp_path / "masks" / f"{number}.png", parts)
    scores = evaluate_face_parser(a_parser(), tmp_path)
    assert scores.found_right == 1
    assert scores.nothing_right == 1
    assert scores.scores.within[0] == 1
    assert scores.scores.region_iou[0] > 0.9
    assert "| right eye | 100.0% |" in scores.table()
    assert scores.as_json()["faces"] == 1


def test_a_missed_face_counts_as_background() -> None:
    regions = np.ones((8, 8), np.uint8)
    landmarks = np.ones((5, 3), np.float32)
    nowhere = np.eye(8, 1, dtype=np.float32)[..., None] * np.ones((1, 4, 4), np.float32)
    missed = Face(0.0, np.zeros((5, 3), np.float32), Window(4, 4, 8), nowhere, np.zeros((8, 8, 3), np.uint8))
    scores = compare(missed, Person("a", missed.photo, regions, landmarks), 8.0, FACES)
    assert scores.region_iou[1] == 0
    assert scores.within == (0, 0)
    assert len(BODY_REGIONS) == len(FACE_REGIONS)


def test_the_astronaut_has_a_face() -> None:
    weights = Path(__file__).parents[1] / "research" / "face-parser.safetensors"
    if not weights.is_file():
        pytest.skip("research/ is in the repository, and not in the sdist, which carries these tests")
    face = FaceParser.load(weights)(read_photo(Path(skimage.__file__).parent / "data" / "astronaut.png"))
    assert face is not None
    eyes, mouth = face.joints[:2, :2].mean(0), face.joints[3:, :2].mean(0)
    assert eyes == pytest.approx((221, 103), abs=8)
    assert mouth == pytest.approx((225, 147), abs=8)
    assert face.window.height == pytest.approx(167, rel=0.12)
    assert not face.is_turned


@pytest.mark.parametrize(("nose", "is_turned"), [(0.0, False), (0.04, False), (0.1, True), (-0.1, True)])
def test_a_face_is_turned_if_its_nose_is_far_from_the_middle_of_the_eyes(nose: float, is_turned: bool) -> None:
    window = Window(60, 50, 80, angle=0.3)
    landmarks = ALIGNED.astype(np.float32) - 0.5
    landmarks[2, 0] += nose
    joints = np.column_stack([window.to_photo(landmarks, Canvas(1, 1)), np.ones(5, np.float32)])
    face = Face(1.0, joints, window, np.zeros((8, 4, 4), np.float32), np.zeros((120, 120, 3), np.uint8))
    assert face.is_turned == is_turned
    landmarks[:2, 0] *= 0.6
    closer = np.column_stack([window.to_photo(landmarks, Canvas(1, 1)), np.ones(5, np.float32)])
    assert replace(face, joints=closer).is_turned
    joints[0] = 0  # a hidden eye
    assert replace(face, joints=joints).is_turned
