"""The base class of all loaded models. It works with every runtime, and this module does not import torch."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from scmnet_cli.data.cropping import resized
from scmnet_cli.domains import DOMAINS, Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    import torch

    from scmnet_cli.checkpoint import SavedModel
    from scmnet_cli.inference.edits.editing import Edit

SHIPPED_MODEL = Path(__file__).parents[1] / "assets" / "person.safetensors"
"""The person model that ships with this package."""

LARGEST_OUTPUT = 1024
"""Maximum height of pictures in pixels, unless a size is given."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one source in a batch of poses.

    Shape:
        images: (H', W', 3) uint8 each; alphas: (H', W') uint8 each, None without a foreground mask; labels: (B, H, W)
        uint8, the region that the field moved to each position; colours: (H, W, 3) uint8 each, moved likewise.
    """

    images: Sequence[UInt8Array]
    alphas: Sequence[UInt8Array | None]
    labels: UInt8Array
    colours: Sequence[UInt8Array]
    entropies: Sequence[float]


class DrawingModel(ABC):
    """A loaded model that draws: base class of :class:`~scmnet_cli.inference.pipeline.Pipeline` and of exported models.

    Attributes:
        config: config that the model was trained with.
        domain: people or faces.
        canvas: input and output size of the network.
        device: device of the network.
        path: file of the model.
        background: background of the training people: ``plain``, light grey, or ``keep``, as photographed.
        licence: licence of the weights according to their file, or empty.
        is_personal: whether it was fine-tuned on one person.
        mirrored_limbs: whether a limb that a photo hardly shows is drawn as the other one, mirrored.
        runtime: the package that computes its networks.
    """

    runtime = "torch"

    def _describe(self, saved: SavedModel, device: torch.device | str) -> None:
        self.config = saved.config
        self.domain: Domain = DOMAINS[saved.config.model.domain]
        self.canvas = saved.config.model.canvas
        self.device: torch.device | str = device
        self.path = saved.path
        self.background = saved.extra.get("background", "plain")
        self.licence = saved.extra.get("licence", "")
        self.is_personal = False
        self.mirrored_limbs = True

    def without_mirrored_limbs(self) -> Self:
        """Return this model, with the same weights, drawing only what a photo shows of the limbs.

        A limb that a photo hardly shows keeps the photo's own pixels. One that it lacks altogether is not drawn.

        Raises:
            ScmError: if the model has no part warp and so mirrors no limb.
        """
        if not self.config.model.part_warp:
            raise ScmError(
                f"--no-mirrored-limbs: {self.path} has no part warp and mirrors no limb; leave --no-mirrored-limbs out"
            )
        other = copy.copy(self)
        other.mirrored_limbs = False
        return other

    @property
    def default_batch(self) -> int:
        """Number of poses for each forward pass, unless one is given."""
        return 8 if str(self.device).startswith("cuda") else 1

    @property
    def has_plain_background(self) -> bool:
        """Whether it predicts a foreground mask and draws people on a plain background."""
        return self.config.model.part_warp and self.config.model.foreground

    def fit_pose(self, pose: Person | Pose) -> Pose:
        """Rescale a pose, or the edges of a face, to the model's canvas.

        Raises:
            ScmError: if it is of another domain, has no joint or edge, or has another aspect ratio.
        """
        self._check_domain(pose)
        if pose.edges is not None and not pose.edges.any():
            raise ScmError(f"{pose.name}: has no edges; give a drawing or photo with visible lines")
        if pose.edges is None and not (pose.joints[:, 2] > 0).any():
            raise ScmError(f"{pose.name}: has no joints; give a pose with at least one")
        if isinstance(pose, Person):
            return Pose.of(resized(pose, self.canvas))
        if not pose.canvas.has_shape_of(self.canvas):
            raise ScmError(
                f"{pose.name}: its frame of {pose.canvas} does not have the aspect ratio of the model's {self.canvas}; "
                "crop it around the person with scmnet_cli.poses.placing.place()"
            )
        structure = self.domain.rescale(pose.structure, pose.canvas, self.canvas)
        if pose.edges is not None:
            return replace(pose, canvas=self.canvas, edges=structure)
        return Pose(pose.name, structure, self.canvas)

    def _check_domain(self, given: Person | Pose) -> None:
        if given.domain != self.domain.name:
            other = DOMAINS[given.domain].members
            raise ScmError(
                f"{given.name}: is for {other}, but the model {self.path} draws {self.domain.members}; give a model of "
                f"{other}"
            )

    def _fitted(self, source: Person) -> Person:
        """Return a source on the model's canvas, after checking that it can be drawn."""
        self._check_domain(source)
        person = resized(source, self.canvas)
        if not (person.regions != BACKGROUND).any():
            raise ScmError(f"{person.name}: its region map is all background; give a photo that shows a person")
        return person

    def present(self, person: Person) -> list[str]:
        """Return the names of the regions in a person's map."""
        return [self.domain.regions[i] for i in np.unique(person.regions)]

    @abstractmethod
    def encode(self, source: Person) -> ReadySource:
        """Encode the style of a source, once for any number of poses (the paper's 3.2).

        Args:
            source: a person of the canvas's aspect ratio. With a part warp, joints are used too, and a source larger
                than the canvas provides the pixels of larger pictures.

        Raises:
            ScmError: if it is of another domain, has another aspect ratio, or its region map is all background.
        """

    @abstractmethod
    def encode_photos(self, photos: Sequence[Person]) -> ReadySource:
        """Encode one or several photos of one person in the same clothes.

        Raises:
            ScmError: as :meth:`encode`, and if the model cannot use several photos.
        """

    @abstractmethod
    def exchange(
        self, source: Person | ReadySource, references: Mapping[str, Person | ReadySource], *, force: bool = False
    ) -> ReadySource:
        """Replace regions of a source by those of others.

        Raises:
            ScmError: if the model cannot do this, or a region or reference cannot be used.
        """

    def transfer(self, source: Person | ReadySource, pose: Person | Pose, size: Canvas | None = None) -> Result:
        """Draw the source in a pose, at the size of :meth:`output_canvas`.

        Raises:
            ScmError: as :meth:`encode` and :meth:`transfer_many`.
        """
        return next(self.transfer_many(source, [pose], size=size))

    def transfer_many(
        self,
        source: Person | ReadySource,
        poses: Iterable[Person | Pose],
        batch: int = 1,
        size: Canvas | None = None,
    ) -> Iterator[Result]:
        """Draw one source in many poses, lazily; the source is encoded once.

        Args:
            source: the person to draw.
            poses: poses, consumed as needed, so that any number fits into memory.
            batch: poses per forward pass; more is faster on a GPU. Single pixels may differ by one level between batch
                sizes.
            size: size of the pictures, see :meth:`output_canvas`.

        Raises:
            ScmError: if a pose has no joint, or its aspect ratio or that of ``size`` is not the model's.
        """
        if batch < 1:
            raise ScmError(f"batch {batch}: expected at least 1")
        encoded = self.encode(source) if isinstance(source, Person) else source
        canvas = self.output_canvas(encoded, size)
        waiting = iter(poses)
        while chunk := list(itertools.islice(waiting, batch)):
            yield from self._draw(encoded, [self.fit_pose(pose) for pose in chunk], canvas)

    @abstractmethod
    def _draw(self, encoded: ReadySource, poses: list[Pose], canvas: Canvas) -> list[Result]:
        """Draw an encoded source in poses on the model's canvas, as pictures of another size."""

    def output_canvas(self, source: Person | ReadySource, size: Canvas | None = None) -> Canvas:
        """Return the output size for a source.

        Without a part warp it is the model's canvas. With one it is ``size``, or else the source's own size, at most
        1,024 pixels high.

        Raises:
            ScmError: if ``size`` has another aspect ratio than the canvas, or the model cannot draw it.
        """
        if size is not None and not size.has_shape_of(self.canvas):
            fitting = Canvas(size.height, round(size.height * self.canvas.width / self.canvas.height))
            raise ScmError(f"--size {size}: does not have the aspect ratio of the model's {self.canvas}; try {fitting}")
        if not self.config.model.part_warp:
            if size not in (None, self.canvas):
                raise ScmError(
                    f"--size {size}: {self.path} has no part warp and draws {self.canvas} only; leave --size out"
                )
            return self.canvas
        own = (source.largest if isinstance(source, ReadySource) else source).canvas
        if size is not None:
            return size
        if own.height <= self.canvas.height:
            return self.canvas
        if own.height <= LARGEST_OUTPUT:
            return own
        return Canvas(LARGEST_OUTPUT, round(LARGEST_OUTPUT * own.width / own.height))

    def _results(
        self, encoded: ReadySource, poses: Sequence[Pose], canvas: Canvas, drawn: Pictures, seconds: float
    ) -> list[Result]:
        """Return drawn pictures as results; an edited source in its own pose keeps the edited photo itself."""
        own, own_alpha = self._own_photo(encoded.edit, canvas)
        is_edit = [own is not None and encoded.is_in(pose) for pose in poses]
        return [
            Result(
                image=Image.fromarray(own if own is not None and is_edit[i] else drawn.images[i]),
                source=encoded.person.name,
                pose=pose.name,
                joints=pose.joints,
                moved_regions=drawn.labels[i],
                moved_source=Image.fromarray(drawn.colours[i]),
                entropy=drawn.entropies[i],
                seconds=seconds,
                edges=pose.edges,
                alpha=own_alpha if is_edit[i] else drawn.alphas[i],
            )
            for i, pose in enumerate(poses)
        ]

    def _own_photo(self, edit: Edit | None, canvas: Canvas) -> tuple[UInt8Array | None, UInt8Array | None]:
        """Return an edited photo and its opacity; the photo of a face keeps its size."""
        if edit is None:
            return None, None
        if not self.domain.has_joints:
            return edit.person.image, None
        return resized(edit.person, canvas).image, _resized_alpha(edit.opacity, canvas)


def largest_source(model: DrawingModel, size: Canvas | None = None) -> int:
    """Return the height up to which a photo should keep its resolution for an output size; 0: the canvas is enough."""
    if not model.config.model.part_warp:
        return 0
    return LARGEST_OUTPUT if size is None else size.height


def _resized_alpha(opacity: FloatArray, canvas: Canvas) -> UInt8Array:
    levels = Image.fromarray((opacity * 255).round().astype(np.uint8))
    return np.asarray(levels.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS))
