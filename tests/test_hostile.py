"""Thousands of broken and malicious files: each is read, or refused in one line, and changes nothing else."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hostile_readers import (
    FEW,
    LONGEST_LINE,
    MANY,
    READERS,
    SECONDS,
    array_file,
    at_most,
    feed,
    is_one_clear_line,
    label_map,
    mutated,
    prepared_people,
    read_all,
)

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.label_maps import read_ids
from scmnet_cli.types import Canvas
from scmnet_cli.weights import load_backbone

if TYPE_CHECKING:
    from conftest import Place, Scm


# --- a valid file of each kind


# --- the readers: each gets a folder with valid files, one of them corrupted


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for valid files; a reader may change nothing outside its own folder."""
    folder = tmp_path / "outside"
    folder.mkdir()
    monkeypatch.setenv("SCM_HOSTILE", str(folder))
    monkeypatch.setenv("SCM_WEIGHTS", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", READERS)
def test_a_corrupted_file_is_read_or_refused_in_one_line(name: str, tmp_path: Path, outside: Path) -> None:
    feed(READERS[name], tmp_path / "inside", range(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_hundreds_of_corrupted_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path, outside: Path) -> None:
    counts = feed(READERS[name], tmp_path / "inside", range(1000, 1000 + MANY))
    assert counts["refused"] > 0  # otherwise the mutations do not reach the reader


# --- whole commands


def spoil(folder: Path, seed: int) -> None:
    """Corrupt a third of the files of a folder."""
    random = np.random.default_rng(seed)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if random.random() < 1 / 3:
            path.write_bytes(mutated(path.read_bytes(), int(random.integers(1 << 30))))


def test_corrupted_people_are_skipped_and_the_others_prepared(tmp_path: Path) -> None:
    people = tmp_path / "people"
    write_drawn_source(people, 12)
    table = people / "joints.csv"
    kept = table.read_bytes() if table.is_file() else None
    spoil(people, 3)
    if kept:
        table.write_bytes(kept)
    before = {name for name in files_in(tmp_path) if not name.startswith("data")}
    outcome = prepare(open_source("folder", people), tmp_path / "data", Canvas(64, 48), jobs=1)
    assert outcome.num_usable > 0
    assert outcome.left_out
    assert all(reason.isprintable() for reason in outcome.left_out.values())
    assert {name for name in files_in(tmp_path) if not name.startswith("data")} == before
    read_all(tmp_path / "data")


@pytest.mark.parametrize("seed", range(6))
def test_a_command_on_corrupted_files_exits_with_0_or_2_and_one_line(place: Place, scm: Scm, seed: int) -> None:
    spoil(place.data, seed)
    if seed % 2:
        place.model.write_bytes(mutated(place.model.read_bytes(), seed))
    before = {name: content for name, content in files_in(place.path).items() if not name.startswith("out/")}
    with at_most(SECONDS):
        outcome = scm("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", place.model, "-o", "out")
    assert outcome.code in (0, 2)
    assert bool(outcome.errors) == (outcome.code == 2)
    assert all(len(line) < LONGEST_LINE and line.isprintable() for line in outcome.errors)
    assert {name: content for name, content in files_in(place.path).items() if not name.startswith("out/")} == before


# --- attacks


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few kilobytes that claims width x height pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_photo, read_label_map])
@pytest.mark.parametrize("size", [(60_000, 60_000), (2_000_000, 1), (1, 200_000_000)])
def test_a_decompression_bomb_is_refused_before_decompression(
    read: Callable[[Path], object], size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(*size))
    with at_most(SECONDS), pytest.raises(ScmError) as refused:
        read(path)
    assert is_one_clear_line(refused.value)


def test_a_compressed_text_chunk_does_not_expand_to_gigabytes(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    good = label_map()
    text = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(64 << 20), 9))
    path = tmp_path / "a.png"
    path.write_bytes(good[:33] + text + good[33:])
    with pytest.raises(ScmError) as refused:
        read_label_map(path)
    assert is_one_clear_line(refused.value)


class Malice:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path(os.environ["SCM_HOSTILE"]) / "owned",)  # type: ignore[return-value]


def test_code_in_a_pickle_is_not_executed(tmp_path: Path, outside: Path) -> None:
    path = tmp_path / "alexnet-owt-7be5be79.pth"
    torch.save({"features.0.weight": Malice()}, path)
    with pytest.raises(ScmError) as refused:
        load_backbone("alexnet", tmp_path)
    assert is_one_clear_line(refused.value)
    array = tmp_path / "a.npy"
    array.write_bytes(array_file()[:6] + b"\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")
    with array.open("ab") as stream:
        pickle.dump(Malice(), stream)
    with pytest.raises(ScmError):
        read_ids(array)
    assert not (outside / "owned").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..", ".", "a\x00b", "con/../x", ""])
def test_a_name_that_leaves_a_prepared_folder_is_refused(name: str, tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "data"
    prepared_people(folder)
    table = folder / "joints.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("drawn_0000", name), encoding="utf-8")
    (folder / "train.txt").write_text(f"{name}\ndrawn_0001\n", encoding="utf-8")
    with pytest.raises(ScmError) as refused:
        read_all(folder)
    assert is_one_clear_line(refused.value)


def test_a_source_whose_files_link_outside_the_folder_is_skipped(tmp_path: Path) -> None:
    people, secret = tmp_path / "people", tmp_path / "secret"
    write_drawn_source(people, 3)
    secret.mkdir()
    photo = min(people.glob("*.png"))
    os.replace(photo, secret / photo.name)
    photo.symlink_to(secret / photo.name)
    outcome = prepare(open_source("folder", people), tmp_path / "data", Canvas(64, 48), jobs=1)
    assert photo.stem in outcome.left_out
    assert not (tmp_path / "data" / "images" / f"{photo.stem}.png").exists()
