"""Dynamic batching: calls of many threads to a network on a GPU are answered in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import torch
from torch import Tensor

from scmnet_cli.analyser.network import Analysed, AnalyserNet

MOST = 32
"""Maximum batch size."""

_Request = tuple[Tensor, "Future[Analysed]"]


class InBatches:
    """Callable like the network for a single image; results are on the CPU; any number of threads may call it.

    No call waits for a batch to fill: a batch is all calls that arrived while the previous batch was computed.
    """

    def __init__(self, net: AnalyserNet, device: torch.device, most: int = MOST) -> None:
        """Start the thread that runs the network.

        Args:
            net: the network, on the device.
            device: its device.
            most: maximum batch size.
        """
        self._net, self._device, self._most = net, device, most
        self._waiting: SimpleQueue[_Request] = SimpleQueue()
        self.largest = 0
        """Size of the largest batch so far."""
        Thread(target=self._work, name="analyser", daemon=True).start()

    def __call__(self, image: Tensor) -> Analysed:
        """Return the network's output for one image.

        Shape:
            image: (1, 3, H, W); result: of a batch of one.
        """
        answer: Future[Analysed] = Future()
        self._waiting.put((image, answer))
        return answer.result()

    @torch.inference_mode()
    def _work(self) -> None:
        while True:
            for requests in _of_one_size(self._next()):
                self._answer(requests)

    def _answer(self, requests: Sequence[_Request]) -> None:
        self.largest = max(self.largest, len(requests))
        try:
            found = self.run(torch.cat([image for image, _ in requests]))
        except Exception as error:  # noqa: BLE001 - raised in the calling threads
            for _, answer in requests:
                answer.set_exception(error)
            return
        for number, (_, answer) in enumerate(requests):
            one = slice(number, number + 1)
            carried = None if found.carried is None else found.carried[one]
            answer.set_result(
                Analysed(found.regions[one], found.heat[one], found.visible[one], found.person[one], carried)
            )

    def _next(self) -> list[_Request]:
        requests = [self._waiting.get()]
        while len(requests) < self._most:
            try:
                requests.append(self._waiting.get_nowait())
            except Empty:
                break
        return requests

    @torch.inference_mode()
    def run(self, images: Tensor) -> Analysed:
        """Run the network on a batch directly, whatever its image size.

        Shape:
            images: (B, 3, H, W); result: of that batch, on the CPU.
        """
        found: Analysed = self._net(images.to(self._device, memory_format=torch.channels_last))
        carried = None if found.carried is None else found.carried.cpu()
        return Analysed(found.regions.cpu(), found.heat.cpu(), found.visible.cpu(), found.person.cpu(), carried)


def _of_one_size(requests: Sequence[_Request]) -> Iterator[list[_Request]]:
    """Split requests into batches of images of one size."""
    for size in {image.shape for image, _ in requests}:
        yield [request for request in requests if request[0].shape == size]
