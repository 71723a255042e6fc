"""The guard of personal models: what a training run keeps must draw the person no worse than the base does.

Judged is the picture that users get, on views that no training step has seen. The measures need no network's weights:
LPIPS would, and a loss on VGG features fell for people whom LPIPS found worse (docs/lab/personalize.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.losses.edges import soft_edges
from scmnet_cli.metrics.face_crop import crop_heads, head_boxes, shows_face
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.regions import BACKGROUND

MOST_LOST = 0.01
"""Maximum share of the person that may be missing in held-out poses; weights with more are rejected."""

MOST_FADED = 0.02
"""Maximum fall of the mean foreground mask over the person in held-out poses; weights with more are rejected."""

MARGIN, UNSEEN = 1.0, 0.005
"""A mean over few views is uncertain: this many standard errors above it, a measure may be at most 0.5 % worse than the
base's, which nobody sees."""

Values = tuple[float, ...]
"""A measure of each view; NaN where the view does not show what is measured."""


@dataclass(frozen=True)
class Change:
    """How a measure changed from the base to trained weights; negative is better.

    Each view's change is relative to its own value with the base: else a face that both draw far off decides alone.

    Attributes:
        mean: mean over the views.
        noise: standard error of the mean.
    """

    mean: float
    noise: float

    @classmethod
    def of(cls, before: Values, after: Values) -> Change | None:
        """Return the change of a measure; None if no view shows what is measured."""
        known = np.isfinite(before) & np.isfinite(after)
        if not known.any():
            return None
        old, new = np.array(before)[known], np.array(after)[known]
        changes = (new - old) / np.maximum(old, _TINY)
        noise = float(changes.std(ddof=1)) / len(old) ** 0.5 if len(old) > 1 else 0.0
        return cls(float(changes.mean()), noise)

    @property
    def is_worse(self) -> bool:
        """Whether the measure rose, or may have risen by more than is unseen."""
        return self.mean > _TINY or self.mean + MARGIN * self.noise > UNSEEN

    def __str__(self) -> str:
        return f"{self.mean:+.1%} ± {self.noise:.1%}"


@dataclass(frozen=True)
class Likeness:
    """Distances of drawn views from the photo, one value a view; 0 is equal.

    Attributes:
        picture: L1 of the whole picture; it sees halos around the person.
        colours: L1 on the person.
        edges: L1 of soft edges on the person; it sees blur.
        face: L1 of the head's crop.
        face_edges: L1 of soft edges of the head's crop.
    """

    picture: Values
    colours: Values
    edges: Values
    face: Values = ()
    face_edges: Values = ()

    def changes(self, base: Likeness) -> Iterator[tuple[str, Change]]:
        """Yield name and change of each measure that a view shows."""
        for field in fields(self):
            change = Change.of(getattr(base, field.name), getattr(self, field.name))
            if change is not None:
                yield field.name, change


@dataclass(frozen=True)
class Validation:
    """Measures of a network on held-out views and poses.

    Attributes:
        likeness: distances of the held-out views from the photo.
        lost: largest share of the person's pixels that a drawing in a held-out pose lacks, that is, holes.
        faded: largest relative fall of the mean foreground mask over these pixels in a held-out pose.
    """

    likeness: Likeness
    lost: float = 0.0
    faded: float = 0.0

    def error(self, base: Validation) -> float:
        """Return the mean of the measures, each divided by the base's; 1 for the base."""
        return 1 + float(np.mean([change.mean for _, change in self.likeness.changes(base.likeness)]))

    def harm(self, base: Validation) -> str:
        """Return why weights are not kept at any error: holes, a fainter person, a worse measure; empty if none is so.

        Every measure counts, since a better mean may hide a worse face.
        """
        if self.lost > MOST_LOST:
            return f"{self.lost:.1%} of the person is missing in held-out poses (at most {MOST_LOST:.0%})"
        if self.faded > MOST_FADED:
            return f"the person is {self.faded:.1%} fainter in held-out poses (at most {MOST_FADED:.0%})"
        for name, change in self.likeness.changes(base.likeness):
            if change.is_worse:
                return f"{_NAMES[name]} may get worse ({change} in held-out views)"
        return ""


_TINY = 1e-9
_NAMES = {
    "picture": "the whole picture",
    "colours": "L1 on the person",
    "edges": "the person's edges",
    "face": "L1 of the face",
    "face_edges": "the face's edges",
}


@torch.no_grad()
def likeness(
    images: Tensor, truth: Tensor, joints: Tensor, masks: Tensor, source_joints: Tensor, source_masks: Tensor
) -> Likeness:
    """Measure drawn views; the face counts where both target and source show it.

    Args:
        images: drawn views.
        truth: the photos they should equal.
        joints: joints of the photos.
        masks: regions of the photos.
        source_joints: joints of the sources.
        source_masks: regions of the sources.

    Shape:
        images, truth: (B, 3, H, W) in [-1, 1]; joints, source_joints: (B, 18, 3), in pixels of the images; masks,
        source_masks: (B, 8, H, W) one-hot.
    """
    person = 1 - masks[:, BACKGROUND : BACKGROUND + 1]
    colours, edges = _distances(images, truth, person)
    faces = torch.full((2, len(images)), torch.nan)
    shown = shows_face(joints, masks) & shows_face(source_joints, source_masks)
    if shown.any():
        boxes = head_boxes(joints.to(shown.device)[shown])
        found = _distances(*(crop_heads(pictures[shown].float(), boxes) for pictures in (images, truth)))
        faces[:, shown.cpu()] = torch.stack(found).cpu()
    measured = (l1(images, truth), colours, edges, *faces)
    return Likeness(*(tuple(values.tolist()) for values in measured))


def _distances(images: Tensor, truth: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return L1 of the colours and of the soft edges of each pair, over a mask or everywhere."""
    return l1(images, truth, mask), l1(soft_edges(images), soft_edges(truth), mask)


def losses_of_person(alpha: Tensor, base: Tensor, shown: Tensor) -> tuple[float, float]:
    """Return the share of the person's pixels that are missing and by how much they are fainter, in the worst picture.

    Shape:
        alpha, base: (B, 1, H, W), foreground masks from 0 to 1; shown: (B, 1, H, W), where the warp shows the person.
    """
    solid = (base > _SOLID) & shown
    num = solid.float().sum((1, 2, 3)).clamp(min=1)
    lost = ((alpha < _HOLE) & solid).float().sum((1, 2, 3)) / num
    before, after = ((mask * solid).sum((1, 2, 3)) / num for mask in (base, alpha))
    faded = 1 - after / before.clamp(min=_SOLID)
    return float(lost.max()), float(faded.masked_fill(~solid.any(3).any(2).any(1), 0).max())


_SOLID, _HOLE = 0.8, 0.4
