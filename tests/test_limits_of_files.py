"""Configs, own files, disks and links: what is damaged or leads elsewhere is one line, and costs little."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import yaml
from costs import check, cost_of

from scmnet_cli.config import load_config, parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.files import make_folders, open_to_append, translate_os_errors, write_text
from scmnet_cli.metrics.frechet import FeatureStatistics
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.system.devices import choose_device
from scmnet_cli.system.locks import held
from scmnet_cli.training.tracking import read_stats


def bomb(levels: int = 40) -> str:
    lines = ["model: {size: small}", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [bomb(), "train: {batch: " + "9" * 50_000 + "}", "train: {batch: 0x" + "f" * 40_000 + "}", "a: [" * 10_000,
     "x: " + "y" * 50_000_000, "train: {batch: " + "1:" * 500 + "1}"],
)  # fmt: skip
def test_a_yaml_bomb_is_refused_in_a_second(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    cost = cost_of(lambda: load_config(str(path)))
    assert cost.outcome == "refused"
    assert cost.seconds < 3
    assert cost.gigabytes < 1.5


@pytest.mark.parametrize(
    "value", ["[&a [x], *a]", "9" * 50_000, "0x" + "f" * 50_000, "[" * 10_000, "{a: &a [*a]}", "1e999", "&a [*a]"]
)
def test_a_setting_that_is_a_bomb_is_refused(value: str) -> None:
    cost = cost_of(lambda: load_config("smoke", [f"train.batch={value}"]))
    assert cost.outcome == "refused"
    assert cost.seconds < 3


def test_a_recursive_value_is_refused_without_expansion() -> None:
    values = yaml.safe_load("model: {height: &a [1, *a]}")
    with pytest.raises(ScmError, match="height"):
        parse_config(values, "config a.yaml")


@pytest.mark.parametrize(
    "setting", ["model.height=1e9", "model.width=1000000000", "train.batch=10000000000000000000000"]
)
def test_an_implausible_size_is_refused(setting: str) -> None:
    with pytest.raises(ScmError, match=setting.partition("=")[0].replace(".", r"\.")):
        load_config("smoke", [setting])


def test_a_device_without_values_is_refused() -> None:
    with pytest.raises(ScmError, match=r"--device meta: cannot be used here"):
        choose_device("meta")


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b"[1]", b"{}", b'{"images": -1}', b'{"images": "many"}', b'{"images": 1, "loss": "x"}',
     b'{"images": ' + b"9" * 5000 + b"}", b'{"images": 1, "a": {}}',
     b"null", b"[" * 5000, b'{"images": 1, "\\ud800": 1}'],
)  # fmt: skip
def test_a_damaged_line_of_stats_is_an_error_with_file_line_and_remedy(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_bytes(b'{"images": 4, "loss": 0.5, "x": null}\n' + line + b"\n")
    with pytest.raises(ScmError, match=r"stats\.jsonl, line 2: .*delete that line or the file"):
        read_stats(tmp_path)


def test_an_incomplete_last_line_of_stats_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_bytes(b'{"images": 4, "loss": 0.5, "x": null}\n{"images": 8, "lo')
    assert read_stats(tmp_path) == [{"images": 4, "loss": 0.5, "x": None}]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"x" * 1000])
def test_damaged_statistics_in_the_cache_are_an_error_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ScmError, match=r"a\.npz: is damaged .*delete it, it is a cache"):
        FeatureStatistics.read(tmp_path / "a.npz")


def test_statistics_of_wrong_shapes_or_compressed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    good = {"count": 4, "sum": np.zeros(3), "products": np.zeros((3, 3))}
    for bad in (
        {"products": np.zeros((3, 2))},
        {"sum": np.zeros(3, np.float32)},
        {"count": -1},
        {"sum": np.full(3, np.nan)},
    ):
        np.savez(path, **{**good, **bad})  # type: ignore[arg-type]
        with pytest.raises(ScmError, match="delete it"):
            FeatureStatistics.read(path)
    np.savez_compressed(path, **{**good, "sum": np.zeros(100_000)})  # type: ignore[arg-type]
    with pytest.raises(ScmError, match="its members are compressed"):
        FeatureStatistics.read(path)
    np.savez(path, **good)  # type: ignore[arg-type]
    assert FeatureStatistics.read(path).count == 4


def test_a_table_of_millions_of_short_rows_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "joints.csv"
    path.write_bytes(b"name\n" + b"ab\n" * 16_000_000)
    check(lambda: read_keypoint_table(path), "refused")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "precious.txt"
    path.parent.mkdir()
    path.write_text("precious", encoding="utf-8")
    return path


def test_a_file_is_never_written_through_a_link(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("manifest.json", ".manifest.json.partial", "journal.jsonl", ".lock"):
        (folder / name).symlink_to(target)
    write_text(folder / "manifest.json", "{}")
    assert not (folder / "manifest.json").is_symlink()
    with pytest.raises(ScmError, match=r"journal\.jsonl: is a link"), translate_os_errors(folder):
        open_to_append(folder / "journal.jsonl")
    with pytest.raises(ScmError, match=r"\.lock: is a link"), held(folder / ".lock", "taken"):
        pass
    assert target.read_text(encoding="utf-8") == "precious"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(target.parent)
    with pytest.raises(ScmError, match="images: is a link that leads out of"):
        make_folders(folder, "images", "regions")


def test_a_full_disk_is_an_error_that_says_how_to_continue(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"the disk is full .*run the same command again"), translate_os_errors(tmp_path):
        Path("/dev/full").write_bytes(b"x")


def test_a_failed_write_keeps_the_existing_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource_limit[1]))
    try:
        with pytest.raises(ScmError, match=r"a\.txt: cannot be written \(File too large\)"):
            write_text(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_manifest_is_an_error_with_value_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "height": -5}), encoding="utf-8")
    with pytest.raises(ScmError, match=r"manifest\.json: is damaged or of another program .*prepare the folder again"):
        PreparedFolder(tmp_path)
