"""Label maps of other programs: permuted palettes, colours for ids, grey in three channels, unknown ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.sources.label_colours import _LIP, _voc_colours
from scmnet_cli.sources.label_maps import find_map, read_ids

IDS = np.repeat(np.repeat(np.array([[0, 2, 5], [9, 13, 14]], np.uint8), 4, 0), 4, 1)
VOC = np.array(_voc_colours(20), np.uint8)
LIP = np.array(_LIP, np.uint8)


def save(path: Path, pixels: np.ndarray, palette: np.ndarray | None = None) -> Path:
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette.reshape(-1).tolist())
    image.save(path)
    return path


def test_vocs_colours_are_the_published_ones() -> None:
    assert VOC[:6].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]


@pytest.mark.parametrize(("palette", "labels"), [(VOC, "lip20"), (VOC, "atr18"), (LIP, "cihp20")])
def test_ids_of_a_palette_map_are_kept_where_each_colour_has_its_own_place(
    tmp_path: Path, palette: np.ndarray, labels: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert np.array_equal(read_ids(save(tmp_path / "a.png", IDS, palette), labels), IDS)
    assert not caplog.records


@pytest.mark.parametrize("palette", [VOC, LIP])
def test_a_coloured_map_that_was_quantised_is_read_by_its_colours_and_says_so_once(
    tmp_path: Path, palette: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        quantised = Image.fromarray(palette[IDS]).quantize(256)
        quantised.save(tmp_path / f"{name}.png")
        assert not np.array_equal(np.asarray(quantised), IDS)
        assert np.array_equal(read_ids(tmp_path / f"{name}.png", "lip20"), IDS)
    (record,) = caplog.records
    whose = "Pascal VOC's" if palette is VOC else "LIP's"
    assert record.message.endswith(f"label maps are read by their colours, which are {whose}, not by their ids")


def test_a_coloured_map_is_read_by_its_colours(tmp_path: Path) -> None:
    assert np.array_equal(read_ids(save(tmp_path / "a.png", LIP[IDS]), "lip20"), IDS)
    assert np.array_equal(read_ids(save(tmp_path / "b.png", VOC[IDS]), "schp-atr"), IDS)
    other = IDS[..., None] * np.array([9, 3, 1], np.uint8)
    with pytest.raises(ScmError, match=r"c\.png: holds colours of no known palette; a label map is"):
        read_ids(save(tmp_path / "c.png", other), "lip20")


def test_a_palette_of_ones_own_keeps_its_ids(tmp_path: Path) -> None:
    own = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    ids = IDS % 8
    assert np.array_equal(read_ids(save(tmp_path / "a.png", ids, own)), ids)
    bright = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]], np.uint8)
    ids = IDS % 5
    assert np.array_equal(read_ids(save(tmp_path / "b.png", ids, bright), "regions"), ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_three_equal_channels_are_grey(tmp_path: Path, mode: str) -> None:
    Image.fromarray(IDS).convert(mode).save(tmp_path / "a.png")
    assert np.array_equal(read_ids(tmp_path / "a.png", "lip20"), IDS)


def test_pixels_of_id_255_take_the_nearest_label_near_by_and_background_far_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = np.zeros((40, 100), np.uint8)
    ids[:, 20:40], ids[:, 18:20], ids[:, 50:] = 5, 255, 255
    np.save(tmp_path / "a.npy", ids)
    for path in (save(tmp_path / "a.png", ids), tmp_path / "a.npy"):
        found = read_ids(path)
        assert found[0, 17:21].tolist() == [0, 0, 5, 5]
        assert not found[:, 60:].any()
        assert set(np.unique(found)) == {0, 5}
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "id 255 of the label maps is unknown; it becomes the nearest label or background"
    ]
    assert not read_ids(save(tmp_path / "b.png", np.full((9, 9), 255, np.uint8))).any()


@pytest.mark.parametrize("ending", [".png", ".PNG", ".Npy", ".NPY"])
def test_endings_of_maps_are_found_in_any_case(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").touch()
    assert find_map(tmp_path, "a") == tmp_path / f"a{ending}"
