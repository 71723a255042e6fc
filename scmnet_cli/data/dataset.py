"""Prepared people in memory, and the endless, reproducible stream of training batches made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import draw_moves, move
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import mirror, rescale
from scmnet_cli.types import Canvas, Person

PLAIN_GREY = 230
"""Grey value that ``background: plain`` puts behind a person."""

_ORDER_STREAM, _MIRROR_STREAM = 2, 3


@dataclass(frozen=True)
class Batch:
    """People on one device.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8 region ids; joints: (B, 18, 3).
    """

    image: Tensor
    labels: Tensor
    joints: Tensor

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class TrainingBatch:
    """What one step learns from: the target with its pose, and what the style branch sees of the same person."""

    target: Batch
    style_image: Tensor
    style_labels: Tensor


def resized(person: Person, canvas: Canvas) -> Person:
    """Return the person on another canvas of the same shape: image averaged, labels by nearest, joints scaled.

    Raises:
        ScmError: if the two canvases differ in aspect by over 1 %.
    """
    if person.canvas == canvas:
        return person
    have = person.canvas
    if not have.has_shape_of(canvas):
        raise ScmError(
            f"{person.name}: its canvas {have} does not have the shape of the model's {canvas}; "
            f"prepare the photos with --canvas {canvas}"
        )
    size = (canvas.width, canvas.height)
    image = np.asarray(Image.fromarray(person.image).resize(size, Image.Resampling.LANCZOS))
    regions = np.asarray(Image.fromarray(person.regions).resize(size, Image.Resampling.NEAREST))
    return Person(person.name, image, regions, rescale(person.joints, have, canvas))


def collate(people: Sequence[Person], device: torch.device) -> Batch:
    """Make a batch of people of one canvas."""
    images = np.stack([person.image for person in people])
    labels = np.stack([person.regions for person in people])
    joints = np.stack([person.joints for person in people])
    return Batch(
        _to_float(torch.from_numpy(images).to(device).permute(0, 3, 1, 2)),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(joints).to(device),
    )


def _to_float(image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1


class PeopleInMemory:
    """Decoded uint8 pictures, label maps and joints of some prepared people, in RAM or on the device."""

    def __init__(
        self,
        folder: PreparedFolder,
        names: Sequence[str],
        canvas: Canvas,
        device: torch.device,
        cache: str = "ram",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Decode all of ``names`` once, on all cores.

        Raises:
            ScmError: if there are no names, or an entry is broken or of another shape than ``canvas``.
        """
        self.names = _some(folder, names)
        self.device = device
        self.fill = _fill(folder)
        kept_on = device if cache == "device" else torch.device("cpu")
        images = torch.empty(len(names), 3, canvas.height, canvas.width, dtype=torch.uint8)
        labels = torch.empty(len(names), canvas.height, canvas.width, dtype=torch.uint8)
        joints = torch.empty(len(names), 18, 3)
        with ThreadPoolExecutor() as pool:
            for row, person in enumerate(pool.map(lambda name: resized(folder.load(name), canvas), names)):
                images[row] = torch.tensor(person.image).permute(2, 0, 1)
                labels[row] = torch.tensor(person.regions)
                joints[row] = torch.tensor(person.joints)
                if progress:
                    progress(row + 1, len(names))
        self._images, self._labels, self._joints = images.to(kept_on), labels.to(kept_on), joints.to(kept_on)

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return these people on the device."""
        rows = torch.tensor(list(indices), device=self._images.device)
        image, labels, joints = (t[rows].to(self.device) for t in (self._images, self._labels, self._joints))
        return Batch(_to_float(image), labels, joints)


class PeopleOnDisk:
    """Prepared people that memory cannot hold: read and decoded anew whenever they are asked for."""

    def __init__(self, folder: PreparedFolder, names: Sequence[str], canvas: Canvas, device: torch.device) -> None:
        """Open the folder; an entry that is broken is only found when its turn comes.

        Raises:
            ScmError: if there are no names.
        """
        self.names = _some(folder, names)
        self.device = device
        self.fill = _fill(folder)
        self._folder, self._canvas = folder, canvas

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Read these people onto the device.

        Raises:
            ScmError: if an entry is broken or of another shape than the canvas.
        """
        with ThreadPoolExecutor() as pool:
            people = list(pool.map(lambda i: resized(self._folder.load(self.names[i]), self._canvas), indices))
        return collate(people, self.device)


People = PeopleInMemory | PeopleOnDisk


def open_people(
    folder: PreparedFolder,
    names: Sequence[str],
    canvas: Canvas,
    device: torch.device,
    cache: str = "ram",
    progress: Callable[[int, int], None] | None = None,
) -> People:
    """Return people as ``data.cache`` wants them kept.

    Raises:
        ScmError: if there are no names, or an entry is broken or of another shape than ``canvas``.
    """
    if cache == "none":
        return PeopleOnDisk(folder, names, canvas, device)
    return PeopleInMemory(folder, names, canvas, device, cache, progress)


def _some(folder: PreparedFolder, names: Sequence[str]) -> list[str]:
    if not names:
        raise ScmError(f"{folder.path}: no people to load; check its train.txt and val.txt, or prepare more photos")
    return list(names)


def _fill(folder: PreparedFolder) -> float | None:
    """Return the grey value of a plain background in [-1, 1]; None where backgrounds were kept."""
    return PLAIN_GREY / 127.5 - 1 if folder.manifest.background == "plain" else None


class TrainingStream:
    """The endless stream of training images: place k of it is the same image, moved the same way, in every run.

    Each pass over the people is a new permutation. A run may start at any place.
    """

    def __init__(self, people: People, config: DataConfig, seed: int) -> None:
        self.people = people
        self.config = config
        self.seed = seed
        self._order: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.people))
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng((self.seed, _ORDER_STREAM, epoch))
            self._order = (epoch, random.permutation(len(self.people)))
        return int(self._order[1][place])

    def batch(self, start: int, size: int) -> TrainingBatch:
        """Return the images at places ``start`` to ``start + size`` of the stream."""
        positions = range(start, start + size)
        batch = self.people.batch([self._index(position) for position in positions])
        chance = [np.random.default_rng((self.seed, _MIRROR_STREAM, position)).random() for position in positions]
        mirrored = torch.tensor(np.array(chance) < self.config.mirror, device=batch.image.device)
        target = Batch(
            torch.where(mirrored[:, None, None, None], batch.image.flip(3), batch.image),
            torch.where(mirrored[:, None, None], batch.labels.flip(2), batch.labels),
            torch.where(mirrored[:, None, None], mirror(batch.joints, batch.image.shape[3]), batch.joints),
        )
        if not self.config.anti_copy:
            return TrainingBatch(target, target.image, target.labels)
        moves = draw_moves(self.config, self.seed, positions).to(target.image.device)
        image, labels = move(target.image, target.labels, moves, self.people.fill)
        return TrainingBatch(target, image, labels)
