"""The analyser of an exported model finds in ONNX Runtime what torch finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.analyser.answers import as_input
from scmnet_cli.analyser.in_torch import InTorch
from scmnet_cli.analyser.people import SHIPPED, Analyser
from scmnet_cli.analyser.subjects import PEOPLE, read_weights
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_file
from scmnet_cli.images import read_photo
from scmnet_cli.inference.exports.export import analyser_file, put
from scmnet_cli.inference.exports.exported import ANALYSER, FORMAT, FORMAT_VERSION
from scmnet_cli.inference.exports.exported_analyser import InOnnxRuntime, load_exported_analyser, opened
from scmnet_cli.inference.inputs.demo_people import find_demo_people
from scmnet_cli.types import UInt8Array

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported analyser alone; not to be written into."""
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    folder = tmp_path_factory.mktemp("analyser")
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION)}
    write_file(folder / ANALYSER, partial(put, analyser_file(metadata)))
    return folder


@pytest.fixture(scope="module")
def photo() -> UInt8Array:
    return read_photo(find_demo_people("demo:stripes", "--src")[0])


@pytest.mark.parametrize("size", [(384, 256), (288, 192), (192, 128), (768, 512)])
def test_the_network_answers_alike_at_every_size(folder: Path, photo: UInt8Array, size: tuple[int, int]) -> None:
    net = PEOPLE.build()
    read_weights(SHIPPED, net)
    image = as_input(np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)))
    expected, found = InTorch(net)(image), InOnnxRuntime(opened(folder)[0])(image)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-3)
    np.testing.assert_allclose(found.joints, expected.joints, atol=0.02)
    assert found.score == pytest.approx(expected.score, abs=1e-3)
    assert found.carried is not None
    assert expected.carried is not None
    np.testing.assert_allclose(found.carried, expected.carried, atol=0.02)


def test_a_photo_has_the_same_map_and_joints_in_both_runtimes(folder: Path, photo: UInt8Array) -> None:
    expected, found = Analyser.load(bfloat16=False)(photo), load_exported_analyser(folder)(photo)
    assert found.crop == expected.crop
    assert (found.regions != expected.regions).mean() < 1e-4
    np.testing.assert_allclose(found.joints, expected.joints, atol=0.05)


def test_all_people_of_a_photo_are_found_in_both_runtimes(folder: Path, photo: UInt8Array) -> None:
    two = np.concatenate([photo, photo[:, ::-1]], axis=1)
    expected, found = Analyser.load(bfloat16=False).people(two), load_exported_analyser(folder).people(two)
    assert [one.crop for one in found] == [one.crop for one in expected]
    assert len(found) == 2


def test_estimators_are_named_alike_in_both_runtimes(folder: Path) -> None:
    assert load_exported_analyser(folder).pose_estimator == Analyser.load().pose_estimator
    assert load_exported_analyser(folder).stamp.startswith(sha256(SHIPPED)[:12])


@pytest.mark.parametrize(
    ("name", "largest", "missing"),
    [("stripes", 1024, "'torch', 'skimage'"), ("denim-jacket", 256, "'torch', 'skimage', 'scipy'")],
)
def test_photos_are_analysed_without_torch(folder: Path, tmp_path: Path, name: str, largest: int, missing: str) -> None:
    shutil.copy(find_demo_people(f"demo:{name}", "--src")[0], tmp_path / "me.jpg")
    code = (
        "import sys; from pathlib import Path; from scmnet_cli.types import Canvas\n"
        "from scmnet_cli.inference.exports.exported_analyser import load_exported_analyser\n"
        "from scmnet_cli.inference.inputs.photo import PhotoOptions, read_person\n"
        f"options = PhotoOptions(lambda: load_exported_analyser(Path({str(folder)!r})), largest={largest})\n"
        f"print(read_person(Path({str(tmp_path / 'me.jpg')!r}), Canvas(256, 176), 'plain', options).canvas)\n"
        f"sys.exit(len({{{missing}}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_without_an_analyser_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"holds no analyser\.onnx; 'scm export"):
        load_exported_analyser(tmp_path)
