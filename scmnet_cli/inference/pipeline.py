"""A trained model on pictures: load once, encode a source once, draw it in any number of poses.

>>> pipeline = Pipeline.from_pretrained("runs/ccp")
>>> source = pipeline.encode(person)
>>> for result in pipeline.transfer_many(source, poses):
...     result.image.save(f"{result.pose}.png")
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scmnet_cli.checkpoint import SavedModel, is_personal, load_model, load_personal, load_strict, sha256
from scmnet_cli.data.dataset import Batch, collate, resized
from scmnet_cli.domains import DOMAINS, Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, to_uint8
from scmnet_cli.inference.enlarging import Enlarged, enlarge
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.layers import STRIDE, pool_positions
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp, warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.several_photos import Photo, best_photo, part_scores, warp_photos
from scmnet_cli.models.style import Style
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, one_hot
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.system.devices import choose_device
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.editing import Edit
    from scmnet_cli.training.personalizing import Budget, PersonalProgress

SHIPPED_MODEL = Path(__file__).parents[1] / "assets" / "person.safetensors"
"""The person model that comes with this package."""

LARGEST_OUTPUT = 1024
"""Height of the largest picture that is drawn unless a size is given."""

# Pants and a skirt cover the same place: who is given the one loses the other.
_INSTEAD_OF = {"pants": "skirt", "skirt": "pants"}


@dataclass(frozen=True)
class EncodedSource:
    """Encoded source: computed once, it serves any number of poses and edits.

    Attributes:
        person: the source on the model's canvas; after an edit, with the regions pasted in that replaced its own.
        region_features: F_s^i, (1, 8, C/8, H/8, W/8); a model without the DSE: (1, 1, C, H/8, W/8).
        style: F_s and the colours that move along with it.
        removed: regions that an edit took away because another took their place.
        seconds: the time the encoding took.
        photo: the source at its own resolution, of the canvas's shape, if that is larger than the canvas.
        edit: what an edit of the photo changed, by a model with a part warp.
        others: further photos of the same person; each part of a picture comes from the photo that shows it best.
    """

    person: Person
    region_features: Tensor
    style: Style
    removed: tuple[str, ...]
    seconds: float
    photo: Person | None = None
    edit: Edit | None = None
    others: tuple[EncodedSource, ...] = ()

    @property
    def photos(self) -> tuple[EncodedSource, ...]:
        """All photos of the person, this one first."""
        return (self, *self.others)

    @property
    def largest(self) -> Person:
        """The source at the highest resolution that is known."""
        return self.photo or self.person

    def is_in(self, pose: Pose) -> bool:
        """Say whether a pose on the model's canvas is the source's own."""
        return pose.joints.shape == self.person.joints.shape and bool(np.allclose(pose.joints, self.person.joints))


@dataclass(frozen=True)
class Painted:
    """Output of the network for one source in a batch of poses.

    Shape:
        rendering: (B, ..., H, W); moved: (B, 8 + 3, H/8, W/8), the source's region shares and colours moved along the
        field; entropy: (B,), of the field, as a share of the greatest.
    """

    rendering: Rendering
    moved: Tensor
    entropy: Tensor
    warp: PartWarp | None = None

    @classmethod
    def joined(cls, rows: Sequence[Painted]) -> Painted:
        """Return single pictures as one batch; their warps are left out."""
        rendering = Rendering.joined([row.rendering for row in rows])
        return cls(rendering, torch.cat([row.moved for row in rows]), torch.cat([row.entropy for row in rows]))


@dataclass(frozen=True)
class Result:
    """One drawn picture.

    Attributes:
        image: the picture, RGB, of the model's canvas, or larger: see :meth:`Pipeline.output_canvas`.
        source: name of the source.
        pose: name of the pose.
        joints: (18, 3), the pose on the model's canvas; a face has none.
        edges: (H, W) uint8 bits, the edge map of a face on the model's canvas.
        alpha: (H, W) uint8, opacity of the person in ``image``; None where the model draws no foreground mask.
        moved_regions: (H, W) uint8; of which of the source's regions each place took its style, in steps of 8 pixels.
        moved_source: the source's colours moved to where the correlation field takes them, before anything is drawn.
        entropy: of the correlation field, a mean over positions, from 0 (each takes one source position) to 1 (all).
        seconds: time for this picture, its share of a batch; the source's encoding is not in it.
    """

    image: Image.Image
    source: str
    pose: str
    joints: FloatArray
    moved_regions: UInt8Array
    moved_source: Image.Image
    entropy: float
    seconds: float
    edges: UInt8Array | None = None
    alpha: UInt8Array | None = None

    def cutout(self) -> Image.Image:
        """Return the picture without its plain background, RGBA.

        Raises:
            ScmError: if the model draws no foreground mask.
        """
        if self.alpha is None:
            raise ScmError(f"{self.source}: the model draws no foreground mask to cut the person out with")
        opacity = self.alpha[..., None].astype(np.float32) / 255
        colour = (np.asarray(self.image) - PLAIN_GREY * (1 - opacity)) / np.maximum(opacity, 1 / 255)
        pixels = np.concatenate([colour.round().clip(0, 255), self.alpha[..., None]], axis=-1)
        return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def make_person(
    image: Image.Image,
    regions: Image.Image | npt.ArrayLike,
    joints: npt.ArrayLike,
    name: str = "person",
) -> Person:
    """Put together a person from an upright picture and what is known of it.

    Args:
        image: any mode; read as RGB.
        regions: label map of the picture's size with ids 0-7 of ``scmnet_cli.regions.BODY_REGIONS``; of a palette
            picture the index is read, not the colour.
        joints: (18, 3): x, y in pixels of the picture and a score, 0 where the joint is missing; OpenPose order.
        name: how results and errors call the person.

    Raises:
        ScmError: if sizes, ids or joints are not as above.
    """
    pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
    labels = np.asarray(regions)
    if labels.shape != pixels.shape[:2]:
        raise ScmError(f"{name}: the region map is {labels.shape}, the picture {pixels.shape[:2]}; they must agree")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= NUM_REGIONS:
        raise ScmError(f"{name}: the region map holds {labels.dtype} values up to {labels.max()}; expected ids 0 to 7")
    points = np.array(joints, dtype=np.float32)
    if points.shape != (NUM_JOINTS, 3):
        raise ScmError(f"{name}: joints have shape {points.shape}; expected ({NUM_JOINTS}, 3): x, y, score")
    points[~(points[:, 2] > 0)] = 0
    if not np.isfinite(points).all():
        raise ScmError(f"{name}: a joint is not finite; give a missing joint score 0")
    return Person(name=name, image=pixels, regions=labels.astype(np.uint8), joints=points)


def largest_source(pipeline: Pipeline, size: Canvas | None = None) -> int:
    """Return the height up to which a photo's own pixels serve pictures of a size; 0: the model's canvas is enough."""
    if not pipeline.config.model.part_warp:
        return 0
    return LARGEST_OUTPUT if size is None else size.height


class Pipeline:
    """A loaded model; the same input gives the same bytes.

    Attributes:
        model: the generator, in eval mode.
        config: the config the model was trained with.
        domain: what it draws, people or faces.
        canvas: size of the pictures it draws.
        device: where it computes.
        path: the file it was read from.
        background: of the people it was trained on: ``plain``, light grey, or ``keep``, as photographed.
        licence: terms of the weights, as their file states them; empty: it states none.
        is_personal: whether it was taught one person.
        model: the network, in eval mode and without gradients.
    """

    model: SCMNet

    def __init__(self, model: SCMNet, saved: SavedModel, device: torch.device) -> None:
        self._describe(saved, device)
        self.model = model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)

    def _describe(self, saved: SavedModel, device: torch.device) -> None:
        self.config = saved.config
        self.domain: Domain = DOMAINS[saved.config.model.domain]
        self.canvas = saved.config.model.canvas
        self.device = device
        self.path = saved.path
        self.background = saved.extra.get("background", "plain")
        self.licence = saved.extra.get("licence", "")
        self.is_personal = False

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str | torch.device | None = None) -> Pipeline:
        """Load a model file or the one in a run folder.

        Args:
            path: the file or the folder; a file of ``scm personalize`` is put on the model it was made of.
            device: a torch device, such as ``cpu`` or ``cuda:1``; ``None`` or ``auto``: a GPU if there is one.

        Raises:
            ScmError: if there is no readable model at ``path`` or no such device.
        """
        if is_personal(Path(path)):
            return cls.from_personal(Path(path), device)
        chosen = choose_device(device)
        saved = load_model(Path(path))
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn and at once replaced
            model = build_generator(saved.config.model)
        load_strict(model, saved.state, str(saved.path))
        return cls(model, saved, chosen)

    @classmethod
    def from_personal(cls, path: Path, device: str | torch.device | None = None) -> Pipeline:
        """Load a model of one person, a file that ``scm personalize`` wrote, on the base model it was made of.

        Raises:
            ScmError: if it cannot be read, or its base is neither the model that ships nor where it was.
        """
        saved = load_personal(path)
        bases = [base for base in (SHIPPED_MODEL, saved.base) if base.is_file() and sha256(base) == saved.base_sha256]
        if not bases:
            raise ScmError(
                f"{path}: was made for another model, {saved.base} (SHA-256 {saved.base_sha256[:12]}...), than the one "
                "that ships; put that model back, or run 'scm personalize' again"
            )
        return cls.from_pretrained(bases[0], device).with_personal(path)

    def with_personal(self, path: Path) -> Pipeline:
        """Return this model with what a file of ``scm personalize`` adds to it.

        Raises:
            ScmError: if the file cannot be read, or was made for another model.
        """
        saved = load_personal(path)
        if sha256(self.path) != saved.base_sha256:
            raise ScmError(
                f"{path}: was made for another model (SHA-256 {saved.base_sha256[:12]}...) than {self.path}; give that "
                "one, or run 'scm personalize' again"
            )
        return self.with_difference(saved.difference, path)

    def with_difference(self, difference: Mapping[str, Tensor], path: Path | None = None) -> Pipeline:
        """Return a model whose parameters differ from this one's; all others are shared with it.

        Args:
            difference: what is added, by the parameter's name.
            path: the file that it was read from, if one was.

        Raises:
            ScmError: if a name or shape is not this model's.
        """
        where = self.path if path is None else path
        own = dict(self.model.named_parameters())
        for name, change in difference.items():
            if name not in own or own[name].shape != change.shape:
                raise ScmError(f"{where}: holds '{name}', which does not fit the model {self.path}; it is damaged")
        kept = itertools.chain(own.items(), self.model.named_buffers())
        model = copy.deepcopy(self.model, {id(tensor): tensor for name, tensor in kept if name not in difference})
        with torch.no_grad():
            for name, change in difference.items():
                model.get_parameter(name).add_(change.to(self.device))
        other = copy.copy(self)
        other.model, other.path, other.is_personal = model, where, True
        return other

    def personalized(
        self,
        photos: Sequence[Person],
        budget: Budget | None = None,
        *,
        weights_dir: Path | None = None,
        progress: Callable[[PersonalProgress], None] | None = None,
    ) -> Pipeline:
        """Return this model after a short training on photos of one person in the same clothes.

        Args:
            photos: of the shape of the model's canvas.
            budget: how long it trains; None: two minutes.
            weights_dir: folder of VGG weights, as losses look for them; without any it trains on pixels alone.
            progress: called after each step.

        Raises:
            ScmError: if the model has no part warp, or a photo cannot be used.
        """
        from scmnet_cli.inference.personal import personalize

        learned = personalize(self, photos, budget, weights_dir=weights_dir, progress=progress)
        return self.with_difference(learned.difference)

    def encode(self, source: Person) -> EncodedSource:
        """Read the style of a source, once for all poses it will be drawn in (the paper's 3.2).

        Args:
            source: of the model's canvas or of the same proportions. A larger one gives its own pixels to larger
                pictures, where the model has a part warp; only then its joints are read.

        Raises:
            ScmError: if it is of another domain, its proportions are others, or its region map holds nothing but
                background.
        """
        start = time.perf_counter()
        self._check_domain(source)
        person = resized(source, self.canvas)
        if not (person.regions != BACKGROUND).any():
            raise ScmError(f"{person.name}: its region map holds nothing but background; there is no style to take")
        with torch.inference_mode():
            batch = collate([person], self.device)
            region_features, style = self.read_style(batch.image, one_hot(batch.labels))
        self._finish()
        photo = source if source.canvas.height > self.canvas.height else None
        return EncodedSource(person, region_features, style, (), time.perf_counter() - start, photo)

    def encode_photos(self, photos: Sequence[Person]) -> EncodedSource:
        """Read several photos of one person in the same clothes: front and back, say.

        For each pose, the style is that of the photo that shows most of it, and each part of the warp comes from the
        photo that shows it best.

        Args:
            photos: as :meth:`encode` takes them; the first gives the name and, for edits, is the one that is edited.

        Raises:
            ScmError: as :meth:`encode` does, and for several photos if the model has no part warp.
        """
        if not photos:
            raise ScmError("no photo is given; give at least one")
        first, *others = (self.encode(photo) for photo in photos)
        if others and not self.config.model.part_warp:
            raise ScmError(f"{self.path}: has no part warp, so it draws from one photo of a person; give one")
        return replace(first, others=tuple(others), seconds=first.seconds + sum(other.seconds for other in others))

    def exchange(
        self,
        source: Person | EncodedSource,
        references: Mapping[str, Person | EncodedSource],
        *,
        force: bool = False,
    ) -> EncodedSource:
        """Replace regions of a source by the same regions of others: F_s^R of B instead of F_s^R of A, before the CCF.

        A model with a part warp edits the photo itself, see :mod:`scmnet_cli.inference.editing`, and reads the result.
        With others the reference's region keeps its size and place. Pants and a skirt exclude each other: giving a
        skirt to someone who wears no skirt removes the pants, and the other way round, unless the edit names both.
        Nothing else is taken away: legs that pants hid are not made up, so name them too.

        Args:
            source: who is edited; an earlier edit can be edited further.
            references: for each region, by name, who it is taken from.
            force: edit a photo that does not show where the garment goes, or shows another side than the reference.

        Raises:
            ScmError: if a region is unknown or the reference has none of it, or the model has no regions (``style:
                global``).
        """
        if not self.model.has_regions:
            raise ScmError(
                f"{self.path}: was trained with 'style: global', which keeps no regions apart, so it cannot edit;"
                " use a model with 'style: decomposed'"
            )
        if not references:
            raise ScmError("edit: no region is given; give at least one, with a reference for it")
        if self.config.model.part_warp:
            return self._edited(source, references, force=force)
        region_id = self.domain.region_id
        ids = {name: region_id(name) for name in references}
        encoded = self._encoded(source)
        once = {id(reference): self._encoded(reference) for reference in references.values()}
        others = {name: once[id(reference)] for name, reference in references.items()}
        for name, other in others.items():
            present = self.present(other.person)
            if name not in present:
                raise ScmError(f"{other.person.name}: has no region '{name}' to take; it has {', '.join(present)}")

        start = time.perf_counter()
        worn = self.present(encoded.person)
        removed = tuple(
            rival
            for name, rival in _INSTEAD_OF.items()
            if name in others and name not in worn and rival in worn and rival not in others
        )
        with torch.inference_mode():
            region_features = encoded.region_features.clone()
            for name in removed:
                region_features[:, region_id(name)] = 0  # what an absent region encodes to
            for name, other in others.items():
                region_features[:, ids[name]] = other.region_features[:, ids[name]]
            style = self.model.fuse(region_features)
        self._finish()
        person = encoded.person
        for name in removed:
            person = _without(person, region_id(name))
        person = _pasted(person, {ids[name]: other.person for name, other in others.items()})
        seconds = time.perf_counter() - start + encoded.seconds + sum(other.seconds for other in once.values())
        return EncodedSource(person, region_features, style, encoded.removed + removed, seconds)

    def _edited(
        self, source: Person | EncodedSource, references: Mapping[str, Person | EncodedSource], *, force: bool
    ) -> EncodedSource:
        """Edit the source's photo, and read the result."""
        from scmnet_cli.inference.editing import edit_photo

        start = time.perf_counter()
        given = {
            name: reference.largest if isinstance(reference, EncodedSource) else reference
            for name, reference in references.items()
        }
        wearer = source.largest if isinstance(source, EncodedSource) else source
        edit = edit_photo(self, wearer, given, force=force)
        return replace(self.encode(edit.person), edit=edit, seconds=time.perf_counter() - start)

    def transfer(self, source: Person | EncodedSource, pose: Person | Pose, size: Canvas | None = None) -> Result:
        """Draw the source in a pose, of a size as :meth:`output_canvas` says.

        Raises:
            ScmError: if a picture or pose cannot be used; see :meth:`encode` and :meth:`transfer_many`.
        """
        return next(self.transfer_many(source, [pose], size=size))

    def transfer_many(
        self,
        source: Person | EncodedSource,
        poses: Iterable[Person | Pose],
        batch: int = 1,
        size: Canvas | None = None,
    ) -> Iterator[Result]:
        """Draw one source in many poses, one after the other as they are asked for; its style is read once.

        Args:
            source: who is drawn.
            poses: read as needed, so that any number of them fits in memory.
            batch: poses drawn at a time; more is faster on a GPU. Pictures of another batch size may differ from these
                by a rounding step in single pixels.
            size: of the pictures, as :meth:`output_canvas` says.

        Raises:
            ScmError: if a pose holds no joint or its proportions, or those of ``size``, are not the model's.
        """
        if batch < 1:
            raise ScmError(f"batch {batch}: expected at least 1")
        encoded = self._encoded(source)
        canvas = self.output_canvas(encoded, size)
        waiting = iter(poses)
        while chunk := list(itertools.islice(waiting, batch)):
            yield from self._draw(encoded, [self.fit_pose(pose) for pose in chunk], canvas)

    def output_canvas(self, source: Person | EncodedSource, size: Canvas | None = None) -> Canvas:
        """Return the size in which a source is drawn.

        Without a part warp that is the model's canvas. With one it is ``size``, or else the source's own, at most 1,024
        pixels high.

        Raises:
            ScmError: if ``size`` has another shape than the model's canvas, or the model cannot draw it.
        """
        if size is not None and not size.has_shape_of(self.canvas):
            fitting = Canvas(size.height, round(size.height * self.canvas.width / self.canvas.height))
            raise ScmError(f"--size {size}: has not the shape of the model's {self.canvas}; try {fitting}")
        if not self.config.model.part_warp:
            if size not in (None, self.canvas):
                raise ScmError(
                    f"--size {size}: {self.path} has no part warp and draws {self.canvas} only; leave --size out"
                )
            return self.canvas
        own = (source.largest if isinstance(source, EncodedSource) else source).canvas
        if size is not None:
            return size
        if own.height <= self.canvas.height:
            return self.canvas
        if own.height <= LARGEST_OUTPUT:
            return own
        return Canvas(LARGEST_OUTPUT, round(LARGEST_OUTPUT * own.width / own.height))

    def edit(
        self,
        source: Person | EncodedSource,
        references: Mapping[str, Person | EncodedSource],
        pose: Person | Pose | None = None,
        size: Canvas | None = None,
    ) -> Result:
        """Draw the source with some regions taken from others, in its own or another pose; see :meth:`exchange`.

        Raises:
            ScmError: as :meth:`exchange` and :meth:`transfer` do.
        """
        encoded = self._encoded(source)
        return self.transfer(self.exchange(encoded, references), pose or encoded.person, size)

    def fit_pose(self, pose: Person | Pose) -> Pose:
        """Return a pose, or the edges of a face, on the model's canvas.

        Raises:
            ScmError: if it is of another domain, holds no joint or edge, or its picture has other proportions.
        """
        self._check_domain(pose)
        if pose.edges is not None and not pose.edges.any():
            raise ScmError(f"{pose.name}: holds no edge, so there is nothing to draw after")
        if pose.edges is None and not (pose.joints[:, 2] > 0).any():
            raise ScmError(f"{pose.name}: holds no joint, so there is no pose to draw")
        if isinstance(pose, Person):
            return Pose.of(resized(pose, self.canvas))
        if not pose.canvas.has_shape_of(self.canvas):
            raise ScmError(
                f"{pose.name}: its joints lie in a frame of {pose.canvas}, which has not the shape of the model's"
                f" {self.canvas}; scmnet_cli.poses.placing.place() crops it around the person"
            )
        structure = self.domain.rescale(pose.structure, pose.canvas, self.canvas)
        if pose.edges is not None:
            return replace(pose, canvas=self.canvas, edges=structure)
        return Pose(pose.name, structure, self.canvas)

    def _check_domain(self, given: Person | Pose) -> None:
        if given.domain != self.domain.name:
            other = DOMAINS[given.domain].members
            raise ScmError(
                f"{given.name}: is of {other}, and the model {self.path} draws {self.domain.members}; give a "
                f"model that 'scm train' made of {other}"
            )

    def present(self, person: Person) -> list[str]:
        """Return the names of the regions in a person's map."""
        return [self.domain.regions[i] for i in np.unique(person.regions)]

    def _encoded(self, source: Person | EncodedSource) -> EncodedSource:
        return source if isinstance(source, EncodedSource) else self.encode(source)

    def _draw(self, encoded: EncodedSource, poses: list[Pose], canvas: Canvas) -> list[Result]:
        start = time.perf_counter()
        num = len(poses)
        structure = torch.from_numpy(np.stack([pose.structure for pose in poses])).to(self.device)
        with torch.inference_mode():
            painted = self._painted(structure, encoded)
            entropies = painted.entropy.tolist()
            drawn = Enlarged(painted.rendering.image, painted.rendering.alpha)
            if canvas != self.canvas:
                drawn = self._enlarged(painted, encoded, structure, canvas)
        images, alphas = drawn.image, _levels(drawn.alpha, num)
        own = None if encoded.edit is None else resized(encoded.edit.person, canvas).image
        own_alpha = None if encoded.edit is None else _resized_alpha(encoded.edit.opacity, canvas)
        moved = painted.moved
        labels = moved[:, :NUM_REGIONS].argmax(1).to(torch.uint8).cpu().numpy()  # (B, H/8, W/8)
        labels = labels.repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)
        colours = F.interpolate(moved[:, NUM_REGIONS:], scale_factor=STRIDE, mode="nearest")
        self._finish()
        seconds = (time.perf_counter() - start) / num
        is_edit = [own is not None and encoded.is_in(pose) for pose in poses]
        return [
            Result(
                image=Image.fromarray(own if own is not None and is_edit[i] else to_uint8(images[i])),
                source=encoded.person.name,
                pose=pose.name,
                joints=pose.joints,
                moved_regions=labels[i],
                moved_source=Image.fromarray(to_uint8(colours[i])),
                entropy=entropies[i],
                seconds=seconds,
                edges=pose.edges,
                alpha=own_alpha if is_edit[i] else alphas[i],
            )
            for i, pose in enumerate(poses)
        ]

    def _painted(self, structure: Tensor, encoded: EncodedSource) -> Painted:
        """Draw on the model's canvas; of several photos one after the other, each pose from those that fit it."""
        if not encoded.others:
            return self.paint(structure, encoded.style, collate([encoded.person], self.device))
        photos = self._photos(encoded, self.canvas)
        rows = []
        for row in range(len(structure)):
            pose = structure[row : row + 1]
            scores = part_scores(photos, pose)
            main = encoded.photos[best_photo(scores)]
            warp = warp_photos(photos, pose, scores)
            rows.append(self.paint(pose, main.style, collate([main.person], self.device), warp))
        return Painted.joined(rows)

    def _photos(self, encoded: EncodedSource, canvas: Canvas) -> list[Photo]:
        """Return all photos of a person on a canvas."""
        found = []
        for each in encoded.photos:
            batch = collate([resized(each.largest, canvas)], self.device)
            detail = each.largest.canvas.height / self.canvas.height
            found.append(Photo(batch.image, one_hot(batch.labels), batch.structure, detail))
        return found

    def _enlarged(self, painted: Painted, encoded: EncodedSource, structure: Tensor, canvas: Canvas) -> Enlarged:
        """Draw at the photo's resolution, one pose after the other: large pictures need memory."""
        photos = self._photos(encoded, canvas)
        small = self._photos(encoded, self.canvas) if encoded.others else []
        scale = structure.new_tensor([canvas.width / self.canvas.width, canvas.height / self.canvas.height, 1.0])
        background = self.background_level
        images, alphas = [], []
        for row, joints in enumerate(structure * scale):
            if small:
                warp = warp_photos(photos, joints[None], part_scores(small, structure[row : row + 1]))
            else:
                warp = warp_parts(photos[0].image, photos[0].masks, photos[0].joints, joints[None])
            rendering = painted.rendering.row(row)
            enlarged = enlarge(rendering, warp, background)
            images.append(enlarged.image)
            if enlarged.alpha is not None:
                alphas.append(enlarged.alpha)
        return Enlarged(torch.cat(images), torch.cat(alphas) if alphas else None)

    @property
    def background_level(self) -> float | None:
        """Level of the plain background that the model draws, in [-1, 1]; None where it draws backgrounds."""
        return PLAIN_BACKGROUND if self.config.model.part_warp and self.config.model.foreground else None

    def read_style(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Style]:
        """Return the regions' features and what they are fused to, as :class:`EncodedSource` holds them.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W).
        """
        region_features = self.model.encode_regions(image, masks)
        return region_features, self.model.fuse(region_features)

    def paint(self, structure: Tensor, style: Style, source: Batch, warp: PartWarp | None = None) -> Painted:
        """Draw one source in a batch of poses, on the model's canvas.

        Args:
            structure: the poses.
            style: of the source.
            source: its picture, regions and joints, on the canvas.
            warp: the source in the poses; None: it is computed.

        Shape:
            structure: (B, 18, 3) joints of people or (B, H, W) edges of faces; style: (1, ...); source: one person.
        """
        num, masks = len(structure), one_hot(source.labels)
        maps = self.domain.maps(structure, self.canvas)
        warp = self.warp(structure, source) if warp is None else warp
        style = style.expand(num)
        carried = pool_positions(masks, source.image)  # (1, 8 + 3, H/8, W/8)
        field = self.model.field(self.model.encode_pose(maps, warp), style, warp)
        rearranged, moved = self.model.rearrange(field, style, carried.expand(num, -1, -1, -1))
        assert moved is not None
        entropies = field.entropy().flatten(1)  # (B, N)
        entropy = entropies.mean(1) / math.log(entropies.shape[1])
        return Painted(self.model.translate(rearranged, maps, warp), moved, entropy, warp)

    def warp(self, structure: Tensor, source: Batch) -> PartWarp | None:
        """Return the source in a batch of poses by the part warp, on the canvas; None if the model reads none."""
        if not self.config.model.part_warp:
            return None
        num = len(structure)
        return warp_parts(
            source.image.expand(num, -1, -1, -1),
            one_hot(source.labels).expand(num, -1, -1, -1),
            source.structure.expand(num, -1, -1),
            structure,
        )

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _levels(alpha: Tensor | None, num: int) -> list[UInt8Array | None]:
    """Return opacities as bytes, (H, W) each; None for each without a mask."""
    if alpha is None:
        return [None] * num
    levels = (alpha[:, 0].float() * 255).round().to(torch.uint8).cpu().numpy()
    return list(levels)


def _resized_alpha(opacity: FloatArray, canvas: Canvas) -> UInt8Array:
    levels = Image.fromarray((opacity * 255).round().astype(np.uint8))
    return np.asarray(levels.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS))


def _without(person: Person, region: int) -> Person:
    """Paint a region with the light grey of a plain background."""
    image, regions = person.image.copy(), person.regions.copy()
    gone = regions == region
    image[gone], regions[gone] = PLAIN_GREY, BACKGROUND
    return replace(person, image=image, regions=regions)


def _pasted(person: Person, parts: Mapping[int, Person]) -> Person:
    """Replace regions of a person by those of others; a background goes behind everything else."""
    for region in parts:
        person = _without(person, region)
    image, regions = person.image.copy(), person.regions.copy()
    for region in sorted(parts, key=lambda region: region == BACKGROUND):
        taken = parts[region].regions == region
        if region == BACKGROUND:
            taken &= regions == BACKGROUND
        image[taken], regions[taken] = parts[region].image[taken], region
    return replace(person, image=image, regions=regions)
