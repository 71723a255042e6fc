"""Garments that lie flat are cut out of their background, and their joints are read off the outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.edits.flat_garments import find_garment, outline_joints, read_flat_garment
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Garment, Wardrobe
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import UInt8Array

CARPET, WOOD = (120, 118, 60), (140, 90, 50)


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe.read(SHIPPED_WARDROBE)


def photographed(
    garment: Garment, colour: tuple[int, int, int], size: tuple[int, int] = (600, 700), seed: int = 0
) -> tuple[UInt8Array, UInt8Array, tuple[int, int]]:
    """Return a cut-out on a grainy ground, its opacity there, and its upper left corner (x, y)."""
    random = np.random.default_rng(seed)
    ground = np.clip(np.array(colour) + random.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)
    picture, opacity = Image.fromarray(ground), Image.new("L", size[::-1])
    cut = Image.fromarray(garment.image, "RGBA")
    corner = ((size[1] - cut.width) // 2 + 9, (size[0] - cut.height) // 2 - 7)
    picture.paste(cut, corner, cut)
    opacity.paste(cut.getchannel("A"), corner)
    return np.asarray(picture), np.asarray(opacity), corner


def others(wardrobe: Wardrobe, garment: Garment) -> Wardrobe:
    return Wardrobe(one for one in wardrobe.garments.values() if one.name != garment.name)


@pytest.mark.parametrize("colour", [CARPET, WOOD, (235, 235, 230)], ids=["carpet", "wood", "white"])
@pytest.mark.parametrize("name", ["teal-longsleeve", "blue-jeans", "red-tartan-skirt", "crimson-black-trim-dress"])
def test_a_garment_is_cut_out_of_its_background(wardrobe: Wardrobe, name: str, colour: tuple[int, int, int]) -> None:
    image, opacity, _ = photographed(wardrobe.garments[name], colour)
    mask, truth = find_garment(image), opacity > 127
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_the_gap_between_trouser_legs_is_background(wardrobe: Wardrobe) -> None:
    garment = wardrobe.garments["blue-jeans"]
    image, opacity, _ = photographed(garment, CARPET)
    rows = np.flatnonzero(find_garment(image).any(1))
    row = rows[int(0.9 * len(rows))]
    gap = np.flatnonzero(opacity[row] > 127)
    middle = int(gap[np.argmax(np.diff(gap))]) + 3
    assert opacity[row, middle] < 127, "the legs lie apart here"
    assert not find_garment(image)[row, middle]


def test_joints_of_a_garment_that_the_wardrobe_lacks_are_found(wardrobe: Wardrobe) -> None:
    """Leave one out: every garment by the outlines of all others, in shares of its longer side."""
    away: list[float] = []
    for garment in wardrobe.garments.values():
        joints, _ = outline_joints(garment.image[..., 3] > 127, garment.kind, others(wardrobe, garment))
        both = (joints[:, 2] > 0) & (garment.joints[:, 2] > 0)
        away += list(np.linalg.norm((joints - garment.joints)[both, :2], axis=1) / max(garment.image.shape[:2]))
    assert len(away) > 400
    assert np.median(away) < 0.045
    assert np.quantile(away, 0.9) < 0.13


def test_a_mirrored_outline_gives_mirrored_joints(wardrobe: Wardrobe) -> None:
    garment = wardrobe.garments["blue-jeans"]
    mask = garment.image[..., 3] > 127
    joints, alike = outline_joints(mask, "pants", wardrobe)
    turned, also = outline_joints(mask[:, ::-1], "pants", wardrobe)
    assert alike == pytest.approx(also, abs=1e-6)
    known = joints[:, 2] > 0
    back = turned[list(MIRRORED)]
    np.testing.assert_allclose(mask.shape[1] - back[known, 0], joints[known, 0], atol=1.0)
    np.testing.assert_allclose(back[known, 1], joints[known, 1], atol=1.0)


def test_a_flat_garment_is_read_whole(tmp_path: Path, wardrobe: Wardrobe) -> None:
    garment = wardrobe.garments["teal-longsleeve"]
    image, *_ = photographed(garment, WOOD)
    Image.fromarray(image).save(tmp_path / "mine.png")
    found = read_flat_garment(tmp_path / "mine.png", "upper", "mine", others(wardrobe, garment))
    assert (found.name, found.kind, found.lies_flat) == ("mine", "upper", True)
    assert abs(found.image.shape[0] / found.image.shape[1] - garment.image.shape[0] / garment.image.shape[1]) < 0.05
    assert (found.joints[:, 2] > 0).sum() >= 6
    inside = found.image[found.image[..., 3] > 127][:, :3].mean(0)
    wanted = garment.image[garment.image[..., 3] > 127][:, :3].mean(0)
    assert abs(inside - wanted).max() < 8, "none of the floor comes along"


@pytest.mark.parametrize(
    ("kind", "picture", "says"),
    [
        ("hair", "garment", r"--region hair is not possible for a flat garment; give one of upper, pants"),
        ("upper", "plain", r"no garment stands out .*; lay the garment flat, whole and alone"),
        ("pants", "bar", r"does not have the outline of pants; lay the garment flat"),
    ],
)
def test_what_is_no_garment_is_refused(tmp_path: Path, wardrobe: Wardrobe, kind: str, picture: str, says: str) -> None:
    image = np.full((300, 260, 3), 180, np.uint8)
    if picture == "garment":
        image = photographed(wardrobe.garments["blue-jeans"], WOOD)[0]
    elif picture == "bar":
        image[140:165, 20:240] = (20, 30, 200)
    Image.fromarray(image).save(tmp_path / "it.png")
    with pytest.raises(ScmError, match=says):
        read_flat_garment(tmp_path / "it.png", kind, "it", wardrobe)
