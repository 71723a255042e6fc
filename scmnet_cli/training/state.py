"""State of a training run in one file, replaced atomically; a run resumes from it exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from scmnet_cli.checkpoint import load_strict, load_tensors, save_tensors
from scmnet_cli.config import Config, differences, parse_saved_config
from scmnet_cli.errors import ScmError
from scmnet_cli.files import parse_json

STATE_FILE = "state.safetensors"

MAX_SEED = 2**63
"""Seeds are below this: the largest range that both PyTorch and NumPy accept."""


class _Header(BaseModel):
    """Header of the state file; values are stored as text."""

    images: int = Field(ge=0, le=10**12)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    seed: int = Field(ge=0, lt=MAX_SEED)
    config: str
    people: str


@dataclass(frozen=True)
class Progress:
    """Progress of a run, and its config, seed and people."""

    images: int
    seconds: float
    seed: int
    config: Config
    people: str
    """Fingerprint of the names of the training people."""


def fingerprint(names: Sequence[str]) -> str:
    """Return a short hash of a list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def save_state(
    run: Path, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer], progress: Progress
) -> None:
    """Write the state of a run; replace the previous one atomically.

    Args:
        run: the run folder.
        modules: networks by name.
        optimizers: optimisers by the name of their network, each over all of that network's parameters.
        progress: progress of the run.
    """
    metadata = {
        "images": str(progress.images),
        "seconds": repr(progress.seconds),
        "seed": str(progress.seed),
        "config": progress.config.model_dump_json(),
        "people": progress.people,
    }
    save_tensors(run / STATE_FILE, state_tensors(modules, optimizers), metadata)


def state_tensors(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Return all tensors of networks and optimisers, under the names that :func:`restore` reads."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for key, parameter in modules[name].named_parameters():
            for slot, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{slot}.{key}"] = torch.as_tensor(value)
    return tensors


def read_state(run: Path) -> tuple[dict[str, Tensor], Progress] | None:
    """Read the state of a run folder; None without one.

    Raises:
        ScmError: if the file is damaged or not a state.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return None
    tensors, metadata = load_tensors(path)
    remedy = "delete the run folder and start again"
    header = parse_json(json.dumps(metadata), _Header, f"header of {path}", remedy)
    try:
        config = parse_saved_config(json.loads(header.config), f"config in {path}")
    except (ValueError, RecursionError) as error:
        raise ScmError(f"{path}: its config is damaged ({error}); {remedy}") from error
    return tensors, Progress(header.images, header.seconds, header.seed, config, header.people)


def check_same_run(found: Progress, config: Config, seed: int, people: str, run: Path) -> None:
    """Check that config, seed and people are those of the saved state.

    Raises:
        ScmError: naming each difference and the remedies.
    """
    changed = differences(found.config, config)
    if found.seed != seed:
        changed.append(f"seed: {found.seed} -> {seed}")
    if found.people != people:
        changed.append("the list of training people")
    if changed:
        raise ScmError(
            f"{run}: the run was started with other settings ({'; '.join(changed)}); use the old ones, "
            "give --allow-changes to continue with the new ones, or choose another -o"
        )


def restore(
    tensors: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    where: str,
) -> None:
    """Load saved tensors into networks and optimisers.

    Raises:
        ScmError: if a tensor is missing, unknown or of another shape.
    """
    for name, module in modules.items():
        prefix = f"{name}."
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        load_strict(module, state, f"{where}, {name}")
    for name, optimizer in optimizers.items():
        prefix = f"optimizer.{name}."
        slots = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        for key, parameter in modules[name].named_parameters():
            found = {slot: slots[f"{slot}.{key}"] for slot in _slots(slots) if f"{slot}.{key}" in slots}
            for slot, value in found.items():
                if value.shape not in ((), parameter.shape) or not bool(torch.isfinite(value).all()):
                    raise ScmError(
                        f"{where}: the state is damaged ({prefix}{slot}.{key} is {tuple(value.shape)}, or not finite); "
                        "delete the run folder and start again"
                    )
            if found:
                optimizer.state[parameter] = {
                    slot: value.clone() if value.ndim == 0 else _like(value, parameter) for slot, value in found.items()
                }


def _slots(keys: Mapping[str, Tensor]) -> list[str]:
    return sorted({key.partition(".")[0] for key in keys})


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
