"""A network on a GPU, asked by many threads at once: whoever waits while it works is answered together."""

from __future__ import annotations

from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import torch
from torch import Tensor

from scmnet_cli.analyser.network import Analysed, AnalyserNet

MOST = 32
"""Pictures that go through the network at a time."""

_Asked = tuple[Tensor, "Future[Analysed]"]


class InBatches:
    """Answers as the network does for one picture, on the CPU, from as many threads as one likes.

    No thread waits for a batch to fill: a batch is whatever came while the last one was at work.
    """

    def __init__(self, net: AnalyserNet, device: torch.device, most: int = MOST) -> None:
        """Start the thread that the network works in.

        Args:
            net: the network, on the device.
            device: where it is.
            most: pictures at a time.
        """
        self._net, self._device, self._most = net, device, most
        self._waiting: SimpleQueue[_Asked] = SimpleQueue()
        self.largest = 0
        """Pictures in the largest batch so far."""
        Thread(target=self._work, name="analyser", daemon=True).start()

    def __call__(self, seen: Tensor) -> Analysed:
        """Shape: seen: (1, 3, H, W), of one size for all; result: of a batch of one."""
        answer: Future[Analysed] = Future()
        self._waiting.put((seen, answer))
        return answer.result()

    @torch.inference_mode()
    def _work(self) -> None:
        while True:
            asked = self._next()
            self.largest = max(self.largest, len(asked))
            try:
                found = self.look(torch.cat([seen for seen, _ in asked]))
            except Exception as error:  # noqa: BLE001 - raised in the threads that asked
                for _, answer in asked:
                    answer.set_exception(error)
                continue
            for number, (_, answer) in enumerate(asked):
                one = slice(number, number + 1)
                answer.set_result(Analysed(found.regions[one], found.heat[one], found.visible[one], found.person[one]))

    def _next(self) -> list[_Asked]:
        asked = [self._waiting.get()]
        while len(asked) < self._most:
            try:
                asked.append(self._waiting.get_nowait())
            except Empty:
                break
        return asked

    @torch.inference_mode()
    def look(self, seen: Tensor) -> Analysed:
        """Answer at once, for pictures of any size.

        Shape:
            seen: (B, 3, H, W); result: of that batch, on the CPU.
        """
        found: Analysed = self._net(seen.to(self._device, memory_format=torch.channels_last))
        return Analysed(found.regions.cpu(), found.heat.cpu(), found.visible.cpu(), found.person.cpu())
