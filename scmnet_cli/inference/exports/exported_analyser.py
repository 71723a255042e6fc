"""The analyser of an exported model, run by ONNX Runtime; importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scmnet_cli.analyser.answers import Answer
from scmnet_cli.analyser.estimators import Estimators
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.inference.exports.exported import ANALYSER, check_is_there, metadata_of, open_session
from scmnet_cli.types import FloatArray


@dataclass(frozen=True)
class InOnnxRuntime:
    """Runs an exported analyser's network: a :class:`~scmnet_cli.analyser.answers.Network`.

    Attributes:
        session: session of ``analyser.onnx``.
    """

    session: Any = field(repr=False)

    def __call__(self, image: FloatArray, *, wide: bool = False) -> Answer:  # noqa: ARG002 - any size is alike
        """Return the answer for an image, (3, H, W)."""
        given = {"image": np.ascontiguousarray(image[None], np.float32)}
        regions, heat, visible, person, carried = self.session.run(None, given)
        return Answer(regions[0], heat[0], visible[0], float(person[0]), carried[0])


def load_exported_analyser(folder: Path, estimators: Estimators | None = None) -> Analyser:
    """Open the analyser in the folder of an exported model.

    Args:
        folder: the folder.
        estimators: external estimators of joints and regions of a detected person.

    Raises:
        ScmError: if the folder holds none, or it cannot be read.
    """
    session, about = opened(folder)
    return Analyser(InOnnxRuntime(session), sha256=about.get("analyser_sha256", ""), estimators=estimators)


def opened(folder: Path) -> tuple[Any, dict[str, str]]:
    """Return the session of an exported analyser, and its metadata.

    Raises:
        ScmError: as :func:`load_exported_analyser`.
    """
    check_is_there(folder, ANALYSER)
    path = folder / ANALYSER
    session = open_session(path, str(path))
    return session, metadata_of(path, session)
