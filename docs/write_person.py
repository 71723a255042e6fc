"""Write the person model that ships, of a run on Clothing Co-Parsing: python docs/write_person.py RUN."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scmnet_cli.checkpoint import load_model, save_model
from scmnet_cli.pipeline import SHIPPED_MODEL


def main(run: Path) -> None:
    """Store the run's averaged weights in half precision, with where they come from."""
    saved = load_model(run)
    images = json.loads((run / "summary.json").read_text(encoding="utf-8"))["images"]
    origin = {
        "images": str(images),
        "data": "Clothing Co-Parsing, train list (Apache-2.0); 299 of its people labelled by this package's analyser",
        "licence": "Apache-2.0",
        "card": "docs/model-card.md",
    }
    save_model(SHIPPED_MODEL, saved.state, saved.config, half=True, extra=saved.extra | origin)
    sys.stdout.write(f"{SHIPPED_MODEL}: {SHIPPED_MODEL.stat().st_size / 1e6:.1f} MB after {images:,} images\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
