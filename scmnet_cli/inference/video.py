"""Transfer a person to the poses of a video; only a few frames are in memory at a time.

A first pass finds the joints of one person in every frame, a second pass generates. In between only joints are kept:
gaps are filled, the trajectories smoothed, and the person cropped by a slowly moving box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scmnet_cli.inference.drawing_model import DrawingModel
from scmnet_cli.inference.values import ReadySource, Result
from scmnet_cli.types import Canvas, Pose


def draw_film(
    pipeline: DrawingModel,
    source: ReadySource,
    poses: Sequence[Pose | None],
    batch: int = 1,
    size: Canvas | None = None,
) -> Iterator[tuple[Pose, Result]]:
    """Generate a source in each pose, in order; a frame without a pose repeats the previous image.

    The size is that of :meth:`~scmnet_cli.inference.drawing_model.DrawingModel.output_canvas`.

    Raises:
        ScmError: if a pose cannot be drawn.
    """
    first = next(pose for pose in poses if pose is not None)
    held: list[Pose] = []
    for pose in poses:
        held.append(pose or (held[-1] if held else first))
    new = [not number or pose is not held[number - 1] for number, pose in enumerate(held)]
    changed = (pose for pose, is_new in zip(held, new, strict=True) if is_new)
    drawn = pipeline.transfer_many(source, changed, batch, size)
    result: Result | None = None
    for pose, is_new in zip(held, new, strict=True):
        result = next(drawn) if is_new else result
        assert result is not None
        yield pose, result
