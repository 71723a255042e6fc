"""Third-party estimators replace the analyser: any parser as an ONNX file, the RTMPose family through rtmlib."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.estimators import Estimators
from scmnet_cli.analyser.onnx_models import find_model, rtmlib_downloads
from scmnet_cli.analyser.onnx_parser import OnnxParser
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.rtm_pose import KNOWN, RtmPose
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox
from scmnet_cli.regions import LABEL_SETS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

if TYPE_CHECKING:
    from conftest import Place, Scm

onnx: Any = pytest.importorskip("onnx", reason="needs the extra onnx", exc_type=ImportError)
pytest.importorskip("onnxruntime", reason="needs the extra onnx", exc_type=ImportError)

NO_JOINTS = np.zeros((18, 3), np.float32)
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (124, 116, 104)


def save(
    path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], weights: dict[str, Any]
) -> Path:
    """Write an ONNX file of these nodes."""
    kinds = {"i": onnx.TensorProto.INT64, "f": onnx.TensorProto.FLOAT}

    def values(shapes: dict[str, Any]) -> list[Any]:
        return [
            onnx.helper.make_tensor_value_info(name.removeprefix("ids:"), kinds["i" if "ids:" in name else "f"], shape)
            for name, shape in shapes.items()
        ]

    held = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "tiny", values(inputs), values(outputs), held)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def save_parser(
    path: Path,
    by_channel: tuple[int, int, int],
    num_labels: int,
    size: tuple[int | str, int | str] = (64, 48),
    *,
    ids: bool = False,
    first: int = 0,
) -> Path:
    """Write a parser: a pixel has the label of its strongest channel, and label 0 where none with a label is strong.

    Args:
        path: file to write.
        by_channel: label of each channel.
        num_labels: number of output labels.
        size: input height and width.
        ids: output ids instead of logits.
        first: outputs of other shapes before the labels, like SCHP's edges.
    """
    weights = np.zeros((num_labels, 3, 2, 2), np.float32)
    for channel, label in enumerate(by_channel):
        weights[label, channel] = label > 0
    bias = np.zeros(num_labels, np.float32)
    bias[0] = 4
    make = onnx.helper.make_node
    nodes = [make("Conv", ["image", "weights", "bias"], ["logits"], strides=[2, 2])]
    rows, columns = (side // 2 if isinstance(side, int) else f"half of {side}" for side in size)
    outputs: dict[str, Any] = {"logits": [1, num_labels, rows, columns]}
    if first:
        nodes.append(make("Conv", ["image", "edge weights"], ["edges"]))
        outputs = {"edges": [1, first, *size], **outputs}
    if ids:
        nodes.append(make("ArgMax", ["logits"], ["labels"], axis=1, keepdims=0))
        outputs = {"ids:labels": [1, rows, columns]}
    held = {"weights": weights, "bias": bias}
    if first:
        held["edge weights"] = np.zeros((first, 3, 1, 1), np.float32)
    return save(path, nodes, {"image": [1, 3, *size]}, outputs, held)


def save_pose(path: Path, num_joints: int = 17, width: int = 48, height: int = 64) -> Path:
    """Write a network with RTMPose's signature: every joint is at the reddest place, with falling scores."""
    make = onnx.helper.make_node
    nodes = [
        make("Slice", ["image", "red", "green", "axis"], ["redness"]),
        make("ReduceMax", ["redness"], ["columns"], axes=[2], keepdims=0),
        make("ReduceMax", ["redness"], ["rows"], axes=[3], keepdims=0),
        make("MatMul", ["columns", "twice as wide"], ["wide"]),
        make("MatMul", ["rows", "twice as high"], ["high"]),
        make("Mul", ["wide", "sureness"], ["simcc_x"]),
        make("Mul", ["high", "sureness"], ["simcc_y"]),
    ]
    weights = {
        "red": np.array([0]), "green": np.array([1]), "axis": np.array([1]),
        "twice as wide": np.repeat(np.eye(width, dtype=np.float32), 2, axis=1),
        "twice as high": np.repeat(np.eye(height, dtype=np.float32), 2, axis=1),
        "sureness": np.linspace(1, 0.01, num_joints, dtype=np.float32)[None, :, None] * 4,
    }  # fmt: skip
    outputs = {"simcc_x": [1, num_joints, 2 * width], "simcc_y": [1, num_joints, 2 * height]}
    return save(path, nodes, {"image": ["batch", 3, height, width]}, outputs, weights)


def stripes(*colours: tuple[int, int, int]) -> UInt8Array:
    """Return a 64x48 picture of horizontal stripes in these colours."""
    return np.concatenate([np.full((64 // len(colours), 48, 3), colour, np.uint8) for colour in colours])


# a parser


@pytest.mark.parametrize("labels", ["lip20", "cihp20", "atr18", "fashn18", "regions"])
def test_parser_labels_map_to_the_regions_of_the_named_label_set(tmp_path: Path, labels: str) -> None:
    names = LABEL_SETS[labels]
    wanted = ("upper", "pants", "legs")
    red, green, blue = (names.index(region) for region in wanted)
    parser = OnnxParser(save_parser(tmp_path / "net.onnx", (red, green, blue), len(names)), labels, "rgb")
    assert parser.canvas == Canvas(64, 48)
    found = parser(stripes(RED, GREEN, BLUE, GREY), NO_JOINTS)
    assert found.shape == (8, 32, 24)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    expected = np.repeat([*map(region_id, wanted), 0], 8)
    assert (found.argmax(0) == expected[:, None]).all()
    assert f"labels {labels}, input rgb 64x48, sha256 " in parser.name


def test_schp_networks_take_bgr_input_and_their_last_output_is_used(tmp_path: Path) -> None:
    file = save_parser(tmp_path / "schp.onnx", (9, 0, 5), 20, first=2)
    found = OnnxParser(file, "schp-lip")(stripes(RED, BLUE), NO_JOINTS).argmax(0)
    assert (found[:16] == region_id("upper")).all()
    assert (found[16:] == region_id("pants")).all()
    rgb = OnnxParser(file, "schp-lip", "rgb")(stripes(RED, BLUE), NO_JOINTS).argmax(0)
    assert (rgb[:16] == region_id("pants")).all()


def test_a_network_that_outputs_ids_works_like_one_with_logits(tmp_path: Path) -> None:
    logits = OnnxParser(save_parser(tmp_path / "a.onnx", (4, 6, 5), 18), "atr18")
    ids = OnnxParser(save_parser(tmp_path / "b.onnx", (4, 6, 5), 18, ids=True), "atr18")
    picture = stripes(RED, GREEN, BLUE, GREY)
    assert np.array_equal(logits(picture, NO_JOINTS).argmax(0), ids(picture, NO_JOINTS).argmax(0))


def test_skin_without_arm_and_leg_labels_goes_to_the_nearest_limb(tmp_path: Path) -> None:
    skin = LABEL_SETS["ccp59"].index("skin")
    parser = OnnxParser(save_parser(tmp_path / "net.onnx", (skin, 0, 0), 59), "ccp59")
    joints = NO_JOINTS.copy()
    for name, y in {
        "nose": 4,
        "neck": 12,
        "left_elbow": 24,
        "left_wrist": 34,
        "left_knee": 50,
        "left_ankle": 62,
    }.items():
        joints[JOINTS.index(name)] = (24, y, 1)
    found = parser(stripes(RED), joints).argmax(0)[:, 12]
    assert [found[row] for row in (2, 14, 28)] == [region_id(name) for name in ("face", "arms", "legs")]


@pytest.mark.parametrize(("labels", "size"), [("atr18", "512x512"), ("fashn18", "576x384"), ("schp-lip", "473x473")])
def test_a_dynamic_input_size_defaults_to_the_label_sets_size_or_is_the_users(
    tmp_path: Path, labels: str, size: str
) -> None:
    file = save_parser(tmp_path / "net.onnx", (1, 2, 3), len(LABEL_SETS[labels]), ("height", "width"))
    assert str(OnnxParser(file, labels).canvas) == size
    assert OnnxParser(file, labels, size=Canvas(64, 32)).canvas == Canvas(64, 32)


def test_metadata_in_the_file_replaces_options(tmp_path: Path) -> None:
    file = save_parser(tmp_path / "net.onnx", (9, 0, 5), 20, ("height", "width"))
    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, {"labels": "lip20", "input": "bgr", "size": "96x64"})
    onnx.save(model, str(file))
    parser = OnnxParser(file)
    assert parser.canvas == Canvas(96, 64)
    red = np.full((96, 64, 3), RED, np.uint8)
    assert (parser(red, NO_JOINTS).argmax(0) == region_id("upper")).all()


def broken_file(folder: Path) -> Path:
    (folder / "net.onnx").write_bytes(b"no network")
    return folder / "net.onnx"


@pytest.mark.parametrize(
    ("write", "options", "said"),
    [
        (lambda folder: save_parser(folder / "n.onnx", (1, 2, 3), 20), {}, r"give --parser-labels NAME"),
        (lambda folder: save_parser(folder / "n.onnx", (1, 2, 3), 20), {"labels": "atr18"},
         r"--parser-labels atr18: has 18 labels, n\.onnx gives 1x20x32x24; sets that fit: lip20, cihp20, schp-lip"),
        (lambda folder: save_parser(folder / "n.onnx", (1, 2, 3), 20), {"labels": "lip2"},
         r"--parser-labels lip2: .*lip20"),
        (lambda folder: save_parser(folder / "n.onnx", (1, 2, 3), 20), {"labels": "lip20", "pixels": "rbg"},
         r"--parser-input rbg: is not one of rgb, bgr"),
        (lambda folder: save_parser(folder / "n.onnx", (1, 2, 3), 20), {"labels": "lip20", "size": Canvas(96, 64)},
         r"--parser-size 96x64: n\.onnx takes 64x48"),
        (broken_file, {"labels": "lip20"}, r"net\.onnx: cannot be read as an ONNX file"),
        (lambda folder: save_pose(folder / "n.onnx"), {"labels": "lip20"}, r"gives 1x17x96, 1x17x128"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_parser_of_the_named_labels_is_a_one_line_error(
    tmp_path: Path, write: Callable[[Path], Path], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ScmError, match=said) as caught:
        OnnxParser(write(tmp_path), **options)
    assert "\n" not in str(caught.value)


def test_a_model_is_found_by_path_or_name_and_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for folder in (tmp_path / "weights", rtmlib_downloads()):
        folder.mkdir(parents=True)
    assert rtmlib_downloads() == tmp_path / "torch" / "hub" / "checkpoints"
    named = save_parser(tmp_path / "weights" / "schp.onnx", (1, 2, 3), 20)
    fetched = save_pose(rtmlib_downloads() / f"{KNOWN['rtmpose-m']}.onnx")
    assert find_model("schp", "--parser") == find_model("schp.onnx", "--parser") == named
    assert find_model(KNOWN["rtmpose-m"], "--pose-estimator") == fetched
    assert find_model(str(named), "--parser") == named
    with pytest.raises(ScmError, match=r"--parser other: no file other\.onnx here or in .*weights \(SCM_WEIGHTS\)"):
        find_model("other", "--parser")


# joints


# together with the analyser


class Sees(Analyser):
    """Analyser stub: a person in pants covers every photo."""

    def __init__(self) -> None:
        self.sha256 = "0" * 64

    def __call__(self, image: Any) -> Analysis:
        height, width = np.asarray(image).shape[:2]
        probabilities = np.zeros((8, 12, 8), np.float32)
        probabilities[region_id("pants")] = 1
        crop = CropBox(0, 0, width, height, Canvas(24, 16))
        joints = np.tile(np.array([width / 2, height / 2, 1], np.float32), (18, 1))
        return Analysis(1.0, joints, probabilities, crop, np.asarray(image))


@pytest.fixture(scope="module")
def astronaut() -> UInt8Array:
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((240, 240), Image.Resampling.LANCZOS))


class Nodding:
    """Pose estimator stub: every joint is at the centre of the person."""

    name = "nodding"

    def __call__(self, _: UInt8Array, box: tuple[float, float, float, float]) -> FloatArray:
        left, top, right, bottom = box
        self.box = box
        return np.tile(np.array([(left + right) / 2, (top + bottom) / 2, 0.7], np.float32), (18, 1))


def test_the_analyser_finds_the_person_and_the_estimators_find_joints_and_regions(
    tmp_path: Path, astronaut: UInt8Array
) -> None:
    plain = Analyser.load()
    alone = plain(astronaut)
    skirt = LABEL_SETS["atr18"].index("skirt")
    parser = OnnxParser(save_parser(tmp_path / "net.onnx", (skirt, 0, 0), 18), "atr18")
    pose = Nodding()
    analyser = Analyser.load(estimators=Estimators(pose, parser))
    found = analyser(astronaut)
    assert found.person == alone.person
    assert pose.box == alone.box
    left, top, right, bottom = alone.box
    assert left < 60  # Eileen Collins, by eye
    assert 150 < right <= 241
    assert top < 10
    assert bottom > 230
    assert (found.joints[:, 2] == np.float32(0.7)).all()
    assert set(np.unique(found.regions)) == {0, region_id("skirt")}
    orange = (astronaut[..., 0] > 190) & (astronaut[..., 2] < 90) & (alone.regions > 0)
    assert (found.regions[orange] == region_id("skirt")).mean() > 0.5
    assert analyser.pose_estimator == "nodding"
    assert analyser.parser == parser.name
    assert plain.stamp.startswith(plain.sha256[:12])
    assert analyser.stamp != plain.stamp


def test_estimators_do_not_run_on_a_photo_without_a_person() -> None:
    class Never:
        name = "never"

        def __call__(self, *_: object) -> FloatArray:
            raise AssertionError("it was asked")

    cup = np.asarray(Image.fromarray(skimage.data.coffee()).resize((150, 100)))
    assert not Analyser.load(estimators=Estimators(Never()))(cup).has_person


def test_estimators_are_named_on_the_command_line_and_in_the_manifest(
    tmp_path: Path, astronaut: UInt8Array, scm: Scm
) -> None:
    pytest.importorskip("rtmlib", reason="needs the extra rtmlib", exc_type=ImportError)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(astronaut).save(photos / "me.png")
    upper = LABEL_SETS["fashn18"].index("upper")
    parser = save_parser(tmp_path / "parser.onnx", (upper, upper, upper), 18)
    pose = save_pose(tmp_path / "pose.onnx")
    options = ["--pose-estimator", pose, "--parser", parser, "--parser-labels", "fashn18", "--device", "cpu"]
    done = scm("preprocess", photos, "-o", tmp_path / "data", "--canvas", "64x48", *options)
    assert done.code == 0
    data = PreparedFolder(tmp_path / "data")
    assert data.manifest.pose_estimator.startswith("rtmlib pose.onnx, sha256 ")
    assert data.manifest.parser.startswith("parser.onnx, labels fashn18, input rgb 64x48, sha256 ")
    assert set(np.unique(data.load("me").regions)) <= {0, region_id("upper")}
    known = data.load("me").joints
    assert len(np.unique(known[known[:, 2] > 0, :2].round(2), axis=0)) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parser-labels", "atr18"], r"--parser-labels atr18: needs --parser"),
        (["--parser", "none.onnx"], r"--parser none\.onnx: no file none\.onnx here or in"),
        (
            ["--pose-estimator", "rtmpose-m", "--layout", "folder"],
            r"--pose-estimator rtmpose-m: layout folder has its own joints and regions",
        ),
        (
            ["--parser", "n.onnx", "--parser-labels", "atr18", "--parser-size", "big"],
            r"--parser-size big: is not a size",
        ),
    ],
)
def test_conflicting_options_are_a_one_line_error(
    tmp_path: Path, drawn_source: Path, options: list[str], said: str, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_parser(tmp_path / "n.onnx", (1, 2, 3), 18)
    layout = [] if "--layout" in options else ["--layout", "photos"]
    done = scm("preprocess", drawn_source, "-o", tmp_path / "data", *layout, *options)
    assert done.code == 2
    (line,) = done.errors
    assert re.search(said, line)
    assert not (tmp_path / "data").exists()


def test_third_party_estimators_are_loaded_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_pose(tmp_path / "net.onnx")
    for name in ("onnxruntime", "rtmlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert EstimatorOptions().analyser().parser.startswith("built-in analyser")
    with pytest.raises(ScmError, match=r"needs rtmlib .*pip install 'scmnet-cli\[rtmlib\]'"):
        RtmPose(str(file))
    with pytest.raises(ScmError, match=r"needs ONNX Runtime; .*pip install 'scmnet-cli\[onnx\]'"):
        OnnxParser(file, "lip20")


@pytest.mark.parametrize(
    "words",
    [
        ["transfer", "--src", "me.png", "--pose", "data/ben"],
        ["inspect", "--src", "data/ben", "--pose", "me.png"],
        ["edit", "--src", "me.png", "--region", "upper", "--ref", "data/ben"],
    ],
)
def test_estimators_are_used_on_raw_photos_of_other_commands(
    words: list[str], place: Place, drawn_source: Path, monkeypatch: pytest.MonkeyPatch, scm: Scm
) -> None:
    asked: list[Estimators] = []

    def load(estimators: Estimators, **_: object) -> Analyser:
        asked.append(estimators)
        return Sees()

    monkeypatch.setattr(Analyser, "load", load)
    (place.path / "me.png").write_bytes((drawn_source / "drawn_0001.png").read_bytes())
    parser = save_parser(place.path / "parser.onnx", (1, 2, 3), 18)
    assert scm(*words, "-m", "run", "--parser", parser, "--parser-labels", "atr18").code == 0
    (estimators,) = asked
    assert estimators.pose is None
    assert estimators.parser is not None
    assert estimators.parser.name.startswith("parser.onnx, labels atr18")


# computed elsewhere
