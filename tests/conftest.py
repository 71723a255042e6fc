"""Shared fixtures: a prepared folder, a model with random weights, and ``scm`` run in this process."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_faces import CANVAS as FACE_CANVAS
from drawn_faces import face_config, write_source
from loss_inputs import save_vgg

from scmnet_cli import checkpoint
from scmnet_cli.cli.main import main
from scmnet_cli.config import parse_config
from scmnet_cli.data.prepared import Entry, Manifest, PreparedWriter
from scmnet_cli.domains import FACE
from scmnet_cli.edges import canny_edges
from scmnet_cli.images import CropBox
from scmnet_cli.metrics.inception import inception_layout
from scmnet_cli.models.build import build_generator
from scmnet_cli.preprocess.prepare import prepare as prepare_source
from scmnet_cli.regions import region_id
from scmnet_cli.sources.celebamask import CelebAMaskSource
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.types import NO_JOINTS, Canvas, Person
from scmnet_cli.weights import backbone_shapes

CANVAS = Canvas(64, 48)


def pytest_configure() -> None:
    """Restore SIGINT for child processes: a shell ignores it in everything started with ``&``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def drawn_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source folder of twelve drawn people; read only."""
    folder = tmp_path_factory.mktemp("drawn") / "people"
    write_drawn_source(folder, 12)
    return folder


@pytest.fixture(scope="session")
def drawn_data(drawn_source: Path) -> Path:
    """The prepared folder of twelve drawn people at 64x48; read only."""
    folder = drawn_source.parent / "data"
    prepare_source(FolderSource(drawn_source), folder, CANVAS, jobs=1)
    return folder


def a_person(name: str, seed: int) -> Person:
    random = np.random.default_rng(seed)
    image = np.full((64, 48, 3), 230, dtype=np.uint8)
    regions = np.zeros((64, 48), dtype=np.uint8)
    for part, (top, bottom) in {"hair": (4, 12), "upper": (16, 36), "pants": (36, 58)}.items():
        image[top:bottom, 14:34] = random.integers(0, 256, (bottom - top, 20, 3))
        regions[top:bottom, 14:34] = region_id(part)
    joints = np.ones((18, 3), dtype=np.float32)
    joints[:, :2] = random.uniform(8, 40, (18, 2)).round()
    return Person(name, image, regions, joints)


def prepare(folder: Path, people: list[Person], pairs: list[tuple[str, str]]) -> None:
    writer = PreparedWriter(folder, CANVAS)
    for person in people:
        writer.write(person)
    crop = CropBox(0, 0, CANVAS.width, CANVAS.height, CANVAS)
    writer.finish(
        Manifest(
            layout="test", height=64, width=48, background="plain", pose_estimator="test", parser="test", counts={}
        ),
        [Entry(person.name, f"{person.name}.jpg", (48, 64), crop, person.joints) for person in people],
        {"train": [person.name for person in people]},
        pairs,
    )


@dataclass(frozen=True)
class Place:
    """The current folder, with prepared people in ``data`` and a model with random weights in ``run``."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def model(self) -> Path:
        return self.path / "run" / "model.safetensors"

    @staticmethod
    def person(name: str, seed: int) -> Person:
        return a_person(name, seed)

    @staticmethod
    def prepare(folder: Path, people: list[Person], pairs: list[tuple[str, str]]) -> None:
        prepare(folder, people, pairs)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("SCM_MODEL", raising=False)
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch"))
    people = [a_person(name, seed) for seed, name in enumerate(["anna", "ben", "cleo"])]
    prepare(tmp_path / "data", people, [("anna", "ben")])
    config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(
            tmp_path / "run" / "model.safetensors", build_generator(config.model).state_dict(), config
        )
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@pytest.fixture
def float64_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a float64 network compute in float64 throughout: our ``.float()`` only casts up from bfloat16.

    Two ways to compute the same thing differ by rounding, and by how much depends on the CPU, which sets the order of
    sums. In float64 rounding stays far below any fault, so one tight tolerance holds everywhere.
    """
    to_float32 = torch.Tensor.float
    monkeypatch.setattr(
        torch.Tensor, "float", lambda tensor: tensor if tensor.dtype == torch.float64 else to_float32(tensor)
    )


@dataclass(frozen=True)
class Outcome:
    code: int
    paths: list[Path]
    errors: list[str]
    notes: list[str]

    def report(self, number: int = 0) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.paths[number].with_suffix(".json").read_text())
        return report


class Scm:
    """Runs ``scm`` in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._captured = capfd

    def __call__(self, *arguments: object) -> Outcome:
        self._captured.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        out, err = self._captured.readouterr()
        code = caught.value.code
        assert code is None or isinstance(code, int)
        lines = [line for line in err.splitlines() if line.startswith("scm: ")]
        notes = [line for line in lines if line.startswith("scm: note: ")]
        errors = [line for line in lines if line not in notes]
        return Outcome(code or 0, [Path(line) for line in out.splitlines()], errors, notes)


@pytest.fixture
def scm(capfd: pytest.CaptureFixture[str]) -> Scm:
    return Scm(capfd)


@pytest.fixture(scope="session")
def seeded_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in the layout of pytorch-fid's Inception; the weights are seeded noise."""
    folder = tmp_path_factory.mktemp("inception")
    generator = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for key, (shape, kind) in inception_layout().items():
        if kind == torch.long:
            continue  # as in old files
        if len(shape) > 1:
            state[key] = torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
        else:
            state[key] = torch.ones(shape) if key.endswith(("running_var", "bn.weight")) else torch.zeros(shape)
    torch.save(state, folder / "pt_inception-2015-12-05-6726825d.pth")
    return folder


@pytest.fixture(scope="session")
def seeded_backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with AlexNet and the first layers of VGG-16 in the right layout; the weights are seeded noise."""
    folder = tmp_path_factory.mktemp("backbones")
    generator = torch.Generator().manual_seed(0)
    first_layers = {"alexnet": "features.", "vgg16": ("features.0.", "features.2.")}  # VGG-16 to relu1_2
    for name, prefixes in first_layers.items():
        state = {
            key: torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))
            if len(shape) > 1
            else torch.zeros(shape)
            for key, shape in backbone_shapes(name).items()
            if key.startswith(prefixes)
        }
        torch.save(state, folder / f"{name}-features-fp16.pth")
    return folder


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Return a function that finds a file or folder of real data; a test skips where it is missing."""
    root = Path(os.environ.get("SCM_SHARED", Path(__file__).parents[2] / "shared"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"{root / name} is absent; set SCM_SHARED")
        return root / name

    return find


@pytest.fixture(scope="session")
def shared_weights(shared: Callable[[str], Path]) -> Path:
    """Real ImageNet backbones, for tests marked `weights`."""
    return shared("weights")


@dataclass(frozen=True)
class SomeFaces:
    """A prepared folder of two single-colour faces and a face model with random weights, at 32x32."""

    data: Path
    model: Path


@pytest.fixture(scope="session")
def some_faces(tmp_path_factory: pytest.TempPathFactory) -> SomeFaces:
    """Read only."""
    folder, canvas = tmp_path_factory.mktemp("some-faces"), Canvas(32, 32)
    writer = PreparedWriter(folder / "data", canvas, FACE)
    entries = []
    for name, colour in {"red": (220, 30, 30), "blue": (30, 30, 220)}.items():
        image = np.full((32, 32, 3), 230, np.uint8)
        regions = np.zeros((32, 32), np.uint8)
        image[6:26, 8:24], regions[6:26, 8:24] = colour, FACE.region_id("skin")
        writer.write(Person(name, image, regions, NO_JOINTS, canny_edges(image).astype(np.uint8)))
        entries.append(Entry(name, f"{name}.png", (32, 32), CropBox(0, 0, 32, 32, canvas), NO_JOINTS))
    about = {"layout": "test", "background": "keep", "pose_estimator": "test", "parser": "test", "counts": {}}
    writer.finish(
        Manifest(domain="face", height=32, width=32, **about), entries, {"train": [entry.name for entry in entries]}
    )
    tiny = {"domain": "face", "size": "tiny", "height": 32, "width": 32, "carry_colours": True}
    config, model = parse_config({"model": tiny}, "test"), folder / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(model, build_generator(config.model).state_dict(), config)
    return SomeFaces(folder / "data", model)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of twelve drawn faces; not to be written into."""
    folder = tmp_path_factory.mktemp("faces")
    prepare_source(CelebAMaskSource(write_source(folder / "source")), folder / "data", FACE_CANVAS, "keep", jobs=1)
    return folder / "data"


@pytest.fixture(scope="session")
def face_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("face-model") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(
            path, build_generator(face_config().model).state_dict(), face_config(), extra={"background": "keep"}
        )
    return path


@pytest.fixture(scope="session")
def vgg_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with random weights of the first layers of VGG16 and VGG19."""
    folder = tmp_path_factory.mktemp("weights")
    save_vgg(folder, "vgg16", last=10)  # to relu3_1
    save_vgg(folder, "vgg19", last=7)  # to relu2_2
    return folder
