"""``scm eval``: how well a model draws people it never trained on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    data: Annotated[Path, typer.Argument(help="Prepared folder, as `scm preprocess` writes it.")],
    model: Annotated[Path, typer.Option("-m", "--model", help="Run folder or model file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers and sheets.")] = Path("outputs/eval"),
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "val",
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="At most this many people.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of AlexNet weights for LPIPS; also $SCM_WEIGHTS.")
    ] = None,
) -> None:
    r"""Reconstruct every person of a split from a moved source, beside the answers that need no model.

    Writes metrics.json, table.md and three sheets: reconstructions, transfers between people of the split, and edits.

    \b
    Example:
      scm eval data/ccp -m runs/ccp -o outputs/ccp
    """
    from rich.console import Console

    from scmnet_cli.cli.progress import Bars
    from scmnet_cli.evaluation.reconstruction import (
        edit_sheet,
        evaluate_reconstruction,
        load_people,
        reconstruction_sheet,
        transfer_sheet,
    )
    from scmnet_cli.images import save_png
    from scmnet_cli.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(model, device)
    with Bars(console=Console(stderr=True)) as bar:
        found = evaluate_reconstruction(
            pipeline, data, split, weights_dir, limit, lambda done, total: bar.count("reconstructing", done, total)
        )
    out.mkdir(parents=True, exist_ok=True)
    people = load_people(pipeline, data, split, limit)
    save_png(out / "reconstructions.png", reconstruction_sheet(pipeline, people))
    save_png(out / "transfers.png", transfer_sheet(pipeline, people))
    if pipeline.model.has_regions:
        save_png(out / "edits.png", edit_sheet(pipeline, data, split, ("upper", "pants", "hair")))
    (out / "metrics.json").write_text(json.dumps(found.as_json(), indent=2), encoding="utf-8")
    summary = (
        f"{found.num_people} people of {found.split} at {found.canvas}: region accuracy {found.region_accuracy:.3f}, "
        f"entropy {found.entropy:.2f} nats, source spread {found.source_spread:.3f} "
        f"({found.num_spread_people} sources); "
        f"of the garments' lightness {found.lightness.slope:.2f} arrives (r {found.lightness.correlation:.2f}), "
        f"of their chroma {found.chroma.slope:.2f} (r {found.chroma.correlation:.2f})"
    )
    (out / "table.md").write_text(f"{found.table()}\n\n{summary}\n", encoding="utf-8")
    print(found.table())
    print(summary)
    if found.not_computed:
        print(f"not computed: {found.not_computed}", file=sys.stderr)
    print(out)
