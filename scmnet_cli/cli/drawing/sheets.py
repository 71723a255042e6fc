"""Contact sheets that are written beside a picture: the strip, and the photo before and after."""

from __future__ import annotations

import numpy as np
from PIL import Image

from scmnet_cli.cli.drawing.task import Task
from scmnet_cli.data.cropping import resized
from scmnet_cli.domains import DOMAINS
from scmnet_cli.images import PLAIN_GREY, contact_sheet
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

_SHEET_HEIGHT = 1024


def draw_strip(
    task: Task, source: ReadySource, references: dict[str, ReadySource], pose: Person | Pose, result: Result
) -> UInt8Array:
    """Draw source, references, pose and result side by side, at the result's size; with edges, these come first.

    Shape:
        result: (H', W', 3) uint8.
    """
    drawn = np.asarray(result.image)
    canvas = Canvas(*drawn.shape[:2])
    ground = resized(pose, canvas).image if isinstance(pose, Person) else np.full_like(drawn, PLAIN_GREY)
    domain = DOMAINS[pose.domain]
    given = result.joints if result.edges is None else result.edges
    structure = domain.draw(ground, domain.rescale(given, source.person.canvas, canvas))
    worn = resized(source.largest, canvas).image
    if task.colours:
        return contact_sheet([[structure, worn, drawn]], ["edges", "reference", "result"])
    taken = [resized(reference.largest, canvas).image for reference in references.values()]
    row = [worn, *taken, structure, drawn]
    return contact_sheet([row], ["source", *references, "pose" if result.edges is None else "edges", "result"])


def before_after(before: UInt8Array, after: UInt8Array) -> UInt8Array:
    """Draw a photo before and after a change side by side, at most 1,024 pixels high.

    Shape:
        before, after: (H, W, 3) uint8; result: (H', W', 3) uint8.
    """
    pictures = []
    for pixels in (before, after):
        picture = Image.fromarray(pixels)
        picture.thumbnail((picture.width, _SHEET_HEIGHT), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(picture))
    return contact_sheet([pictures], ["before", "after"])
