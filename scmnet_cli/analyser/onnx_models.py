"""Networks of others as ONNX files: where they are found, and how they are opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from scmnet_cli.errors import ScmError
from scmnet_cli.weights import searched_folders

_GRAVE = 3
"""From which severity on ONNX Runtime may write to stderr: errors."""


def rtmlib_downloads() -> Path:
    """Return the folder that rtmlib downloads to, by its own rule."""
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rtmlib")
    return Path(home).expanduser() / "hub" / "checkpoints"


def find_model(name: str, option: str, remedy: str = "") -> Path:
    """Return the ONNX file of that path, or of that name in a folder of weights; nothing is ever downloaded.

    Args:
        name: a path, or the name of a file, with or without its ending.
        option: of the command line, for messages.
        remedy: where such a file is to be had.

    Raises:
        ScmError: if there is none, with the folders that were looked in.
    """
    file = name if name.lower().endswith(".onnx") else f"{name}.onnx"
    folders = [(Path(), ""), *searched_folders(), (rtmlib_downloads(), "rtmlib's downloads")]
    for folder, _ in folders:
        if (folder / file).is_file():
            return folder / file
    places = ", ".join(f"{folder} ({origin})" for folder, origin in folders[1:])
    raise ScmError(
        f"{option} {name}: no file {Path(file).name} here nor in {places}; "
        f"{remedy or 'give the path of an ONNX file, or set SCM_WEIGHTS to its folder'}"
    )


def open_session(path: Path, option: str, device: torch.device | None = None) -> Any:
    """Open an ONNX file with ONNX Runtime, for several threads to use at a time.

    Args:
        path: the file.
        option: of the command line, for messages.
        device: a GPU, if ONNX Runtime was built for one; else the CPU.

    Raises:
        ScmError: if ONNX Runtime is not installed or cannot read the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ScmError(f"{option} {path}: needs ONNX Runtime; install it: pip install 'scmnet-cli[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _GRAVE
    # People are read side by side, a thread each: more threads would be in each other's way.
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers(device))
    except Exception as error:  # ONNX Runtime has a class of its own for every failure
        raise ScmError(f"{option} {path}: cannot be read as an ONNX file ({str(error).splitlines()[0]})") from error


def providers(device: torch.device | None) -> list[Any]:
    """Return where ONNX Runtime shall compute: on the GPU, if there is one and it can."""
    import onnxruntime

    if (
        device is not None
        and device.type == "cuda"
        and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    ):
        return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
