"""Draw what a model of faces does: python docs/scripts/draw_faces.py MODEL DATA FACE_PARSER [OUT].

Writes ``sketch.png``, a drawn face, and ``faces.jpg`` to OUT, docs/images, by the commands that it prints. No photo of
DATA is in it: edges, what the model draws, and the photo that scikit-image carries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import CubicSpline

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.images import contact_sheet, example_photo
from scmnet_cli.types import UInt8Array

IMAGES = Path(__file__).parents[1] / "images"
FACES, CELL, GAP, SIDE = 8, 128, 4, 512
STROKES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((158, 250), (160, 320), (180, 385), (222, 436), (262, 446), (304, 434), (344, 384), (362, 318), (364, 250)),  # jaw
    ((158, 250), (142, 262), (148, 306), (163, 322)),  # ears
    ((364, 250), (380, 262), (374, 306), (360, 322)),
    ((150, 300), (122, 240), (124, 160), (166, 92), (240, 58), (316, 72), (376, 126), (398, 200), (374, 300)),  # hair
    ((158, 252), (172, 200), (214, 158), (262, 146), (290, 130), (318, 164), (352, 196), (364, 250)),
    ((182, 236), (208, 222), (236, 230)),  # brows
    ((288, 230), (316, 222), (342, 236)),
    ((186, 262), (208, 249), (234, 264), (210, 272), (186, 262)),  # eyes
    ((290, 264), (314, 249), (338, 262), (314, 272), (290, 264)),
    ((252, 258), (246, 300), (236, 326), (250, 338)),  # nose
    ((250, 338), (263, 343), (278, 337), (290, 326)),
    ((212, 378), (244, 370), (262, 375), (282, 370), (314, 378), (290, 398), (262, 404), (234, 398), (212, 378)),
    ((212, 378), (262, 384), (314, 378)),
    ((204, 424), (202, 462), (150, 486), (88, 512)),  # neck and shoulders
    ((322, 424), (324, 462), (378, 486), (436, 512)),
    ((202, 462), (262, 500), (324, 462)),
)
"""Points that the pen passes, x and y of 512."""


def sketch() -> Image.Image:
    """Return a face in pencil strokes on off-white paper."""
    paper = Image.new("L", (SIDE, SIDE), 240)
    pen = ImageDraw.Draw(paper)
    for stroke in STROKES:
        points = np.array(stroke, dtype=float)
        way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        smooth = CubicSpline(way, points)(np.linspace(0, way[-1], 60))
        pen.line([(float(x), float(y)) for x, y in smooth], fill=70, width=5, joint="curve")
    for x in (210, 314):
        pen.ellipse((x - 8, 252, x + 8, 268), outline=70, width=5)
    return paper


def main(model: Path, data: Path, parser: Path, out: Path = IMAGES) -> None:
    """Draw and write the pictures."""
    sketch().save(out / "sketch.png")
    folder = PreparedFolder(data)
    hair = folder.domain.region_id("hair")
    names = [name for name in folder.names("val") if (folder.load(name).regions == hair).any()]
    names = [names[index * len(names) // FACES] for index in range(FACES)]
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        me = work / "me.jpg"
        Image.open(example_photo()).convert("RGB").save(me, quality=95)
        common = ["-m", model, "--data", data, "--device", "cpu", "--face-parser", parser, "--strip"]
        drawings, references = [*names, me, out / "sketch.png"], [*names, me]
        strips = _run(work, "colorize", *_each("--edges", drawings), *_each("--ref", references), *common)
        columns = len(drawings)
        coloured = [strips[start : start + columns] for start in range(0, len(strips), columns)]
        rows = [[_label(""), *(strip[0] for strip in coloured[0])]]
        rows += [[_label(f"like {number}"), *(strip[-1] for strip in row)] for number, row in enumerate(coloured, 1)]
        rows[-1][0] = coloured[-1][0][1]
        for region in ("hair", "skin", "mouth"):
            swaps = [_run(work, "edit", *_edit(me, region, name), *common)[0] for name in names]
            rows.append([_label(f"{region} of"), swaps[0][0], rows[FACES + 1][FACES + 1], *(s[-1] for s in swaps)])
        Image.fromarray(contact_sheet(rows, gap=2)).save(out / "faces.jpg", quality=85)


def _each(option: str, values: Iterable[object]) -> list[object]:
    return [word for value in values for word in (option, value)]


def _edit(source: Path, region: str, reference: str) -> list[object]:
    return ["--src", source, "--region", region, "--ref", reference]


def _label(text: str) -> UInt8Array:
    cell = Image.new("RGB", (CELL, CELL), "white")
    ImageDraw.Draw(cell).text((CELL / 2, CELL / 2), text, "black", ImageFont.load_default(18), anchor="mm")
    return np.asarray(cell)


def _run(work: Path, command: str, *words: object) -> list[list[UInt8Array]]:
    """Run a command of scm and return the cells of the strips beside the pictures whose paths it prints."""
    program = [sys.executable, "-m", "scmnet_cli", command, *map(str, words), "-o", str(work / command)]
    sys.stdout.write(f"$ scm {' '.join(program[3:])}\n")
    sys.stdout.flush()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCM_")}
    done = subprocess.run(program, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return [_cells(Path(line)) for line in done.stdout.splitlines()]


def _cells(picture: Path) -> list[UInt8Array]:
    """Return the cells of the strip beside a picture, which have the picture's size."""
    side = Image.open(picture).width
    strip = Image.open(picture.with_suffix(".strip.png")).convert("RGB")
    top = strip.height - side - GAP
    lefts = range(GAP, strip.width - side, side + GAP)
    boxes = [(left, top, left + side, top + side) for left in lefts]
    return [np.asarray(strip.resize((CELL, CELL), Image.Resampling.LANCZOS, box)) for box in boxes]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
