"""Inference with a trained model: load once, encode a source once, draw it in any number of poses.

>>> pipeline = Pipeline.from_pretrained("runs/ccp")
>>> source = pipeline.encode(person)
>>> for result in pipeline.transfer_many(source, poses):
...     result.image.save(f"{result.pose}.png")
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scmnet_cli.checkpoint import is_personal, load_model, load_personal, load_strict, sha256
from scmnet_cli.data.dataset import collate
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.drawing_model import LARGEST_OUTPUT, SHIPPED_MODEL, largest_source
from scmnet_cli.inference.region_exchange import exchange_regions
from scmnet_cli.inference.synthesis import Painted, Synthesis
from scmnet_cli.inference.values import EncodedSource, ReadySource, Result, make_person
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import one_hot
from scmnet_cli.system.devices import choose_device
from scmnet_cli.types import Canvas, Person, Pose

if TYPE_CHECKING:
    from scmnet_cli.training.personalizing import Budget, PersonalProgress

__all__ = [
    "LARGEST_OUTPUT",
    "SHIPPED_MODEL",
    "EncodedSource",
    "Painted",
    "Pipeline",
    "Result",
    "largest_source",
    "make_person",
]


class Pipeline(Synthesis):
    """A loaded model: encode, edit, transfer. The same input gives the same bytes. Attributes: :class:`Synthesis`."""

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | torch.device | None = None, *, mirrored_limbs: bool = True
    ) -> Pipeline:
        """Load a model file or the one in a run folder.

        Args:
            path: the file or the folder; a file of ``scm personalize`` is loaded on top of its base model.
            device: a torch device, such as ``cpu`` or ``cuda:1``; ``None`` or ``auto``: a GPU if there is one.
            mirrored_limbs: whether to draw a limb that a photo hardly shows as the other one, mirrored; see
                :meth:`without_mirrored_limbs`.

        Raises:
            ScmError: if there is no readable model at ``path``, or no such device.
        """
        if not mirrored_limbs:
            return cls.from_pretrained(path, device).without_mirrored_limbs()
        if is_personal(Path(path)):
            return cls.from_personal(Path(path), device)
        chosen = choose_device(device)
        saved = load_model(Path(path))
        with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
            model = build_generator(saved.config.model)
        load_strict(model, saved.state, str(saved.path))
        return cls(model, saved, chosen)

    @classmethod
    def from_personal(cls, path: Path, device: str | torch.device | None = None) -> Pipeline:
        """Load a file of ``scm personalize`` on top of its base model.

        Raises:
            ScmError: if it cannot be read, or its base is neither the shipped model nor at its recorded path.
        """
        saved = load_personal(path)
        bases = [base for base in (SHIPPED_MODEL, saved.base) if base.is_file() and sha256(base) == saved.base_sha256]
        if not bases:
            raise ScmError(
                f"{path}: its base model {saved.base} (SHA-256 {saved.base_sha256[:12]}...) is missing or changed; put "
                "it back, or run 'scm personalize' again"
            )
        return cls.from_pretrained(bases[0], device).with_personal(path)

    def with_personal(self, path: Path) -> Pipeline:
        """Return this model with the difference in a file of ``scm personalize`` added.

        Raises:
            ScmError: if the file cannot be read, or its base is another model.
        """
        saved = load_personal(path)
        if sha256(self.path) != saved.base_sha256:
            raise ScmError(
                f"{path}: its base model (SHA-256 {saved.base_sha256[:12]}...) is not {self.path}; give its base, or "
                "run 'scm personalize' again"
            )
        return self.with_difference(saved.difference, path)

    def with_difference(self, difference: Mapping[str, Tensor], path: Path | None = None) -> Pipeline:
        """Return a model with a difference added to some parameters; the other parameters are shared.

        Args:
            difference: tensors to add, by parameter name.
            path: file of the difference; None: it was not read from a file.

        Raises:
            ScmError: if a name or shape does not match this model.
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
        """Fine-tune this model on photos of one person in the same clothes; return the result.

        Args:
            photos: photos with the canvas's aspect ratio.
            budget: training length; None: two minutes.
            weights_dir: folder of VGG weights; without weights, losses on VGG features are left out.
            progress: called after each step.

        Raises:
            ScmError: if the model has no part warp, or a photo cannot be used.
        """
        from scmnet_cli.inference.personal import personalize

        learned = personalize(self, photos, budget, weights_dir=weights_dir, progress=progress)
        return self.with_difference(learned.difference)

    def encode(self, source: Person) -> EncodedSource:
        """Encode the style of a source, once for any number of poses (the paper's 3.2).

        Args:
            source: a person of the canvas's aspect ratio. With a part warp, joints are used too, and a source larger
                than the canvas provides the pixels of larger pictures.

        Raises:
            ScmError: if it is of another domain, has another aspect ratio, or its region map is all background.
        """
        start = time.perf_counter()
        person = self._fitted(source)
        with torch.inference_mode():
            batch = collate([person], self.device)
            region_features, style = self.read_style(batch.image, one_hot(batch.labels))
        self._finish()
        photo = source if source.canvas.height > self.canvas.height else None
        seconds = time.perf_counter() - start
        return EncodedSource(person, (), seconds, photo, region_features=region_features, style=style)

    def encode_photos(self, photos: Sequence[Person]) -> EncodedSource:
        """Encode several photos of one person in the same clothes, such as front and back.

        For each pose, the style comes from the photo that shows most of it, and each part of the warp from the photo
        that shows it best.

        Args:
            photos: photos as for :meth:`encode`; the first gives the name and is the one that edits change.

        Raises:
            ScmError: as :meth:`encode`, and for several photos if the model has no part warp.
        """
        if not photos:
            raise ScmError("no photo is given; give at least one")
        first, *others = (self.encode(photo) for photo in photos)
        if others and not self.config.model.part_warp:
            raise ScmError(f"{self.path}: has no part warp, so it uses one photo of a person; give one")
        return replace(first, others=tuple(others), seconds=first.seconds + sum(other.seconds for other in others))

    def exchange(
        self, source: Person | ReadySource, references: Mapping[str, Person | ReadySource], *, force: bool = False
    ) -> EncodedSource:
        """Replace regions of a source by those of others: F_s^R of B instead of F_s^R of A, before the CCF.

        A model with a part warp edits the photo itself (:mod:`scmnet_cli.inference.edits.editing`) and encodes the
        result. With other models the reference's region keeps its size and place. Pants and a skirt exclude each
        other: adding one removes the other, unless the edit replaces both. Nothing else is removed or added: legs that
        were hidden by pants need a reference too.

        Args:
            source: the person to edit; earlier edits are kept.
            references: for each region, by name, the person it is taken from.
            force: edit even if the photo does not show where the garment goes, or shows another side than the
                reference.

        Raises:
            ScmError: if a region is unknown, the reference does not have it, or the model has no regions (``style:
                global``).
        """
        if not self.model.has_regions:
            raise ScmError(
                f"{self.path}: was trained with 'style: global', without separate regions, so it cannot edit; use a "
                "model with 'style: decomposed'"
            )
        if not references:
            raise ScmError("edit: no region is given; give at least one, with a reference for it")
        if self.config.model.part_warp:
            return self._edited(source, references, force=force)
        for name in references:
            self.domain.region_id(name)
        encoded = self._encoded(source)
        once = {id(reference): self._encoded(reference) for reference in references.values()}
        others = {name: once[id(reference)] for name, reference in references.items()}
        for name, other in others.items():
            present = self.present(other.person)
            if name not in present:
                raise ScmError(f"{other.person.name}: has no region '{name}' to take; it has {', '.join(present)}")
        start = time.perf_counter()
        result = exchange_regions(self.model, self.domain, encoded, others)
        if not self.domain.has_joints:
            from scmnet_cli.inference.edits.face_editing import edit_face

            face = encoded.largest if encoded.edit is None else encoded.edit.person
            edit = edit_face(face, {name: other.largest for name, other in others.items()}, force=force)
            result = replace(result, edit=edit, photo=encoded.photo)
        self._finish()
        seconds = time.perf_counter() - start + encoded.seconds + sum(other.seconds for other in once.values())
        return replace(result, seconds=seconds)

    def _edited(
        self, source: Person | ReadySource, references: Mapping[str, Person | ReadySource], *, force: bool
    ) -> EncodedSource:
        """Edit the source's photo and encode the result."""
        from scmnet_cli.inference.edits.editing import edit_photo

        start = time.perf_counter()
        given = {
            name: reference.largest if isinstance(reference, ReadySource) else reference
            for name, reference in references.items()
        }
        wearer = source.largest if isinstance(source, ReadySource) else source
        edit = edit_photo(self, wearer, given, force=force)
        return replace(self.encode(edit.person), edit=edit, seconds=time.perf_counter() - start)

    def edit(
        self,
        source: Person | ReadySource,
        references: Mapping[str, Person | ReadySource],
        pose: Person | Pose | None = None,
        size: Canvas | None = None,
    ) -> Result:
        """Draw the source with some regions taken from others, in its own or another pose; see :meth:`exchange`.

        Raises:
            ScmError: as :meth:`exchange` and :meth:`transfer`.
        """
        encoded = self._encoded(source)
        return self.transfer(self.exchange(encoded, references), pose or encoded.person, size)

    def _encoded(self, source: Person | ReadySource) -> EncodedSource:
        if isinstance(source, Person):
            return self.encode(source)
        assert isinstance(source, EncodedSource), "of a model of another kind"
        return source
