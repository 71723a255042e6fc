"""Measure what arrives of a part's colour in edits of faces: python docs/scripts/measure_face_edits.py DATA [MODEL].

Each face of DATA's val list takes each part of another face of the list. Printed for each part: the slope and the
correlation of the edited part's mean colour on the reference's, for lightness and chroma; for brows also on the
reference's as it would be in the face's light, which the skins of both show. Pixels outside the edited area must not
differ. With MODEL, a face model, also the slopes of the faces that the network draws with the part exchanged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from skimage.color import lab2rgb

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.prepared_cases import deranged
from scmnet_cli.images.cielab import cielab
from scmnet_cli.inference.edits.brows import in_light_of
from scmnet_cli.inference.edits.face_editing import edit_face
from scmnet_cli.inference.edits.face_parts import find_part
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.metrics.colour_transfer import colour_transfer
from scmnet_cli.types import FloatArray, Person, UInt8Array

PARTS = ("hair", "skin", "mouth", "brows", "eyes", "nose", "cloth")

Change = Callable[[Person, Person, str], UInt8Array]


def drawn_by(pipeline: Pipeline) -> Change:
    """Return a function that draws a face anew with a part exchanged."""

    def change(face: Person, other: Person, part: str) -> UInt8Array:
        encoded = replace(pipeline.exchange(face, {part: other}, force=True), edit=None)
        return np.asarray(pipeline.transfer(encoded, face).image)

    return change


def edited(face: Person, other: Person, part: str) -> UInt8Array:
    """Edit a part; pixels outside the area must not change."""
    edit = edit_face(face, {part: other})
    outside = edit.area == 0
    assert np.array_equal(edit.person.image[outside], face.image[outside]), f"{face.name} {part}"
    return edit.person.image


def slopes(folder: PreparedFolder, part: str, change: Change, size: Person | None = None) -> str:
    """Return the regression of a part's colours as a line of text."""
    wanted, found, lit = [], [], []
    for source, target in deranged(folder.names("val")):
        face, other = folder.load(target), folder.load(source)
        if size is not None:
            face, other = resized(face, size.canvas), resized(other, size.canvas)
        try:
            image = change(face, other, part)
        except ScmError:
            continue
        own, taken = find_part(face, part), find_part(other, part)
        if own.pixels.any() and taken.pixels.any():
            wanted.append(other.image[taken.pixels].mean(0))
            found.append(image[own.pixels].mean(0))
            if own.hairs is not None and taken.hairs is not None:
                colour = cielab(other.image)[taken.pixels].mean(0)
                lit.append(lab2rgb(in_light_of(colour, taken.hairs.skin, own.hairs.skin)) * 255)
    text = f"{len(wanted)} pairs, {regression(wanted, found)}"
    return f"{text}; in the face's light {regression(lit, found)}" if len(lit) == len(found) else text


def regression(wanted: list[FloatArray], found: list[FloatArray]) -> str:
    """Return the slopes and correlations of colours on the wanted ones as text."""
    lightness, chroma = colour_transfer(torch.tensor(np.array(wanted)), torch.tensor(np.array(found)))
    return (
        f"lightness {lightness.slope:.2f} (r {lightness.correlation:.2f}), "
        f"chroma {chroma.slope:.2f} (r {chroma.correlation:.2f})"
    )


def main(data: Path, model: Path | None = None) -> None:
    """Print the slopes of all parts."""
    folder = PreparedFolder(data)
    for part in PARTS:
        sys.stdout.write(f"{part}, edited: {slopes(folder, part, edited)}\n")
        if model is not None:
            pipeline = Pipeline.from_pretrained(model, "cpu")
            small = resized(folder.load(folder.names("val")[0]), pipeline.canvas)
            sys.stdout.write(f"{part}, drawn: {slopes(folder, part, drawn_by(pipeline), small)}\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
