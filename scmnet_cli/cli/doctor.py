"""``scm doctor``: what of this machine would make a command fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.options import Device, Model, OutFolder


def doctor(
    model: Model = None,
    out: OutFolder = Path("outputs"),
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Say what would fail on this machine, and how to mend it.

    Looks at Python, torch, the device, cores, memory, disk, write access,
    what ships with the package, the model, pretrained weights and extras.
    It downloads nothing and changes nothing.

    A line begins with "ok"; with "--" where something is absent that only
    some commands need; with "!!" where commands will fail. The exit code is 1
    if there is a "!!", else 0.

    \b
    Examples:
      scm doctor
      scm doctor -m runs/ccp -o /data/pictures --device cuda
      scm doctor --json
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from dataclasses import asdict

    from scmnet_cli.doctor import examine

    findings = examine(model, out, device)
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        print(json.dumps({"fine": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        signs = {"fine": "ok", "missing": "--", "broken": "!!"}
        for finding in findings:
            print(f"{signs[finding.state]} {finding.what}: {finding.found}")
            if finding.remedy:
                print(f"     {finding.remedy}")
        print(
            f"{len(broken)} of these would make commands fail"
            if broken
            else "nothing is broken; only some commands need what is marked --"
        )
    if broken:
        raise typer.Exit(1)
