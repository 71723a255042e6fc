"""Find and open ONNX files of external networks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmnet_cli.errors import ScmError
from scmnet_cli.weights import searched_folders

if TYPE_CHECKING:
    import torch

_LOG_ERRORS = 3
"""ONNX Runtime's log level for errors only."""


def rtmlib_downloads() -> Path:
    """Return the folder to which rtmlib downloads."""
    home = os.environ.get("TORCH_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "rtmlib")
    return Path(home).expanduser() / "hub" / "checkpoints"


def find_model(name: str, option: str, remedy: str = "") -> Path:
    """Find an ONNX file by path, or by name in the folders of weights; nothing is downloaded.

    Args:
        name: a path, or a file name with or without suffix.
        option: the command line option, for messages.
        remedy: advice for the error message on how to get the file.

    Raises:
        ScmError: if there is no such file; the message lists the searched folders.
    """
    file = name if name.lower().endswith(".onnx") else f"{name}.onnx"
    folders = [(Path(), ""), *searched_folders(), (rtmlib_downloads(), "rtmlib's downloads")]
    for folder, _ in folders:
        if (folder / file).is_file():
            return folder / file
    places = ", ".join(f"{folder} ({origin})" for folder, origin in folders[1:])
    raise ScmError(
        f"{option} {name}: no file {Path(file).name} here or in {places}; "
        f"{remedy or 'give the path of an ONNX file, or set SCM_WEIGHTS to its folder'}"
    )


def open_session(path: Path, option: str, device: torch.device | None = None) -> Any:
    """Open an ONNX file with ONNX Runtime; the session is thread-safe.

    Args:
        path: the file.
        option: the command line option, for messages.
        device: a GPU, if ONNX Runtime supports it; else the CPU.

    Raises:
        ScmError: if ONNX Runtime is not installed or cannot read the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ScmError(f"{option} {path}: needs ONNX Runtime; install it: pip install 'scmnet-cli[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    # Photos are processed in parallel threads already; more threads per call would slow them down.
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers(device))
    except Exception as error:  # ONNX Runtime raises its own unrelated classes
        raise ScmError(f"{option} {path}: cannot be read as an ONNX file ({str(error).splitlines()[0]})") from error


def providers(device: torch.device | None) -> list[Any]:
    """Return ONNX Runtime's execution providers: the GPU's if the device is one and it is supported, and the CPU's."""
    import onnxruntime

    if (
        device is not None
        and device.type == "cuda"
        and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    ):
        return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]
