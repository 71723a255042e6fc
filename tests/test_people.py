"""People in memory or on disk: the way they are stored does not change the training data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scmnet_cli.config import DataConfig
from scmnet_cli.data.dataset import PeopleInMemory, PeopleOnDisk, TrainingStream, open_people
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.types import Canvas

CPU = torch.device("cpu")


@pytest.mark.parametrize("canvas", [Canvas(64, 48), Canvas(128, 96)], ids=str)
def test_people_on_disk_and_in_memory_give_the_same_stream(drawn_data: Path, canvas: Canvas):
    folder = PreparedFolder(drawn_data)
    names = folder.names("train")
    streams = [
        TrainingStream(open_people(folder, names, canvas, CPU, cache), DataConfig(), seed=3)
        for cache in ("ram", "none")
    ]
    assert [type(stream.people) for stream in streams] == [PeopleInMemory, PeopleOnDisk]
    assert streams[0].people.fill == streams[1].people.fill
    kept, read = (stream.batch(2, 4) for stream in streams)
    for name in ("image", "labels", "structure"):
        assert torch.equal(getattr(kept.target, name), getattr(read.target, name))
    assert torch.equal(kept.source.image, read.source.image)
    assert torch.equal(kept.source.labels, read.source.labels)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_an_empty_split_is_an_error_that_names_the_folder(drawn_data: Path, cache: str):
    with pytest.raises(ScmError, match="no people to load"):
        open_people(PreparedFolder(drawn_data), [], Canvas(64, 48), CPU, cache)
