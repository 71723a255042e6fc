"""Graph of the analyser in an exported model: what finds people in photos."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor, nn

from scmnet_cli.analyser.answers import STRIDE
from scmnet_cli.analyser.network import fuse
from scmnet_cli.analyser.people import SHIPPED
from scmnet_cli.analyser.subjects import PEOPLE, read_weights

OUTPUTS = ("regions", "heat", "visible", "person", "carried")
"""Names of the outputs of ``analyser.onnx``, in the order of the fields of an answer."""


class AnalyserGraph(nn.Module):
    """Graph of ``analyser.onnx``: the analyser's network, for images of any size.

    Shape:
        image: (1, 3, H, W) in [-1, 1], H and W multiples of 32; results: the fields of
        :class:`~scmnet_cli.analyser.network.Analysed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = PEOPLE.build()
        read_weights(SHIPPED, self.net)
        fuse(self.net)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run the network."""
        found = self.net(image)
        return tuple(getattr(found, name) for name in OUTPUTS)


def seen_by_analyser() -> tuple[Tensor, dict[int, Any]]:
    """Return an example of the graph's input, and its sides that may have other lengths."""
    rows, columns = (STRIDE * torch.export.Dim(name) for name in ("rows", "columns"))
    return torch.zeros(1, 3, *astuple(PEOPLE.canvas)), {2: rows, 3: columns}
