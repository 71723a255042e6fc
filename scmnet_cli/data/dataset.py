"""Prepared people or faces in memory or on disk, and the endless, reproducible stream of training batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import close_up, draw_moves, move, move_joints
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.data.reposing import other_pose, repose, target_pose
from scmnet_cli.domains import DOMAINS, Domain
from scmnet_cli.edges import Strokes, redrawn
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.types import Canvas, FloatArray, Person

_ORDER_STREAM, _MIRROR_STREAM, _SKETCH_STREAM, _CLOSE_TARGET_STREAM, _CLOSE_SOURCE_STREAM = 2, 3, 4, 5, 6
_CLOSE_BOTH_STREAM, _REPOSE_STREAM, _NOISE_STREAM, _TARGET_STREAM = 7, 8, 9, 10
_ALIGNMENT_STREAM, _COLOUR_STREAM = 11, 12
_ALIGNMENT_NOISE = 0.03
"""Noise of a face's alignment in training, in half heights and as a share of its scale."""


@dataclass(frozen=True)
class Batch:
    """People on one device.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8 region ids; structure: joints of people, (B, 18, 3), or
        edge maps of faces, (B, H, W) uint8.
    """

    image: Tensor
    labels: Tensor
    structure: Tensor
    domain: Domain

    def __len__(self) -> int:
        return len(self.image)

    def joined(self, other: Batch) -> Batch:
        """Return both batches as one."""
        image, labels, structure = (
            torch.cat(pair)
            for pair in ((self.image, other.image), (self.labels, other.labels), (self.structure, other.structure))
        )
        return Batch(image, labels, structure, self.domain)

    def part(self, rows: slice) -> Batch:
        """Return some people of the batch."""
        return Batch(self.image[rows], self.labels[rows], self.structure[rows], self.domain)

    def maps(self) -> Tensor:
        """Draw the structure maps for the pose encoder, (B, domain.num_maps, H, W)."""
        return self.domain.maps(self.structure, Canvas(self.image.shape[2], self.image.shape[3]))


@dataclass(frozen=True)
class TrainingBatch:
    """A training pair: the target, and the source, an augmented copy of the same person or face.

    Shape:
        sure: (B, 1, H, W), 1 where the target counts, 0 in the holes of a re-posed target; None: it counts everywhere;
        alignment: (B, 2, 3), from places of the target's face to places of the source's, in half heights from the
        centre; None: both are aligned alike; covered: (B, 1, H, W) bool, where the pixels of a re-posed target are the
        photo's; None: everywhere.
    """

    target: Batch
    source: Batch
    sure: Tensor | None = None
    alignment: Tensor | None = None
    covered: Tensor | None = None


def collate(people: Sequence[Person], device: torch.device) -> Batch:
    """Stack people, or faces, of one canvas into a batch."""
    images = np.stack([person.image for person in people])
    labels = np.stack([person.regions for person in people])
    structure = np.stack([person.structure for person in people])
    return Batch(
        _to_float(torch.from_numpy(images).to(device).permute(0, 3, 1, 2)),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(structure).to(device),
        DOMAINS[people[0].domain],
    )


def _to_float(image: Tensor) -> Tensor:
    return image.to(torch.float32, copy=True).div_(127.5).sub_(1)


class PeopleInMemory:
    """Decoded uint8 images, label maps and structures of prepared people, in RAM or on the device."""

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
            ScmError: if there are no names, or an entry is broken or of another aspect than ``canvas``.
        """
        self.names = _require_names(folder, names)
        self.device = device
        self.fill = _fill(folder)
        storage = device if cache == "device" else torch.device("cpu")
        images = torch.empty(len(names), 3, canvas.height, canvas.width, dtype=torch.uint8)
        labels = torch.empty(len(names), canvas.height, canvas.width, dtype=torch.uint8)
        structures = []
        with ThreadPoolExecutor() as pool:
            for row, person in enumerate(pool.map(lambda name: resized(folder.load(name), canvas), names)):
                images[row] = torch.tensor(person.image).permute(2, 0, 1)
                labels[row] = torch.tensor(person.regions)
                structures.append(torch.tensor(person.structure))
                if progress:
                    progress(row + 1, len(names))
        self._images, self._labels = images.to(storage), labels.to(storage)
        self._structures = torch.stack(structures).to(storage)
        self._domain = folder.domain

    def __len__(self) -> int:
        return len(self.names)

    def joints(self, index: int) -> FloatArray:
        """Return the joints of one person, (18, 3)."""
        found: FloatArray = self._structures[index].cpu().numpy()
        return found

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return these people on the device."""
        rows = torch.tensor(list(indices), device=self._images.device)
        image, labels, structure = (t[rows].to(self.device) for t in (self._images, self._labels, self._structures))
        return Batch(_to_float(image), labels, structure, self._domain)


class PeopleOnDisk:
    """Prepared people that are read and decoded at every access, for data sets larger than memory."""

    def __init__(self, folder: PreparedFolder, names: Sequence[str], canvas: Canvas, device: torch.device) -> None:
        """Open the folder; a broken entry is only found when it is read.

        Raises:
            ScmError: if there are no names.
        """
        self.names = _require_names(folder, names)
        self.device = device
        self.fill = _fill(folder)
        self._folder, self._canvas = folder, canvas

    def __len__(self) -> int:
        return len(self.names)

    def joints(self, index: int) -> FloatArray:
        """Read the joints of one person, (18, 3)."""
        return resized(self._folder.load(self.names[index]), self._canvas).joints

    def batch(self, indices: Sequence[int]) -> Batch:
        """Read these people and return them on the device.

        Raises:
            ScmError: if an entry is broken or of another aspect than the canvas.
        """
        with ThreadPoolExecutor() as pool:
            people = list(pool.map(lambda i: resized(self._folder.load(self.names[i]), self._canvas), indices))
        return collate(people, self.device)


class PeopleGiven:
    """People that are already read, such as the photos that a model is personalized on."""

    def __init__(self, people: Sequence[Person], canvas: Canvas, device: torch.device, *, plain: bool) -> None:
        """Resize the people to one canvas.

        Args:
            people: at least one.
            canvas: canvas of the batches.
            device: device of the batches.
            plain: whether their background is plain grey.

        Raises:
            ScmError: if one of them has another shape than ``canvas``.
        """
        self.names = [person.name for person in people]
        self.device = device
        self.fill = PLAIN_GREY / 127.5 - 1 if plain else None
        self._people = [resized(person, canvas) for person in people]

    def __len__(self) -> int:
        return len(self.names)

    def joints(self, index: int) -> FloatArray:
        """Return the joints of one person, (18, 3)."""
        return self._people[index].joints

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return these people on the device."""
        return collate([self._people[index] for index in indices], self.device)


People = PeopleInMemory | PeopleOnDisk | PeopleGiven


def open_people(
    folder: PreparedFolder,
    names: Sequence[str],
    canvas: Canvas,
    device: torch.device,
    cache: str = "ram",
    progress: Callable[[int, int], None] | None = None,
) -> People:
    """Open people with the cache of ``data.cache``: ``ram``, ``device`` or ``none``.

    Raises:
        ScmError: if there are no names, or an entry is broken or of another aspect than ``canvas``.
    """
    if cache == "none":
        return PeopleOnDisk(folder, names, canvas, device)
    return PeopleInMemory(folder, names, canvas, device, cache, progress)


def _require_names(folder: PreparedFolder, names: Sequence[str]) -> list[str]:
    if not names:
        raise ScmError(
            f"{folder.path}: no {folder.domain.members} to load; check train.txt and val.txt, or prepare more photos"
        )
    return list(names)


def _fill(folder: PreparedFolder) -> float | None:
    """Return the grey value of a plain background in [-1, 1]; None if backgrounds were kept."""
    return PLAIN_GREY / 127.5 - 1 if folder.manifest.background == "plain" else None


class TrainingStream:
    """The endless stream of training images: position k is the same image with the same augmentation in every run.

    Each epoch is a new permutation of the people. A run may start at any position.
    """

    def __init__(
        self, people: People, config: DataConfig, seed: int, donors: Sequence[FloatArray] | None = None
    ) -> None:
        """Create the stream.

        Args:
            people: the training images.
            config: ranges and chances.
            seed: seed of all random choices.
            donors: joints on the people's canvas into which ``repose`` may bring a source; None: the people's own.
        """
        self.people = people
        self.config = config
        self.seed = seed
        self.donors = donors
        self._order: tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.people))
        known = self._order  # threads may ask for other epochs meanwhile
        if known is None or known[0] != epoch:
            random = np.random.default_rng((self.seed, _ORDER_STREAM, epoch))
            self._order = known = (epoch, random.permutation(len(self.people)))
        return int(known[1][place])

    def _choose(self, stream: int, chance: float, positions: Sequence[int]) -> Tensor:
        """Choose each position with probability ``chance``, (B,) bool."""
        draws = [np.random.default_rng((self.seed, stream, position)).random() for position in positions]
        return torch.tensor(np.array(draws) < chance, device=self.people.device)

    def batch(self, start: int, size: int) -> TrainingBatch:
        """Return the training pairs at positions ``start`` to ``start + size - 1`` of the stream."""
        positions = range(start, start + size)
        batch = self.people.batch([self._index(position) for position in positions])
        target = self._mirrored(batch if batch.domain.has_joints else self._redrawn(batch, positions), positions)
        if self.config.colours:
            target = replace(target, image=self._recoloured(target.image, positions))
        if self.config.repose or self.config.repose_target or self.config.close_up_both:
            return self._reposed(target, positions)
        source = target
        if self.config.close_up:
            source = self._close_up(target, _CLOSE_SOURCE_STREAM, positions, self.config.close_up)
            target = self._close_up(target, _CLOSE_TARGET_STREAM, positions, self.config.close_up)
        return TrainingBatch(target, self._moved(source, positions), alignment=self._alignment(target, positions))

    def _redrawn(self, batch: Batch, positions: Sequence[int]) -> Batch:
        """Redraw the edges of faces as sketches of different kinds."""
        config = self.config
        strokes = Strokes(config.sketch, config.outline, config.thick, config.broken)
        seeds = [(self.seed, _SKETCH_STREAM, position) for position in positions]
        return replace(batch, structure=redrawn(batch.structure, strokes, seeds))

    def _recoloured(self, image: Tensor, positions: Sequence[int]) -> Tensor:
        """Change gamma, white balance and saturation of whole pictures."""
        draws = [np.random.default_rng((self.seed, _COLOUR_STREAM, position)) for position in positions]
        noise = np.stack([draw.standard_normal(5, np.float32) for draw in draws]) * self.config.colours
        values = torch.from_numpy(noise).to(image)[:, :, None, None]  # (B, 5, 1, 1)
        light, balance, saturation = values[:, :1], values[:, 1:4], values[:, 4:]
        bright = ((image + 1) / 2).clamp(0, 1) ** (light + balance / 2).exp()
        grey = bright.mean(1, keepdim=True)
        return torch.lerp(grey, bright, (2 * saturation).exp()).clamp(0, 1) * 2 - 1

    def _alignment(self, faces: Batch, positions: Sequence[int]) -> Tensor | None:
        """Return where the moved source of each face has the target's face; None for people, who have joints."""
        if faces.domain.has_joints or not self.config.anti_copy:
            return None
        moves = draw_moves(self.config, self.seed, positions).to(faces.image.device)
        draws = [np.random.default_rng((self.seed, _ALIGNMENT_STREAM, position)) for position in positions]
        noise = np.stack([draw.standard_normal((2, 3), np.float32) for draw in draws])
        height, width = faces.image.shape[2:]
        return moves.alignment(width / height) + torch.from_numpy(noise).to(faces.image) * _ALIGNMENT_NOISE

    def _mirrored(self, batch: Batch, positions: Sequence[int]) -> Batch:
        """Mirror some of the pictures left to right."""
        chosen = self._choose(_MIRROR_STREAM, self.config.mirror, positions).nonzero()[:, 0]
        mirrored = batch.domain.mirror(batch.structure[chosen], batch.image.shape[3])
        image, labels, structure = batch.image.clone(), batch.labels.clone(), batch.structure.clone()
        image[chosen], labels[chosen], structure[chosen] = image[chosen].flip(3), labels[chosen].flip(2), mirrored
        return Batch(image, labels, structure, batch.domain)

    def _reposed(self, photo: Batch, positions: Sequence[int]) -> TrainingBatch:
        """Crop both, warp sources and some targets to other poses, crop the source again, and move it."""
        photo = self._close_up_both(photo, positions)
        posed, targets = photo.structure.clone(), photo.structure.clone()
        for row, position in enumerate(positions):
            joints = photo.structure[row].cpu().numpy()
            random = np.random.default_rng((self.seed, _REPOSE_STREAM, position))
            if random.random() < self.config.repose:
                posed[row] = torch.from_numpy(other_pose(joints, self._donor(random), random)).to(posed)
            random = np.random.default_rng((self.seed, _TARGET_STREAM, position))
            if random.random() < self.config.repose_target:
                targets[row] = torch.from_numpy(target_pose(joints, random)).to(targets)
        if not self.config.repose_target:
            return TrainingBatch(photo, self._in_pose(photo, posed, positions))
        both, sure = self._warped(photo.joined(photo), torch.cat([targets, posed]))  # one warp is faster than two
        first, second = slice(0, len(photo)), slice(len(photo), None)
        return TrainingBatch(both.part(first), self._augmented(both.part(second), positions), sure[first])

    def _close_up_both(self, batch: Batch, positions: Sequence[int]) -> Batch:
        """Crop target or source as the other one of the pair is cropped."""
        return self._close_up(batch, _CLOSE_BOTH_STREAM, positions, self.config.close_up_both)

    def _in_pose(self, source: Batch, posed: Tensor, positions: Sequence[int]) -> Batch:
        """Warp sources into poses, (B, 18, 3), crop some of them again, and move them."""
        return self._augmented(self._warped(source, posed)[0], positions)

    def _augmented(self, source: Batch, positions: Sequence[int]) -> Batch:
        """Crop some of the re-posed sources again, and move all."""
        source = self._close_up(source, _CLOSE_SOURCE_STREAM, positions, self.config.close_up)
        return self._moved(source, positions)

    def _warped(self, batch: Batch, posed: Tensor) -> tuple[Batch, Tensor]:
        """Warp people to other poses; also return where the result is sure, (B, 1, H, W)."""
        reposed = repose(batch.image, batch.labels, batch.structure, posed, plain=self.people.fill is not None)
        return Batch(reposed.image, reposed.labels, reposed.joints, batch.domain), reposed.sure

    def _donor(self, random: np.random.Generator) -> FloatArray:
        if self.donors is None:
            return self.people.joints(int(random.integers(len(self.people))))
        return self.donors[int(random.integers(len(self.donors)))]

    def _moved(self, source: Batch, positions: Sequence[int]) -> Batch:
        """Apply ``anti_copy`` and joint noise to a source."""
        image, labels, structure = source.image, source.labels, source.structure
        has_joints = source.domain.has_joints
        if self.config.anti_copy:
            moves = draw_moves(self.config, self.seed, positions).to(image.device)
            image, labels = move(image, labels, moves, self.people.fill)
            structure = move_joints(structure, moves, labels) if has_joints else structure
        if has_joints and self.config.joint_noise:
            draws = [np.random.default_rng((self.seed, _NOISE_STREAM, position)) for position in positions]
            noise = np.stack([draw.standard_normal(structure.shape[1:], np.float32) for draw in draws])
            noise[..., 2] = 0
            structure = structure + torch.from_numpy(noise).to(structure) * (self.config.joint_noise * image.shape[2])
        return Batch(image, labels, structure, source.domain)

    def _close_up(self, batch: Batch, stream: int, positions: Sequence[int], chance: float) -> Batch:
        chosen = self._choose(stream, chance, positions)
        seeds = [(self.seed, stream, position, 1) for position in positions]
        image, labels, joints = close_up(batch.image, batch.labels, batch.structure, chosen, seeds)
        return Batch(image, labels, joints, batch.domain)
