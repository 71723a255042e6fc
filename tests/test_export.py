"""``scm export`` and ``--runtime onnx``: the exported model draws what the model draws."""

from __future__ import annotations

import builtins
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_extremities import standing
from test_hanging_arms import lifted, photo

from scmnet_cli.checkpoint import save_model, sha256
from scmnet_cli.config import parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.exports.export import (
    OPSET,
    compared_person,
    export_onnx,
    largest_difference,
    share_constants,
    simplified,
)
from scmnet_cli.inference.exports.exported import (
    ANALYSER,
    FILES,
    POSE_TO_IMAGE,
    REGION_ENCODER,
    ExportedModel,
    open_session,
)
from scmnet_cli.inference.limbs.bags import complete_at_bags
from scmnet_cli.inference.limbs.crossed_arms import limb_kinds, moved_limbs
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.types import Canvas, FloatArray, Person, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm

GREY_LEVEL = 2 / 255
"""One step of 8 bits in [-1, 1]: float32 rounding of two runtimes, a hundredfold by 1/tau, stays below it."""

WARPING: dict[str, Any] = {"part_warp": True, "show_structure": True, "carry_detail": 4}

KINDS: list[dict[str, Any]] = [
    {"carry_colours": True},
    {"norm": "batch", "generator_norm": "batch"},
    {"norm": "group", "generator_norm": "none", "mask_channel": False},
    {"style": "global", "ccf": False, "carry_colours": True},
    {"carry_colours": True, "carry_detail": 4},
    WARPING,
    {"domain": "face", "width": 64, "show_structure": True},
    {"domain": "face", "width": 64, "show_structure": True, "half_size": True},
]


def a_model(folder: Path, **about: Any) -> Path:
    values = {"size": "tiny", "height": 64, "width": 48, "carry_colours": True} | about
    config = parse_config({"model": values}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_model(folder / "model.safetensors", build_generator(config.model).state_dict(), config)
    return folder


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of random weights and the folder it was exported to; not to be written into."""
    return exported_to(tmp_path_factory.mktemp("exported"), {})


@pytest.fixture(scope="session")
def warping(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with a part warp and the folder it was exported to; not to be written into."""
    return exported_to(tmp_path_factory.mktemp("warping"), WARPING)


def exported_to(folder: Path, kind: dict[str, Any]) -> tuple[Path, Path]:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    run = a_model(folder / "run", **kind)
    export_onnx(run, folder / "onnx")
    return run, folder / "onnx"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(f"{value}" for value in kind.values()))
def test_every_kind_of_model_draws_the_same_in_onnxruntime(
    kind: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run, folder = request.getfixturevalue("warping") if kind is WARPING else exported_to(tmp_path, kind)
    pipeline, exported = Pipeline.from_pretrained(run, "cpu"), ExportedModel.from_exported(folder)
    assert largest_difference(pipeline, exported) < GREY_LEVEL / 2


def test_exported_models_are_compared_on_a_whole_person() -> None:
    person = compared_person(Canvas(256, 176))
    assert (person.joints[:, 2] > 0).all()
    present = {PERSON.regions[number] for number in np.unique(person.regions)}
    assert present > {"background", "hair", "face", "upper", "arms"}
    assert 0.1 < (person.regions > 0).mean() < 0.6, "a body, not stripes"


def with_hanging_arms() -> Person:
    """Return a person in a wide coat on which both hands lie, 64x48."""
    image, masks = photo()
    beside = ((0, 0), (8, 8))  # to 256x192
    labels = np.pad(masks.argmax(1)[0].byte().numpy(), beside)[2::4, 2::4]
    grey = np.pad(((image[0, 0] + 1) * 127.5).round().byte().numpy(), beside, constant_values=230)[2::4, 2::4]
    return Person("anna", np.repeat(grey[..., None], 3, axis=2), labels, on_canvas(standing()))


def on_canvas(joints: torch.Tensor) -> FloatArray:
    """Return joints of a person of 256x176 on 64x48."""
    return ((joints[0] + torch.tensor([8.0, 0.0, 0.0])) / torch.tensor([4.0, 4.0, 1.0])).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [True, False])
def test_arms_that_leave_a_coat_are_drawn_the_same_in_both_runtimes(warping: tuple[Path, Path], mirrored: bool) -> None:
    pipeline, exported = Pipeline.from_pretrained(warping[0], "cpu"), ExportedModel.from_exported(warping[1])
    if not mirrored:
        pipeline, exported = pipeline.without_mirrored_limbs(), exported.without_mirrored_limbs()
    person = with_hanging_arms()
    joints = on_canvas(lifted())
    masks = one_hot(torch.from_numpy(person.regions)[None])
    leaving = moved_limbs(limb_kinds(masks, torch.tensor(person.joints[None])), torch.tensor(person.joints[None]),
                          torch.tensor(joints[None]))  # fmt: skip
    assert leaving.tolist() == [[1, 1, 0, 0]]
    for pose in (joints, person.joints, joints):
        expected, found = (model.transfer(person, Pose("pose", pose, person.canvas)) for model in (pipeline, exported))
        assert np.abs(np.asarray(expected.image, int) - np.asarray(found.image, int)).max() <= 1


@pytest.mark.slow
def test_clothes_completed_at_a_bag_are_drawn_the_same_in_both_runtimes(warping: tuple[Path, Path]) -> None:
    person = with_hanging_arms()
    rows, columns = np.nonzero(person.regions == region_id("upper"))
    carried = np.zeros_like(person.regions, bool)
    row, column = round(rows.mean()), round(columns.mean())
    carried[row - 3 : row + 4, column - 3 : column + 4] = True
    person = replace(person, regions=np.where(carried, np.uint8(0), person.regions), carried=carried)
    assert (complete_at_bags(person).regions != person.regions).any()
    pipeline, exported = Pipeline.from_pretrained(warping[0], "cpu"), ExportedModel.from_exported(warping[1])
    for pose in (on_canvas(lifted()), person.joints):
        expected, found = (model.transfer(person, Pose("pose", pose, person.canvas)) for model in (pipeline, exported))
        assert np.abs(np.asarray(expected.image, int) - np.asarray(found.image, int)).max() <= 1


@pytest.mark.slow
def test_arms_that_leave_a_coat_need_no_torch(warping: tuple[Path, Path], place: Place) -> None:
    lifted_arms = replace(with_hanging_arms(), name="lifted", joints=on_canvas(lifted()))
    place.prepare(place.path / "coats", [with_hanging_arms(), lifted_arms], [])
    command = ["transfer", "--src", "coats/anna", "--pose", "coats/lifted", "-m", str(warping[1]), "--runtime", "onnx"]
    code = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'scipy', 'skimage'])\n"
        f"from scmnet_cli.cli.main import main; main({command!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (place.path / done.stdout.strip()).is_file()


@pytest.mark.slow
def test_a_source_is_encoded_once_for_a_batch_of_any_size(both: tuple[Path, Path], place: Place) -> None:
    pipeline, exported = Pipeline.from_pretrained(both[0], "cpu"), ExportedModel.from_exported(both[1])
    source, poses = place.person("anna", 0), [place.person(f"pose {seed}", seed) for seed in range(5)]
    for batch in (1, 2, 5):
        encoded = exported.encode(source)
        for expected, found in zip(
            pipeline.transfer_many(source, poses), exported.transfer_many(encoded, poses, batch), strict=True
        ):
            difference = np.abs(np.asarray(expected.image, int) - np.asarray(found.image, int))
            assert difference.max() <= 1
            assert (expected.moved_regions == found.moved_regions).mean() > 0.99
            assert found.entropy == pytest.approx(expected.entropy, abs=1e-4)


@pytest.mark.slow
def test_exported_files_name_their_model_and_nothing_of_this_machine(both: tuple[Path, Path]) -> None:
    import onnx

    for name in (*FILES, ANALYSER):
        proto = onnx.load(both[1] / name)
        about = {entry.key: entry.value for entry in proto.metadata_props}
        assert about["model_sha256"] == sha256(both[0] / "model.safetensors")
        assert json.loads(about["config"])["model"]["size"] == "tiny"
        assert json.loads(about["regions"])[5] == "upper"
        assert json.loads(about["joints"])[1] == "neck"
        assert [entry.version for entry in proto.opset_import if not entry.domain] == [OPSET]
        assert str(Path(__file__).parents[1]).encode() not in proto.SerializeToString()


@pytest.mark.slow
def test_the_command_exports_and_transfer_writes_the_same_bytes_twice(place: Place, scm: Scm) -> None:
    run = a_model(place.path / "coloured")
    done = scm("export", run, "-o", "exported", "--format", "onnx")
    assert done.code == 0
    assert done.paths == [Path("exported") / name for name in (*FILES, ANALYSER)]

    here = ["transfer", "--src", "data/anna", "--pose", "data/cleo"]
    plain = scm(*here, "-m", run, "-o", "plain")
    first = scm(*here, "-m", "exported", "--runtime", "onnx", "-o", "one")
    again = scm(*here, "-m", "exported", "--runtime", "onnx", "-o", "two", "--device", "cpu")
    assert first.paths[0].read_bytes() == again.paths[0].read_bytes()
    with Image.open(plain.paths[0]) as expected, Image.open(first.paths[0]) as found:
        assert np.abs(np.asarray(expected, int) - np.asarray(found, int)).max() <= 1
    assert first.report()["model"]["path"].endswith(POSE_TO_IMAGE)


@pytest.mark.slow
def test_a_transfer_with_onnxruntime_imports_no_torch(both: tuple[Path, Path], place: Place) -> None:
    command = ["transfer", "--src", "data/anna", "--pose", "walking", "-m", str(both[1]), "--runtime", "onnx"]
    code = (
        f"import sys; from scmnet_cli.cli.main import main\ntry: main({command!r})\n"
        "finally: print(sorted({'torch', 'scipy', 'skimage', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    picture, imported = done.stdout.splitlines()
    assert imported == "['onnxruntime']"
    report = json.loads((place.path / picture).with_suffix(".json").read_text())
    assert "onnxruntime" in report["versions"]
    assert "torch" not in report["versions"]
    assert report["not_computed"]["region_consistency"] == "--runtime onnx works without torch"


@pytest.mark.slow
def test_files_of_an_older_version_are_refused_with_the_remedy(both: tuple[Path, Path], tmp_path: Path) -> None:
    import onnx

    shutil.copytree(both[1], tmp_path / "older")
    proto = onnx.load(tmp_path / "older" / POSE_TO_IMAGE)
    onnx.helper.set_model_props(proto, {"format": "scm-net onnx", "format_version": "5"})
    onnx.save(proto, tmp_path / "older" / POSE_TO_IMAGE)
    with pytest.raises(ScmError, match="version 5 of an older program; export the model again"):
        ExportedModel.from_exported(tmp_path / "older")


def test_the_environments_model_is_exported_by_default(scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_MODEL", "nowhere")
    done = scm("export", "-o", "exported")
    assert done.code == 2
    assert "nowhere" in done.errors[0]


@pytest.mark.slow
def test_an_exported_model_refuses_unsupported_operations(both: tuple[Path, Path], place: Place, scm: Scm) -> None:
    here = ["transfer", "--src", "data/anna", "--pose", "data/cleo", "-m", both[1]]
    assert "--runtime onnx" in scm(*here).errors[0]
    assert "on the CPU" in scm(*here, "--runtime", "onnx", "--device", "cuda").errors[0]
    with pytest.raises(ScmError, match="does not edit"):
        ExportedModel.from_exported(both[1]).exchange(place.person("a", 0), {"upper": place.person("b", 1)})


@pytest.mark.slow
def test_the_documented_example_runs(both: tuple[Path, Path], place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parent.parent / "docs" / "export.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(both[1], place.path / "exported")
    exec(compile(block, str(page), "exec"), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "(1, 3, 64, 48)\n"


@pytest.mark.slow
def test_files_of_two_models_are_refused(both: tuple[Path, Path], tmp_path: Path) -> None:
    import onnx

    shutil.copytree(both[1], tmp_path / "mixed")
    proto = onnx.load(tmp_path / "mixed" / REGION_ENCODER)
    for entry in proto.metadata_props:
        if entry.key == "model_sha256":
            entry.value = "0" * 64
    onnx.save(proto, tmp_path / "mixed" / REGION_ENCODER)
    with pytest.raises(ScmError, match="of two models"):
        ExportedModel.from_exported(tmp_path / "mixed")


@pytest.mark.slow
@pytest.mark.data
def test_on_real_people_the_pictures_differ_by_less_than_a_grey_level(
    both: tuple[Path, Path], drawn_data: Path, shared: Any
) -> None:
    from scmnet_cli.data.cropping import crop_person
    from scmnet_cli.sources.ccp import CcpSource

    photos = CcpSource(shared("data/ccp"))
    people = [crop_person(photos.read(name), PreparedFolder(drawn_data).manifest.canvas, "plain")[0]
              for name in photos.names()[:3]]  # fmt: skip
    pipeline, exported = Pipeline.from_pretrained(both[0], "cpu"), ExportedModel.from_exported(both[1])
    for source in people:
        expected, found = pipeline.encode(source), exported.encode(source)
        assert np.abs(expected.style.packed().numpy() - found.style).max() < 1e-2
        for pose in people:
            drawn = pipeline.compose(expected, torch.from_numpy(pose.joints[None])).image.numpy()
            assert np.abs(drawn - exported.paint(found, pose.joints[None])["picture"]).max() < GREY_LEVEL


def test_equal_constants_of_a_graph_become_one() -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    helper = onnx.helper
    constants = [
        onnx.numpy_helper.from_array(np.array([value], np.float32), f"c{i}") for i, value in enumerate((1, 1, 2))
    ]
    nodes = [helper.make_node("Add", ["x", f"c{i}"], [f"sum{i}"]) for i in range(3)]
    nodes.append(helper.make_node("Concat", [f"sum{i}" for i in range(3)], ["y"], axis=0))
    seen, made = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [size]) for name, size in (("x", 1), ("y", 3))
    )
    graph = helper.make_graph(nodes, "sums", [seen], [made], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    share_constants(proto)
    merged = onnx.load_from_string(simplified(proto.SerializeToString()))
    assert [node.op_type for node in merged.graph.node].count("Add") == 2
    (found,) = open_session(merged.SerializeToString(), "sums").run(None, {"x": np.array([3], np.float32)})
    assert found.tolist() == [4, 4, 5]


def test_a_folder_without_exported_files_is_an_error_with_the_export_command(place: Place, scm: Scm) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "data/cleo", "-m", "run", "--runtime", "onnx")
    assert done.code == 2
    assert f"holds no {REGION_ENCODER}; 'scm export" in done.errors[0]


def test_a_file_that_is_not_an_exported_model_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    for name in FILES:
        (tmp_path / name).write_bytes(b"no onnx")
    with pytest.raises(ScmError, match=rf"{REGION_ENCODER}: is damaged"):
        ExportedModel.from_exported(tmp_path)


def test_without_the_extra_the_error_names_the_remedy(place: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.path / "exported").mkdir()
    for name in FILES:
        (place.path / "exported" / name).touch()
    find = builtins.__import__

    def without(name: str, *about: Any) -> Any:
        if name.startswith("onnx"):
            raise ImportError(f"No module named '{name}'")
        return find(name, *about)

    monkeypatch.setattr(builtins, "__import__", without)
    remedy = "pip install 'scmnet-cli[onnx]'"
    assert remedy in scm("export", "run", "-o", "elsewhere").errors[-1]
    done = scm("transfer", "--src", "data/anna", "--pose", "data/cleo", "-m", "exported", "--runtime", "onnx")
    assert remedy in done.errors[0]
