"""Edits of faces: a part takes the colours of another face, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn_faces import drawn_face
from PIL import Image

from scmnet_cli.data.face_edges import with_parts
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import save_png
from scmnet_cli.inference.edits.face_editing import edit_face
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import NO_JOINTS, Person

if TYPE_CHECKING:
    from conftest import Place, Scm


def test_a_face_is_edited_by_the_same_command(place: Place, scm: Scm, faces: Path, face_model: Path) -> None:
    done = scm(
        "edit",
        "--data",
        faces,
        "--src",
        "face00",
        "--region",
        "hair",
        "--ref",
        "face01",
        "-m",
        face_model,
        "--device",
        "cpu",
    )
    assert (done.code, [path.name for path in done.paths]) == (0, ["face00_hair-from-face01.png"])
    assert "hair" in done.report()["metrics"]["region_closeness"]


def test_an_edited_photo_of_a_face_keeps_its_resolution_and_every_pixel_elsewhere(
    place: Place, scm: Scm, face_model: Path
) -> None:
    (place.path / "masks").mkdir()
    photos = {}
    for name, seed in (("ann", 1), ("eve", 2)):
        photos[name], parts = drawn_face(seed, 128)
        save_png(place.path / f"{name}.png", photos[name])
        save_png(place.path / "masks" / f"{name}.png", parts)
    given = ("--region", "lips", "--ref", "eve.png", "-m", face_model, "--device", "cpu", "--strip")
    done = scm("edit", "--src", "ann.png", *given)
    assert (done.code, done.errors) == (0, [])
    with Image.open(done.paths[0]) as image:
        edited = np.asarray(image)
    assert edited.shape == (128, 128, 3)
    changed = (edited != photos["ann"]).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert rows.min() > 75  # the mouth is below
    assert columns.min() > 40


def two_faces() -> tuple[Person, Person]:
    """Two faces of ellipses with noise, the second with other colours."""
    faces = []
    for seed in (1, 2):
        image, parts = drawn_face(seed)
        noise = np.random.default_rng(seed).normal(0, 6, image.shape)
        noisy = (image + noise).round().clip(0, 255).astype(np.uint8)
        faces.append(with_parts(Person(f"face{seed}", noisy, parts, NO_JOINTS)))
    return faces[0], faces[1]


@pytest.mark.parametrize("region", ["hair", "skin", "eyes", "nose", "cloth"])
def test_an_edit_of_a_face_gives_the_part_the_other_colour_and_leaves_all_else_bit_for_bit(region: str) -> None:
    face, other = two_faces()
    edit = edit_face(face, {region: other})
    outside = edit.area == 0
    assert outside.mean() > 0.25
    assert np.array_equal(edit.person.image[outside], face.image[outside])
    part = face.regions == FACE_REGIONS.index(region)
    taken = other.regions == FACE_REGIONS.index(region)
    before, after = (np.abs(each[part].mean(0) - other.image[taken].mean(0)).mean() for each in (
        face.image, edit.person.image
    ))  # fmt: skip
    assert after < 0.35 * before + 3


def test_lips_take_the_other_colour_and_teeth_stay() -> None:
    face, other = two_faces()
    mouth = FACE_REGIONS.index("mouth")
    painted = []
    for each, lips in ((face, (200, 110, 110)), (other, (120, 20, 40))):
        rows = np.flatnonzero((each.regions == mouth).any(1))
        image = np.where(each.regions[..., None] == mouth, np.uint8(lips), each.image)
        teeth = (each.regions == mouth) & (np.arange(64)[:, None] == rows[len(rows) // 2])
        painted.append((replace(each, image=np.where(teeth[..., None], np.uint8([235, 232, 225]), image)), teeth))
    (face, teeth), (other, _) = painted
    edited = edit_face(face, {"mouth": other}).person.image
    lips = (face.regions == mouth) & ~teeth
    assert np.abs(edited[lips].astype(int) - [120, 20, 40]).max() < 12
    assert np.abs(edited[teeth].astype(int) - [235, 232, 225]).mean() < 45  # the soft edge reaches into them


def test_an_edited_part_keeps_its_lines() -> None:
    face, other = two_faces()
    hair = face.regions == FACE_REGIONS.index("hair")
    lined = face.image.copy()
    lined[::4] = (lined[::4] * 0.6).astype(np.uint8)  # strands
    edited = edit_face(replace(face, image=lined), {"hair": other}).person.image
    inner = hair & np.roll(hair, 1, 0) & np.roll(hair, -1, 0)
    rows = np.arange(len(hair))[:, None] % 4 == 0
    grey = edited.astype(float).mean(2)
    assert grey[inner & rows].mean() < grey[inner & ~rows].mean() - 5


def test_the_background_of_another_face_comes_behind_a_face() -> None:
    face, other = two_faces()
    red = replace(other, image=np.where(other.regions[..., None] == 0, np.uint8([250, 10, 10]), other.image))
    edit = edit_face(face, {"background": red})
    behind = face.regions == 0
    assert np.abs(edit.person.image[behind].astype(int) - [250, 10, 10]).max() <= 1
    assert np.array_equal(edit.person.image[edit.area == 0], face.image[edit.area == 0])


def test_a_part_that_a_face_hardly_shows_and_eyes_behind_glasses_are_one_line_errors() -> None:
    face, other = two_faces()
    bald = replace(other, regions=np.where(other.regions == FACE_REGIONS.index("hair"), 1, other.regions))
    with pytest.raises(ScmError, match=r"^face2: shows too little hair to take its colour; it has background, skin"):
        edit_face(face, {"hair": bald})
    glasses = face.regions.copy()
    glasses[24:34, 18:46] = FACE_REGIONS.index("eyes")
    with pytest.raises(ScmError, match=r"^face1: seems to wear glasses"):
        edit_face(replace(face, regions=glasses), {"eyes": other})
    assert (edit_face(replace(face, regions=glasses), {"eyes": other}, force=True).area > 0).any()


def test_dark_glasses_of_the_size_of_eyes_are_no_eyes() -> None:
    face, other = two_faces()
    eyes = face.regions == FACE_REGIONS.index("eyes")
    skin = np.isin(face.regions, [FACE_REGIONS.index(part) for part in ("skin", "nose")])
    for light in (25, 60):
        image = np.where(
            eyes[..., None], np.uint8(light), np.where(skin[..., None], np.uint8([230, 200, 190]), face.image)
        )
        with pytest.raises(ScmError, match=r"^face1: seems to wear glasses"):
            edit_face(replace(face, image=image), {"eyes": other})
    white = np.indices(eyes.shape)[1] % 2 == 0
    open_eyes = np.where((eyes & white)[..., None], np.uint8(200), image)
    assert (edit_face(replace(face, image=open_eyes), {"eyes": other}).area > 0).any()


def test_an_edited_face_is_drawn_at_its_own_size_and_anew_in_other_edges(faces: Path, face_model: Path) -> None:
    face, other = two_faces()
    pipeline = Pipeline.from_pretrained(face_model, "cpu")
    edited = pipeline.exchange(face, {"hair": other})
    own = pipeline.transfer(edited, edited.person)
    assert edited.edit is not None
    assert np.array_equal(np.asarray(own.image), edited.edit.person.image)
    assert own.image.size == (64, 64)
    assert own.alpha is None
    elsewhere = pipeline.transfer(edited, PreparedFolder(faces).load("face03"))
    assert elsewhere.image.size == (32, 32)
    twice = pipeline.exchange(edited, {"mouth": other})
    assert twice.edit is not None
    hair = (edited.edit.area == 1) & (twice.edit.area == 0)
    assert np.array_equal(twice.edit.person.image[hair], edited.edit.person.image[hair])


def in_wider_view(face: Person) -> Person:
    """The same face at the same size in a canvas twice as large, lower parts of the picture repeated around it."""
    height, width = face.regions.shape
    rows, columns = ((-size // 2, size + size // 2) for size in (height, width))
    rows_of, columns_of = (np.arange(*span).clip(0, size - 1) for span, size in ((rows, height), (columns, width)))
    regions = np.zeros((2 * height, 2 * width), np.uint8)
    regions[height // 2 : -height // 2, width // 2 : -width // 2] = face.regions
    return replace(face, image=face.image[rows_of][:, columns_of], regions=regions, edges=np.zeros_like(regions))


def finer_faces() -> tuple[Person, Person]:
    """Two faces of 256 pixels with smooth light and dark, the second with other colours."""
    faces = []
    for seed in (1, 2):
        image, parts = drawn_face(seed, 256)
        waves = 8 * np.sin(np.arange(256) / 7)[:, None, None] + 6 * np.cos(np.arange(256) / 5)[None, :, None]
        shaded = (image * 0.9 + 10 + waves).round().clip(0, 255).astype(np.uint8)
        faces.append(with_parts(Person(f"face{seed}", shaded, parts, NO_JOINTS)))
    return faces[0], faces[1]


@pytest.mark.parametrize("region", ["mouth", "eyes", "nose", "hair"])
def test_an_edit_is_the_same_in_a_wider_view_of_the_face(region: str) -> None:
    faces = finer_faces()
    narrow = edit_face(faces[0], {region: faces[1]})
    face, other = (in_wider_view(each) for each in faces)
    wide = edit_face(face, {region: other})
    inner = (slice(128, -128), slice(128, -128))
    assert np.abs(wide.area[inner] - narrow.area).max() < 0.02
    assert np.abs(wide.person.image[inner].astype(int) - narrow.person.image).max() <= 1


def test_hair_and_lips_in_one_edit_are_both_in_the_face_and_lips_as_alone() -> None:
    face, other = finer_faces()
    hair, lips = (edit_face(face, {region: other}) for region in ("hair", "mouth"))
    both = edit_face(face, {"hair": other, "mouth": other})
    only_lips = (lips.area > 0) & (hair.area == 0)
    only_hair = (hair.area > 0) & (lips.area == 0)
    assert np.array_equal(both.person.image[only_lips], lips.person.image[only_lips])
    assert np.array_equal(both.person.image[only_hair], hair.person.image[only_hair])
    untouched = (hair.area == 0) & (lips.area == 0)
    assert np.array_equal(both.person.image[untouched], face.image[untouched])
