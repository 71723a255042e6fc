"""A device or a pipe given as an output is refused; as root, a rename would put a file in its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_text
from scmnet_cli.provenance import save_generated


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    return path


def test_a_pipe_stays_a_pipe(pipe: Path) -> None:
    with pytest.raises(ScmError, match=r"pipe\.png: cannot be written \(not a regular file\)"):
        write_text(pipe, "text")
    with pytest.raises((ScmError, OSError), match="not a regular file"):
        save_generated(pipe, np.zeros((8, 8, 3), np.uint8))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in pipe.parent.iterdir()] == ["pipe.png"]


def test_a_folder_is_refused_alike(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"cannot be written \(not a regular file\)"):
        write_text(tmp_path, "text")
