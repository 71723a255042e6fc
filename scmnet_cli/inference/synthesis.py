"""Forward passes of a loaded model: encode the style, warp, paint, and composite at the photo's resolution."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.data.dataset import Batch, collate, resized
from scmnet_cli.domains import DOMAINS, Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.crossed_arms import warp_person
from scmnet_cli.inference.enlarging import Enlarged, enlarge
from scmnet_cli.inference.values import EncodedSource, Painted, Result
from scmnet_cli.models.layers import STRIDE, pool_positions
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.several_photos import Photo, best_photo, part_scores, warp_photos
from scmnet_cli.models.style import Style
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.editing import Edit


class Synthesis:
    """A loaded model and its forward passes; base class of :class:`scmnet_cli.inference.pipeline.Pipeline`.

    Attributes:
        config: config that the model was trained with.
        domain: people or faces.
        canvas: input and output size of the network.
        device: device of the network.
        path: file of the model.
        background: background of the training people: ``plain``, light grey, or ``keep``, as photographed.
        licence: licence of the weights according to their file, or empty.
        is_personal: whether it was fine-tuned on one person.
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

    def present(self, person: Person) -> list[str]:
        """Return the names of the regions in a person's map."""
        return [self.domain.regions[i] for i in np.unique(person.regions)]

    def _draw(self, encoded: EncodedSource, poses: list[Pose], canvas: Canvas) -> list[Result]:
        start = time.perf_counter()
        num = len(poses)
        structure = torch.from_numpy(np.stack([pose.structure for pose in poses])).to(self.device)
        with torch.inference_mode():
            painted = self._painted(structure, encoded)
            entropies = painted.entropy.tolist()
            drawn = self._composed(painted, structure)
            if canvas != self.canvas:
                drawn = self._enlarged(painted, encoded, structure, canvas)
        images, alphas = drawn.image, _levels(drawn.alpha, num)
        own, own_alpha = self._own_photo(encoded.edit, canvas)
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

    def _own_photo(self, edit: Edit | None, canvas: Canvas) -> tuple[UInt8Array | None, UInt8Array | None]:
        """Return an edited photo and its opacity; the photo of a face keeps its size."""
        if edit is None:
            return None, None
        if not self.domain.has_joints:
            return edit.person.image, None
        return resized(edit.person, canvas).image, _resized_alpha(edit.opacity, canvas)

    def _painted(self, structure: Tensor, encoded: EncodedSource) -> Painted:
        """Draw on the model's canvas; with several photos pose by pose, each from the best photos."""
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

    def _composed(self, painted: Painted, structure: Tensor) -> Enlarged:
        """Return the picture on the model's canvas; with a part warp by the rules for larger pictures."""
        rendering, warp = painted.rendering, painted.warp
        if rendering.blend is None or warp is None:
            return Enlarged(rendering.image, rendering.alpha)
        return enlarge(rendering, warp, structure.float(), self.background_level)

    def _photos(self, encoded: EncodedSource, canvas: Canvas) -> list[Photo]:
        """Return all photos of a person on a canvas."""
        found = []
        for each in encoded.photos:
            batch = collate([resized(each.largest, canvas)], self.device)
            detail = each.largest.canvas.height / self.canvas.height
            found.append(Photo(batch.image, one_hot(batch.labels), batch.structure, detail))
        return found

    def _enlarged(self, painted: Painted, encoded: EncodedSource, structure: Tensor, canvas: Canvas) -> Enlarged:
        """Draw at the photo's resolution, one pose at a time to save memory."""
        photos = self._photos(encoded, canvas)
        small = self._photos(encoded, self.canvas) if encoded.others else []
        scale = structure.new_tensor([canvas.width / self.canvas.width, canvas.height / self.canvas.height, 1.0])
        background = self.background_level
        images, alphas = [], []
        for row, joints in enumerate(structure * scale):
            if small:
                warp = warp_photos(photos, joints[None], part_scores(small, structure[row : row + 1]))
            else:
                warp = warp_person(photos[0].image, photos[0].masks, photos[0].joints, joints[None])
            rendering = painted.rendering.row(row)
            enlarged = enlarge(rendering, warp, joints[None], background)
            images.append(enlarged.image)
            if enlarged.alpha is not None:
                alphas.append(enlarged.alpha)
        return Enlarged(torch.cat(images), torch.cat(alphas) if alphas else None)

    @property
    def background_level(self) -> float | None:
        """Level of the plain background in [-1, 1]; None if the model draws backgrounds."""
        return PLAIN_BACKGROUND if self.config.model.part_warp and self.config.model.foreground else None

    def read_style(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Style]:
        """Return the features of the regions and the fused style, as in :class:`EncodedSource`.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W).
        """
        region_features = self.model.encode_regions(image, masks)
        return region_features, self.model.fuse(region_features)

    def paint(self, structure: Tensor, style: Style, source: Batch, warp: PartWarp | None = None) -> Painted:
        """Draw one source in a batch of poses, on the model's canvas.

        Args:
            structure: the poses.
            style: style of the source.
            source: image, regions and joints of the source, on the canvas.
            warp: the source warped into the poses; None: it is computed here.

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
        """Warp the source into a batch of poses, on the canvas; return None if the model has no part warp."""
        if not self.config.model.part_warp:
            return None
        num = len(structure)
        return warp_person(
            source.image.expand(num, -1, -1, -1),
            one_hot(source.labels).expand(num, -1, -1, -1),
            source.structure.expand(num, -1, -1),
            structure,
        )

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _levels(alpha: Tensor | None, num: int) -> list[UInt8Array | None]:
    """Convert a batch of foreground masks to bytes, (H, W) each; without a mask return ``num`` times None."""
    if alpha is None:
        return [None] * num
    levels = (alpha[:, 0].float() * 255).round().to(torch.uint8).cpu().numpy()
    return list(levels)


def _resized_alpha(opacity: FloatArray, canvas: Canvas) -> UInt8Array:
    levels = Image.fromarray((opacity * 255).round().astype(np.uint8))
    return np.asarray(levels.resize((canvas.width, canvas.height), Image.Resampling.LANCZOS))
