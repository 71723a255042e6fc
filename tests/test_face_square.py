"""Edits in the square of a face and in a square twice as large: the size of a face does not depend on the square."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from faces_of_discs import COLOURS, SMALL, Colours, a_face, in_photo, nobody
from torch import Tensor, nn

from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.analyser.faces import FaceParser
from scmnet_cli.analyser.network import Analysed
from scmnet_cli.analyser.windows import Window
from scmnet_cli.images import read_photo, save_png
from scmnet_cli.inference.edits.face_parts import face_side
from scmnet_cli.regions import FACE_REGIONS

if TYPE_CHECKING:
    from conftest import Place, Scm, SomeFaces

HAIR = (230, 230, 230)
LIPS = (150, 60, 70)


def discs(height: int, width: int, parts: dict[str, list[tuple[float, float]]], radius: float) -> np.ndarray:  # type: ignore[type-arg]
    regions = np.full((height, width), FACE_REGIONS.index("skin"), np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    for part, places in parts.items():
        for x, y in places:
            regions[np.hypot(columns - x, rows - y) < radius] = FACE_REGIONS.index(part)
    return regions


@pytest.mark.parametrize("parts", [("eyes", "nose", "mouth"), ("eyes", "mouth"), ("nose", "mouth"), ("eyes", "nose")])
def test_the_side_of_a_face_follows_from_its_parts_wherever_it_lies(parts: tuple[str, ...]) -> None:
    places = {"eyes": ALIGNED[:2], "nose": ALIGNED[2:3], "mouth": ALIGNED[3:]}
    for side, angle in ((100, 0.0), (60, 0.5), (60, 3.0)):
        window = Window(120, 90, side, angle=angle)
        drawn = {part: window.to_photo((places[part] * 64 - 0.5).astype(np.float32), SMALL) + 0.5 for part in parts}
        regions = discs(180, 240, {part: [tuple(at) for at in found.tolist()] for part, found in drawn.items()}, 2.5)
        assert face_side(regions) == pytest.approx(side, rel=0.03)


def test_without_two_parts_the_side_of_a_face_is_the_height_of_the_map() -> None:
    assert face_side(np.ones((40, 50), np.uint8)) == 40
    assert face_side(discs(40, 50, {"mouth": [(20, 20)]}, 3)) == 40


class WithLips(Colours):
    """Network stub for drawn faces that also finds eyes, lips and hair, by their colours."""

    def forward(self, image: Tensor) -> Analysed:
        answer = super().forward(image)
        pixels = (image.float() + 1) * 127.5
        for region, colours in ((4, COLOURS[:2]), (6, (LIPS,)), (2, (HAIR,))):
            near = sum(((pixels - Tensor(colour)[:, None, None]).abs().sum(1) < 60).float() for colour in colours)
            answer.regions[:, region] = 40 * nn.functional.avg_pool2d(near[:, None], 2)[:, 0] - 19  # type: ignore[index]
        return answer


def with_hair_and_lips(lips: tuple[int, int, int], hair: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """A photo of a drawn face with lips between the dots of the mouth's corners, and hair far below the face."""
    random = np.random.default_rng(seed)
    photo = in_photo(a_face(256), Window(200, 180, 160), 420, 400).copy()
    photo[208:222, 187:214] = lips
    photo[100:330, 120:146] = hair
    photo[120:150, 140:260] = hair
    return (photo + random.normal(0, 2, photo.shape)).round().clip(0, 255).astype(np.uint8)


def test_lips_edited_with_hair_are_as_lips_edited_alone_and_all_long_hair_changes(
    place: Place, scm: Scm, some_faces: SomeFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = with_hair_and_lips(LIPS, 230, 0)
    save_png(Path("ann.png"), photo)
    save_png(Path("eve.png"), with_hair_and_lips((150, 40, 90), 215, 1))
    parser = FaceParser(WithLips(), SMALL, analyser=nobody)  # type: ignore[arg-type]
    monkeypatch.setattr("scmnet_cli.cli.edit.load_face_parser", lambda *_: parser)
    given = ("edit", "--src", "ann.png", "--keep-size", "-m", some_faces.model, "--device", "cpu")
    lips, hair, both = (
        scm(*given, "-o", region[0], *(word for each in region for word in ("--region", each, "--ref", "eve.png")))
        for region in (("lips",), ("hair",), ("lips", "hair"))
    )
    assert [done.code for done in (lips, hair, both)] == [0, 0, 0], lips.errors
    one, other, together = (read_photo(done.paths[0]).astype(int) for done in (lips, hair, both))
    mouth = (slice(205, 225), slice(180, 221))
    assert np.abs(one[mouth] - photo[mouth]).mean() > 4
    assert np.abs(together[mouth] - one[mouth]).mean() < 1
    strand = (slice(290, 325), slice(125, 140))  # beyond the square of the face
    assert np.array_equal(together[strand], other[strand])
    assert (together[strand] != photo[strand]).any(2).mean() > 0.9
    untouched = ((one == photo) & (other == photo)).all(2)
    untouched[mouth] = False
    assert np.array_equal(together[untouched], photo[untouched])
