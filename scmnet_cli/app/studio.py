"""Operations of the page, independent of Gradio: one model in memory, and functions from photos and clicks to pictures.

No user's data is stored here; it is only in arguments and results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.app.uploads import Limits, read_upload
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.domains import PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, contact_sheet, draw_skeleton, example_photo
from scmnet_cli.inference.inputs.demo_people import demo_people
from scmnet_cli.inference.inspection import inspect_point
from scmnet_cli.inference.inspection_sheet import draw_point
from scmnet_cli.inference.personal import prepare_run
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result, largest_source
from scmnet_cli.inference.values import ReadySource
from scmnet_cli.inference.wardrobe import Wardrobe
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import rescale
from scmnet_cli.training.personalizing import Budget, PersonalRun
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

LEARNING = Budget(60)
"""Training length for a visitor."""

_SHOWN_HEIGHT = 640
_TRACED_HEIGHT = 512
_THUMBNAIL = 144
_LEAST_SHARE = 0.02
_MARK = (255, 255, 255), (220, 30, 60)


@dataclass(frozen=True)
class Found:
    """Analysis of a photo.

    Attributes:
        person: the person cropped to the canvas, at the photo's own resolution if the model can use it.
        photo: the whole photo, at most 640 pixels high, with joints and regions.
        regions: names of the visible regions, without the background.
    """

    person: Person
    photo: Person
    regions: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """A result.

    Attributes:
        result: the picture.
        strip: source, references, pose and result side by side.
        worn: the source that was drawn, after an edit.
        removed: regions that the edit removed because they exclude a new one.
        pipeline: the model that drew it.
    """

    result: Result
    strip: UInt8Array
    worn: EncodedSource
    removed: tuple[str, ...]
    pipeline: Pipeline


@dataclass(frozen=True)
class Origin:
    """Origin of a clicked point of a result.

    Attributes:
        picture: the result with the point marked, beside the source, which is bright at the positions used.
        sentence: description in one sentence.
    """

    picture: UInt8Array
    sentence: str


@dataclass(frozen=True)
class GarmentCard:
    """A garment of the wardrobe, as shown on the page.

    Attributes:
        name: name in the wardrobe.
        kind: upper, pants, skirt, dress, hair…; garments of one kind exclude each other.
        picture: thumbnail, cropped to the garment.
    """

    name: str
    kind: str
    picture: UInt8Array


class Studio:
    """A model and an analyser, loaded once for all visitors; thread-safe."""

    def __init__(
        self, pipeline: Pipeline, analyser: Analyser, limits: Limits | None = None, wardrobe: Wardrobe | None = None
    ) -> None:
        """Store model and analyser.

        Args:
            pipeline: a model of people.
            analyser: finds joints and regions in photos.
            limits: limits of uploads.
            wardrobe: the offered garments, if any.

        Raises:
            ScmError: if the model is not of people.
        """
        if pipeline.domain is not PERSON:
            raise ScmError(f"{pipeline.path}: draws {pipeline.domain.members}; give a model of people")
        self.pipeline = pipeline
        self.limits = limits or Limits()
        self.wardrobe = wardrobe
        self.analyser = analyser
        self.learning = LEARNING

    @property
    def garments(self) -> dict[str, str]:
        """The region of each garment by name; empty without a wardrobe, or if the model has no separate regions."""
        if self.wardrobe is None or not self.pipeline.model.has_regions:
            return {}
        return {name: garment.region for name, garment in self.wardrobe.garments.items()}

    def garment_cards(self) -> list[GarmentCard]:
        """Return names, kinds and thumbnails of the wardrobe's garments."""
        if self.wardrobe is None:
            return []
        garments = [self.wardrobe.garments[name] for name in self.garments]
        return [GarmentCard(it.name, it.kind, np.asarray(it.thumbnail(_THUMBNAIL))) for it in garments]

    def library(self) -> list[Pose]:
        """Return the shipped poses on the model's canvas."""
        poses = []
        for name, (_, posed) in shipped_poses().items():
            assert posed.canvas is not None
            poses.append(place(Pose(name, posed.person(), posed.canvas), self.pipeline.canvas))
        return poses

    def read(self, upload: Path) -> Found:
        """Read an uploaded photo and find its person.

        Raises:
            ScmError: if it is too large, not an image, or shows no person.
        """
        image = read_upload(upload, self.limits)
        found = self.analyser(image)
        if not (found.has_person and (found.joints[:, 2] > 0).any() and found.regions.any()):
            raise ScmError(
                f"{upload.name}: no person found in this photo; try one that shows one person, large and upright"
            )
        person = Person(upload.stem, image, found.regions, found.joints, carried=found.carried_pixels)
        canvas = self.pipeline.canvas
        small, crop = crop_person(person, canvas, self.pipeline.background)
        names = self.pipeline.domain.regions
        seen = tuple(names[region] for region in np.unique(small.regions) if region != BACKGROUND)
        own = canvas.enlarged(min(largest_source(self.pipeline), crop.height))
        if own != canvas:
            small, _ = crop_person(person, own, self.pipeline.background, replace(crop, canvas=own))
        return Found(small, _shown(person), seen)

    def prepare_learning(self, found: Found) -> PersonalRun:
        """Set up fine-tuning on a visitor's photo, in memory only.

        Raises:
            ScmError: if the model cannot be fine-tuned on a person.
        """
        return prepare_run(self.pipeline, [found.person], self.learning)

    def encode(self, found: Found) -> EncodedSource:
        """Encode the style of a person, once for all pictures of them.

        Raises:
            ScmError: if the region map is all background.
        """
        return self.pipeline.encode(found.person)

    def draw(
        self,
        source: EncodedSource,
        pose: Pose,
        reference: EncodedSource | None = None,
        regions: Sequence[str] = (),
        garments: Sequence[str] = (),
        pipeline: Pipeline | None = None,
    ) -> Drawn:
        """Draw a person in a pose, with regions of another person or garments of the wardrobe.

        Args:
            source: the person to draw.
            pose: the pose, on any canvas.
            reference: person whose regions are used.
            regions: regions to take from the reference.
            garments: names in the wardrobe; of two for the same region the last one counts.
            pipeline: the model as the visitor wants it; None: the shared model.

        Raises:
            ScmError: if the reference or wardrobe does not have a region or garment.
        """
        taken: dict[str, ReadySource] = {}
        if reference is not None:
            taken |= dict.fromkeys(regions, reference)
        for name in garments:
            assert self.wardrobe is not None
            taken[self.garments[name]] = self.wardrobe.reference(name, self.pipeline)
        pipeline = pipeline or self.pipeline
        worn = pipeline.exchange(source, taken) if taken else source
        result = pipeline.transfer(worn, pose)
        drawn = np.asarray(result.image)
        blank = np.full_like(drawn, PLAIN_GREY)
        row = [(source.photo or source.person).image, *(other.person.image for other in taken.values())]
        shown = Canvas(drawn.shape[0], drawn.shape[1])
        row += [draw_skeleton(blank, rescale(result.joints, self.pipeline.canvas, shown)), drawn]
        strip = contact_sheet([row], ["source", *taken, "pose", "result"])
        return Drawn(result, strip, worn, worn.removed, pipeline)

    def origin(self, drawn: Drawn, x: int, y: int) -> Origin:
        """Find the source positions that a pixel of the canvas took its style from.

        Raises:
            ScmError: if the pixel lies outside the canvas.
        """
        canvas = self.pipeline.canvas
        point = inspect_point(drawn.pipeline, drawn.worn, Pose(drawn.result.pose, drawn.result.joints, canvas), x, y)
        marked = enlarged(drawn.result.image, canvas)
        pen = ImageDraw.Draw(marked)
        middle = (np.array([x, y]) + 0.5) * marked.height / canvas.height
        for radius, colour in ((marked.height / 40, _MARK[0]), (marked.height / 55, _MARK[1])):
            pen.ellipse((*(middle - radius), *(middle + radius)), outline=colour, width=max(2, marked.height // 170))
        source = np.asarray(enlarged(Image.fromarray(drawn.worn.person.image), canvas))
        shares = [f"{share:.0%} {name}" for name, share in point.region_shares.items() if share >= _LEAST_SHARE]
        places = max(1, round(math.exp(point.entropy)))
        sentence = (
            f"This point comes from {', '.join(shares)} of the source. It mixes about {places} "
            f"position{'' if places == 1 else 's'} of {point.weights.size}; the brightest has the largest weight."
        )
        return Origin(np.concatenate([np.asarray(marked), draw_point(source, point)], axis=1), sentence)


def example_photos() -> list[Path]:
    """Return the shipped photos of people, or else the one of scikit-image.

    Raises:
        ScmError: if there is none.
    """
    return list(demo_people().values()) or [example_photo()]


def enlarged(image: Image.Image, canvas: Canvas) -> Image.Image:
    """Enlarge a picture of the canvas by an integer factor, to a height of about 512 pixels."""
    scale = max(1, round(_TRACED_HEIGHT / canvas.height))
    return image.resize((scale * canvas.width, scale * canvas.height), Image.Resampling.BICUBIC)


def _shown(person: Person) -> Person:
    """Downscale a person's photo, joints and regions to the height shown on the page."""
    height = min(_SHOWN_HEIGHT, person.canvas.height)
    shown = Canvas(height, max(1, round(person.canvas.width * height / person.canvas.height)))
    size = (shown.width, shown.height)
    image = np.asarray(Image.fromarray(person.image).resize(size, Image.Resampling.LANCZOS))
    regions = np.asarray(Image.fromarray(person.regions).resize(size, Image.Resampling.NEAREST))
    return Person(person.name, image, regions, rescale(person.joints, person.canvas, shown))
