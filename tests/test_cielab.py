"""CIELAB agrees with scikit-image on all levels, and drawing does not import scikit-image for it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from skimage.color import rgb2lab

from scmnet_cli.images.cielab import cielab


def test_colours_are_those_of_scikit_image() -> None:
    every_17th = np.arange(0, 256, 17, dtype=np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    colours = np.concatenate([np.stack(np.meshgrid(*[every_17th] * 3), axis=-1).reshape(-1, 3), greys])
    found = cielab(colours)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rgb2lab(colours), atol=2e-3)


def test_the_analyser_does_not_import_scikit_image() -> None:
    """Its import takes 0.15 s of a command that shall take 3."""
    code = (
        "import sys, numpy as np; from scmnet_cli.analyser.people import Analyser; "
        "Analyser.load()(np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)); "
        "import scmnet_cli.analyser.colours; sys.exit('skimage' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
