"""Read and write weight files: safetensors with a header that describes the weights.

A model file holds the tensors of one generator. Its header has the format's name and version, the whole config as JSON
and extras. Nothing in it is executed. Training state has its own files (:func:`save_tensors`), which are not models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scmnet_cli.config import Config, parse_saved_config
from scmnet_cli.errors import ScmError
from scmnet_cli.files import replaced

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = "scm-net"
"""Format name in the header of a model file."""

STATE_FORMAT = "scm-net-state"
"""Format name in the header of a file of other tensors, such as training state."""

PERSONAL_FORMAT = "scm-net-personal"
"""Format name in the header of a file with the difference of a personal model to its base."""

LARGEST_PERSONAL = 4_000_000
"""Maximum size of such a file in bytes."""

FORMAT_VERSION = 1
"""Version that this code writes; it reads this and all older versions."""

MODEL_FILE = "model.safetensors"
"""Name of the model file in a run folder."""

_EXTRA = "extra."

_MAX_TENSORS = 20_000
_MAX_METADATA = 10_000_000
_MAX_DIGITS = 10


@dataclass(frozen=True)
class SavedModel:
    """Content of a model file: float32 weights on the CPU, the config they were trained with, and extras."""

    state: dict[str, Tensor]
    config: Config
    extra: dict[str, str] = field(default_factory=dict)
    path: Path = Path(MODEL_FILE)


@dataclass(frozen=True)
class SavedPersonal:
    """Content of a personal file: what a model of one person adds to its base.

    Attributes:
        difference: float32, by the parameter's name; all others stay as the base has them.
        base_sha256: of the base's file.
        base: path of the base model when the file was written.
        extra: further strings of the header.
    """

    difference: dict[str, Tensor]
    base_sha256: str
    base: Path
    extra: dict[str, str] = field(default_factory=dict)


def save_model(
    path: Path,
    state: Mapping[str, Tensor],
    config: Config,
    *,
    half: bool = False,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a model file; replace an existing one atomically.

    Args:
        path: the file to write; its folder is created if necessary.
        state: the generator's state dict; any device and memory format, shared tensors allowed.
        config: the whole config, for the header.
        half: store floating-point tensors as float16; they load as float32.
        extra: further strings for the header.

    Raises:
        ScmError: if the file cannot be written, or a weight does not fit float16.
    """
    metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "config": config.model_dump_json()}
    metadata |= {_EXTRA + name: value for name, value in (extra or {}).items()}
    tensors = {name: tensor.half() if half and tensor.is_floating_point() else tensor for name, tensor in state.items()}
    if half:
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool((tensor.isfinite() == state[name].isfinite()).all()):
                raise ScmError(f"{path}: tensor '{name}' exceeds 65504, too large for float16; save in float32")
    _write(path, tensors, metadata)


def load_model(path: Path) -> SavedModel:
    """Read a model file, or the one in a run folder (``RUN/model.safetensors``).

    Raises:
        ScmError: if there is none, or it is truncated, not a model of this program, of a newer format, or has a config
            that this version does not know.
    """
    path = model_file(path)
    tensors, metadata = _read(path)
    name = metadata.get("format")
    if name == STATE_FORMAT:
        raise ScmError(f"{path}: holds training state, not a model; give the run folder or its {MODEL_FILE}")
    if name == PERSONAL_FORMAT:
        raise ScmError(f"{path}: holds a model of one person, which is no start for another; give a {MODEL_FILE}")
    if name != FORMAT:
        raise ScmError(f"{path}: is safetensors but not an SCM-Net model; give a {MODEL_FILE} that 'scm train' wrote")
    _check_version(path, metadata)
    try:
        values = json.loads(metadata["config"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ScmError(f"{path}: its header has no readable config; the file is damaged, copy it again") from error
    config = parse_saved_config(values, f"config in {path}")
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    extra = {key.removeprefix(_EXTRA): value for key, value in metadata.items() if key.startswith(_EXTRA)}
    return SavedModel(state=state, config=config, extra=extra, path=path)


def model_file(path: Path) -> Path:
    """Return the model file of a path: the path itself, or ``model.safetensors`` in a run folder.

    Raises:
        ScmError: if there is no such file.
    """
    if path.is_dir():
        inside = path / MODEL_FILE
        if not inside.is_file():
            raise ScmError(f"model {path}: the folder holds no {MODEL_FILE}; give a run folder or a model file")
        return inside
    if not path.is_file():
        raise ScmError(f"model {path}: no such file or folder; give a run folder or a model file")
    return path


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors that are not a model, such as training state; replace an existing file atomically.

    Raises:
        ScmError: if the file cannot be written.
    """
    _write(path, tensors, {"format": STATE_FORMAT, "format_version": str(FORMAT_VERSION)} | {
        _EXTRA + name: value for name, value in metadata.items()
    })  # fmt: skip


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors, in the types they were saved in, and metadata of a file of :func:`save_tensors`.

    Raises:
        ScmError: if the file is absent, truncated, of another kind or of a newer format.
    """
    if not path.is_file():
        raise ScmError(f"{path}: no such file; expected a training state")
    tensors, metadata = _read(path)
    if metadata.get("format") != STATE_FORMAT:
        raise ScmError(f"{path}: is safetensors but not a training state of 'scm train'")
    _check_version(path, metadata)
    return tensors, {key.removeprefix(_EXTRA): value for key, value in metadata.items() if key.startswith(_EXTRA)}


def save_personal(
    path: Path, difference: Mapping[str, Tensor], base: Path, extra: Mapping[str, str] | None = None
) -> None:
    """Write a personal file, replacing an older one in one step; differences are stored in float16.

    Args:
        path: the file to write; its folder is made if need be.
        difference: difference to the base model, by name of the parameter.
        base: the model's file.
        extra: further strings for the header.

    Raises:
        ScmError: if the file cannot be written, or would have over :data:`LARGEST_PERSONAL` bytes.
    """
    tensors = {name: tensor.half() for name, tensor in difference.items()}
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if num_bytes > LARGEST_PERSONAL:
        raise ScmError(f"{path}: would have {num_bytes:,} bytes, over {LARGEST_PERSONAL:,}; train fewer parameters")
    metadata = {"format": PERSONAL_FORMAT, "format_version": str(FORMAT_VERSION)}
    metadata |= {"base_sha256": sha256(base), "base": str(base.resolve())}
    metadata |= {_EXTRA + name: value for name, value in (extra or {}).items()}
    _write(path, tensors, metadata)


def load_personal(path: Path) -> SavedPersonal:
    """Read what :func:`save_personal` wrote.

    Raises:
        ScmError: if the file is absent, truncated, of another kind or of a newer format.
    """
    if not path.is_file():
        raise ScmError(f"{path}: no such file; 'scm personalize' writes models of one person")
    tensors, metadata = _read(path)
    if metadata.get("format") != PERSONAL_FORMAT:
        raise ScmError(f"{path}: is safetensors but no model of one person; give a file that 'scm personalize' wrote")
    _check_version(path, metadata)
    if "base_sha256" not in metadata or not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise ScmError(f"{path}: its header names no base model; the file is damaged, copy it again")
    return SavedPersonal(
        {name: tensor.float() for name, tensor in tensors.items()},
        metadata["base_sha256"],
        Path(metadata.get("base", "")),
        {key.removeprefix(_EXTRA): value for key, value in metadata.items() if key.startswith(_EXTRA)},
    )


def is_personal(path: Path) -> bool:
    """Return whether a path is a file that :func:`save_personal` wrote."""
    if not path.is_file():
        return False
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            return (stream.metadata() or {}).get("format") == PERSONAL_FORMAT
    except Exception:  # noqa: BLE001 - the reader that opens it next reports the error
        return False


def load_strict(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load a state dict into a network; names, shapes and types of all tensors must match.

    Args:
        module: the network; unchanged if the state does not fit.
        state: tensors by name.
        where: origin of the state for messages, such as the file.

    Raises:
        ScmError: naming the first tensors that are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    faults = []
    if missing := [name for name in own if name not in state]:
        faults.append(f"lacks {_first(missing)}")
    if unexpected := [name for name in state if name not in own]:
        faults.append(f"holds unknown {_first(unexpected)}")
    shaped = [
        f"{name} as {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if shaped:
        faults.append(f"holds {_first(shaped)}")
    typed = [
        f"{name} as {state[name].dtype}"
        for name in own
        if name in state and state[name].is_floating_point() != own[name].is_floating_point()
    ]
    if typed:
        faults.append(f"holds {_first(typed)}")
    if faults:
        raise ScmError(f"{where}: does not fit the network its config describes: it {'; it '.join(faults)}")
    module.load_state_dict(state, strict=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _first(names: list[str], num: int = 3) -> str:
    return ", ".join(names[:num]) + (f" and {len(names) - num} more" if len(names) > num else "")


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Contiguous copies: safetensors rejects channels-last tensors and tensors that share memory.
    own = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as beside:
            save_file(own, beside, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise ScmError(f"{path}: cannot be written ({error}); check free space and permissions") from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as stream:
            metadata, names = dict(stream.metadata() or {}), list(stream.keys())
            if len(names) > _MAX_TENSORS or sum(map(len, metadata.values())) > _MAX_METADATA:
                raise ScmError(f"{path}: has over {_MAX_TENSORS:,} tensors or {_MAX_METADATA:,} characters of header")
            return {name: stream.get_tensor(name) for name in names}, metadata
    except ScmError:
        raise
    except Exception as error:  # safetensors also raises torch's errors, TypeError and UnicodeDecodeError
        raise ScmError(f"{path}: {_diagnose(path)}; 'scm train' writes models as {MODEL_FILE}") from error


def _diagnose(path: Path) -> str:
    """Return the likely kind of a file that is not readable as safetensors."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if start.startswith((b"PK", b"\x80")) or path.suffix.lower() in (".pth", ".pt", ".ckpt", ".bin", ".tar"):
        return "is a PyTorch checkpoint (a pickle) or an archive, not an SCM-Net model"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"
    if path.suffix.lower() == ".onnx":
        return "is an ONNX network; give the folder of 'scm export' with --runtime onnx"
    return "is truncated or not a safetensors file; copy it again"


def _check_version(path: Path, metadata: Mapping[str, str]) -> None:
    text = metadata.get("format_version", "")
    if not (text.isdecimal() and len(text) < _MAX_DIGITS):
        raise ScmError(f"{path}: its header has no format version; the file is damaged, copy it again")
    if int(text) > FORMAT_VERSION:
        raise ScmError(
            f"{path}: has format version {text}, this program reads up to {FORMAT_VERSION}; install a newer scmnet_cli"
        )
