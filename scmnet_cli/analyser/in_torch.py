"""The analyser's network run by torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.analyser.answers import Answer
from scmnet_cli.analyser.batches import InBatches
from scmnet_cli.analyser.network import Analysed, AnalyserNet, fuse, in_bfloat16
from scmnet_cli.types import FloatArray


class InTorch:
    """Runs an analyser's network with torch: a :class:`~scmnet_cli.analyser.answers.Network`.

    Attributes:
        batches: on a GPU, what answers concurrent calls in batches; else None.
    """

    def __init__(
        self, net: AnalyserNet, *, device: torch.device | None = None, batch: int = 1, bfloat16: bool = False
    ) -> None:
        """Wrap a network; it is optimised in place for inference and cannot be trained afterwards.

        Args:
            net: the network.
            device: its device; None for the CPU.
            batch: maximum batch size for concurrent calls.
            bfloat16: compute most of the network in bfloat16.
        """
        fuse(net)
        if bfloat16:
            in_bfloat16(net)
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._crop: Callable[[Tensor], Analysed] = net
        self._wide: Callable[[Tensor], Analysed] = net
        self.batches: InBatches | None = None
        if batch > 1 or (device is not None and device.type != "cpu"):
            place = device or torch.device("cpu")
            self._crop = self.batches = InBatches(net.to(place), place, batch)
            self._wide = self.batches.run

    @torch.inference_mode()
    def __call__(self, image: FloatArray, *, wide: bool = False) -> Answer:
        """Return the answer for an image, (3, H, W)."""
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(1, 2, 0)))
        seen = pixels.permute(2, 0, 1)[None].to(self._dtype, memory_format=torch.channels_last)
        return answer_of((self._wide if wide else self._crop)(seen))


def answer_of(found: Analysed) -> Answer:
    """Return the network's output for a batch of one as arrays."""
    carried = None if found.carried is None else found.carried[0].float().numpy()
    return Answer(
        found.regions[0].float().numpy(),
        found.heat[0].float().numpy(),
        found.visible[0].float().numpy(),
        float(found.person[0]),
        carried,
    )


def made_for_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices in hardware (AMX)."""
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # absent in older torch
    return get_capabilities is not None and bool(get_capabilities().get("amx_bf16", False))
