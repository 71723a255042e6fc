"""Colour drawings like faces, for the page; independent of Gradio, like ``studio.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scmnet_cli.app.uploads import Limits, read_upload
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import FACE
from scmnet_cli.errors import ScmError
from scmnet_cli.images import contact_sheet
from scmnet_cli.inference.inputs.sketches import read_drawing
from scmnet_cli.inference.pipeline import Pipeline, Result
from scmnet_cli.types import UInt8Array

_MOST_SHOWN = 40


@dataclass(frozen=True)
class Coloured:
    """A coloured drawing.

    Attributes:
        result: the picture.
        strip: the lines, the reference face, and the picture side by side.
    """

    result: Result
    strip: UInt8Array


class FaceStudio:
    """A face model and reference faces, shared by all visitors; thread-safe."""

    def __init__(self, pipeline: Pipeline, faces: Path, limits: Limits | None = None) -> None:
        """Open the folder of faces.

        Args:
            pipeline: a face model.
            faces: a prepared folder; the first 40 faces of its ``val`` split, or of all, are offered.
            limits: limits of uploads.

        Raises:
            ScmError: if the model or the folder is not of faces.
        """
        self._folder = PreparedFolder(faces)
        for what, domain in ((pipeline.path, pipeline.domain), (faces, self._folder.domain)):
            if domain is not FACE:
                raise ScmError(f"{what}: is for {domain.members}; give one for faces")
        self.pipeline = pipeline
        self.limits = limits or Limits()
        self.names = tuple((self._folder.names("val") or self._folder.names())[:_MOST_SHOWN])

    def faces(self) -> list[UInt8Array]:
        """Return the images of the offered faces, in the order of ``names``.

        Raises:
            ScmError: if one cannot be read.
        """
        return [self._folder.load(name).image for name in self.names]

    def colour(self, drawing: Path, name: str) -> Coloured:
        """Colour a drawing like one of the faces.

        Args:
            drawing: line drawing, sketch, or photo whose edges are used.
            name: name of the face.

        Raises:
            ScmError: if the drawing is too large, not an image or empty, or there is no such face.
        """
        read_upload(drawing, self.limits)
        try:
            lines = read_drawing(drawing, self.pipeline.canvas)
        except ScmError as error:
            raise ScmError("the drawing has no lines; draw dark strokes on white") from error
        face = self.pipeline.encode(self._folder.load(name))
        result = self.pipeline.transfer(face, lines)
        shown = FACE.draw(np.asarray(result.image), result.edges)
        strip = contact_sheet([[shown, face.person.image, np.asarray(result.image)]], ["drawing", "colours", "result"])
        return Coloured(result, strip)
