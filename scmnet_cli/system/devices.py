"""Choose the device that torch computes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.system.processes import this_rank

if TYPE_CHECKING:
    import torch

_KINDS = ("cpu", "cuda", "mps", "xpu", "meta")


def choose_device(wanted: str | torch.device | None) -> torch.device:
    """Return a device by name; for None or ``auto`` a GPU if there is one, else the CPU.

    Processes of torchrun on one machine get one GPU each.

    Raises:
        ScmError: if there is no such device, it cannot be used, or several processes would have to share it.
    """
    import torch

    if wanted is None or wanted == "auto":
        return _of_this_process(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # fails on "meta", whose tensors have no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        kind = str(wanted).partition(":")[0]
        if kind not in _KINDS:
            meant = nearest(kind, [*_KINDS, "auto"]) or "; try cpu, cuda, cuda:1 or auto"
            raise ScmError(f"--device {wanted}: is no device{meant}") from error
        raise ScmError(f"--device {wanted}: cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return _of_this_process(device)


def _of_this_process(device: torch.device) -> torch.device:
    import torch

    rank = this_rank()
    if rank.count == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise ScmError(f"--device {device}: {rank.count} processes cannot share one GPU; give cuda for one GPU each")
    num_gpus = torch.cuda.device_count()
    if rank.local >= num_gpus:
        raise ScmError(f"--device cuda: this machine has {num_gpus} GPUs; lower torchrun's --nproc-per-node to that")
    torch.cuda.set_device(rank.local)
    return torch.device("cuda", rank.local)
