"""Write a model as it ships, of a run: python docs/scripts/write_model.py person RUN, or faces RUN."""

from __future__ import annotations

import sys
from pathlib import Path

from scmnet_cli.checkpoint import load_model, save_model
from scmnet_cli.inference.pipeline import SHIPPED_MODEL

SHIPPED = {
    "person": (
        SHIPPED_MODEL,
        {
            "data": "Clothing Co-Parsing, train list (Apache-2.0); at first also 299 people labelled by the analyser",
            "licence": "Apache-2.0",
            "card": "docs/model-card.md",
        },
    ),
    "faces": (
        Path(__file__).parents[2] / "research" / "faces.safetensors",
        {
            "data": "CelebAMask-HQ, a subset of 900 faces, its train list of 810",
            "licence": "non-commercial research and education only, as CelebAMask-HQ, which it was trained on",
            "card": "docs/faces.md",
        },
    ),
}
"""Where each model goes, and where it comes from."""


def main(which: str, run: Path) -> None:
    """Store the run's averaged weights in half precision, with where they come from."""
    path, origin = SHIPPED[which]
    saved = load_model(run)
    save_model(path, saved.state, saved.config, half=True, extra=saved.extra | origin)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.1f} MB after {int(saved.extra['images']):,} images\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
