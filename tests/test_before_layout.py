"""Files that the commit before the modules moved (19a69fb) wrote load as before and draw the same pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from scmnet_cli.config import Config, load_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.inference.wardrobe import Wardrobe
from scmnet_cli.pipeline import Pipeline
from scmnet_cli.training.loop import Run

FILES = Path(__file__).parent / "data" / "before_layout"
CLOSE = 3
"""Levels of 255 by which a pixel may differ between processors."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old files that may be written into."""
    shutil.copytree(FILES, tmp_path / "old")
    return tmp_path / "old"


def config_of(old: Path, *settings: str) -> Config:
    return load_config(str(old / "config.yaml"), settings)


def assert_close(image: npt.ArrayLike, expected: npt.ArrayLike) -> None:
    difference = np.abs(np.asarray(image).astype(np.int16) - np.asarray(expected).astype(np.int16))
    assert difference.max() <= CLOSE


def test_an_old_model_and_prepared_folder_draw_the_same_pictures(old: Path) -> None:
    folder, pipeline = PreparedFolder(old / "data"), Pipeline.from_pretrained(old / "run", "cpu")
    first, second = (folder.load(name) for name in folder.names()[:2])
    assert_close(pipeline.transfer(first, second).image, read_photo(old / "transfer.png"))
    assert_close(pipeline.edit(first, {"upper": second}).image, read_photo(old / "edit.png"))


def test_an_old_wardrobe_is_refused_with_the_remedy(old: Path) -> None:
    with pytest.raises(ScmError, match="scm wardrobe add"):
        Wardrobe.read(old / "wardrobe.safetensors")


def test_an_old_run_resumes_with_its_old_config_and_finishes(old: Path) -> None:
    run = Run(old / "data", old / "run", config_of(old, "train.images=12"), device="cpu", allow_changes=True)
    assert run.images == 8
    outcome = run.train()
    assert (outcome.images, outcome.finished) == (12, True)


def test_an_old_run_counts_as_the_same_run_with_its_old_config(old: Path) -> None:
    assert Run(old / "data", old / "run", config_of(old), device="cpu").images == 8
