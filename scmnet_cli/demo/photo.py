"""Demo on one photo: other poses, the whole body, other clothes, and where pixels came from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from scmnet_cli import __version__
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_text
from scmnet_cli.images import contact_sheet, draw_skeleton
from scmnet_cli.inference.inputs.photo import PhotoOptions, read_person
from scmnet_cli.inference.inspection import inspect_transfer
from scmnet_cli.inference.inspection_sheet import draw_inspection
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, largest_source
from scmnet_cli.inference.wardrobe import Wardrobe
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place
from scmnet_cli.provenance import save_generated
from scmnet_cli.regions import COLOURS
from scmnet_cli.skeleton import rescale
from scmnet_cli.types import Person, Pose, UInt8Array

POSES = ("front", "walking", "hands-on-hips", "arms-open", "three-quarter", "legs-crossed", "waving", "looking-aside")
"""Shipped poses of the demo."""

WHOLE = "front"
"""Pose for the whole body and for other clothes."""

_MOST_GARMENTS = 8
_HONEST = "no picture was selected or retouched: where one looks bad, the model is that bad."
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76em; margin: 2em auto; padding: 0 1em; color: #222; }
.row { display: flex; flex-wrap: wrap; gap: .8em; } figure { margin: 0; } figcaption { font-size: 14px; color: #555; }
figure img { width: 176px; border-radius: 4px; } img.wide { max-width: 100%; } h2 { margin-top: 1.8em; }
code { background: #f2f2f2; padding: .1em .3em; border-radius: 3px; }
"""


@dataclass(frozen=True)
class Showcase:
    """Files that a demo wrote.

    Attributes:
        page: the web page.
        sheet: all images on one contact sheet.
        num_pictures: number of generated images.
        seconds: time from the photo to the page.
    """

    page: Path
    sheet: Path
    num_pictures: int
    seconds: float


_LARGEST = 512
"""Maximum height of the demo's images, since a page loads all of them."""


@dataclass(frozen=True)
class _Section:
    name: str
    title: str
    text: str
    pictures: list[tuple[str, UInt8Array]]


def run_demo(
    photo: Path,
    out: Path,
    pipeline: Pipeline,
    wardrobe: Wardrobe | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Showcase:
    """Analyse a photo, draw its person in other poses and clothes, and write a page and a contact sheet.

    Args:
        photo: photo of a person; half a body suffices.
        out: folder for ``index.html``, ``sheet.png`` and the images.
        pipeline: a model of people.
        wardrobe: garments to try on; None for the photo's own clothes only.
        progress: called with the name of a step, its progress, and its total.

    Raises:
        ScmError: if the photo or the model cannot be used, or ``out`` cannot be written.
    """
    if pipeline.domain.name != "person":
        raise ScmError(f"{pipeline.path}: draws {pipeline.domain.members}; the demo needs a model of people")
    report_step = progress or (lambda _step, _done, _total: None)
    start = time.perf_counter()
    options = PhotoOptions(largest=min(largest_source(pipeline), _LARGEST))
    person = read_person(photo, pipeline.canvas, pipeline.background, options)
    source = pipeline.encode(person)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"--out {out}: cannot be made ({error.strerror}); choose another folder") from error
    sections = [_found(person)]
    poses = {name: place(shipped_pose(name), pipeline.canvas) for name in POSES}

    drawn = []
    for number, (name, pose) in enumerate(poses.items()):
        report_step("drawing poses", number, len(poses))
        drawn.append((name, np.asarray(pipeline.transfer(source, pose).image)))
    report_step("drawing poses", len(poses), len(poses))
    sections += [_moved(drawn), _whole(person, poses[WHOLE], dict(drawn)[WHOLE])]
    if wardrobe is not None:
        sections.append(_dressed(pipeline, source, poses[WHOLE], wardrobe, report_step))

    report_step("inspecting the correlation field", 0, 1)
    inspected = draw_inspection(inspect_transfer(pipeline, source, poses["walking"]))
    report_step("inspecting the correlation field", 1, 1)
    pages = _write(out, photo, pipeline, sections, inspected)
    num = sum(len(section.pictures) for section in sections[1:])
    return Showcase(*pages, num_pictures=num, seconds=time.perf_counter() - start)


def shipped_pose(name: str) -> Pose:
    """Return a shipped pose in its own frame."""
    posed = shipped_poses()[name][1]
    assert posed.canvas is not None
    return Pose(name, posed.person(), posed.canvas)


def _found(person: Person) -> _Section:
    regions = np.array(COLOURS, np.uint8)[person.regions]
    known = int((person.joints[:, 2] > 0).sum())
    return _Section(
        "found",
        "What was found in the photo",
        f"The person, {known} of 18 joints, and the regions of the body, without the background.",
        [("photo", person.image), ("joints", draw_skeleton(person.image, person.joints)), ("regions", regions)],
    )


def _moved(drawn: list[tuple[str, UInt8Array]]) -> _Section:
    text = "Each picture is drawn from the photo and 18 points, the joints of a pose that ships with the package."
    return _Section("pose", "In eight poses", text, drawn)


def _whole(person: Person, pose: Pose, drawn: UInt8Array) -> _Section:
    known = int((person.joints[:, 2] > 0).sum())
    joints = rescale(pose.joints, pose.canvas, person.canvas)
    blank = draw_skeleton(np.full_like(person.image, 255), joints)
    return _Section(
        "whole",
        "From what the photo shows to a whole body",
        f"The photo shows {known} of 18 joints, the pose {int((pose.joints[:, 2] > 0).sum())}. "
        "The model invents the rest of the body from what the photo shows.",
        [("photo", person.image), ("pose", blank), ("drawn", drawn)],
    )


def _dressed(
    pipeline: Pipeline,
    source: EncodedSource,
    pose: Pose,
    wardrobe: Wardrobe,
    report_step: Callable[[str, int, int], None],
) -> _Section:
    chosen = _mixed(wardrobe)
    pictures = []
    for number, name in enumerate(chosen):
        report_step("changing clothes", number, len(chosen))
        region = wardrobe.garments[name].region
        result = pipeline.edit(source, {region: wardrobe.reference(name, pipeline)}, pose)
        pictures.append((f"{name} ({region})", np.asarray(result.image)))
    report_step("changing clothes", len(chosen), len(chosen))
    text = "Garments of the wardrobe, photographed flat; `scm wardrobe` lists them all. Nothing else changes."
    return _Section("wears", "In other clothes", text, pictures)


def _mixed(wardrobe: Wardrobe) -> list[str]:
    """Choose garments of alternating regions."""
    by_region: dict[str, list[str]] = {}
    for name, garment in wardrobe.garments.items():
        by_region.setdefault(garment.region, []).append(name)
    longest = max(map(len, by_region.values()), default=0)
    turns = [names[turn] for turn in range(longest) for names in by_region.values() if turn < len(names)]
    return turns[:_MOST_GARMENTS]


def _write(
    out: Path, photo: Path, pipeline: Pipeline, sections: list[_Section], inspected: UInt8Array
) -> tuple[Path, Path]:
    text = {"Software": f"scmnet_cli {__version__}", "Comment": f"generated by SCM-Net from {photo.name}"}
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>scm demo: {escape(photo.name)}</title>",
        f"<style>{_STYLE}</style><h1>What SCM-Net makes of {escape(photo.name)}</h1>",
        f"<p>Drawn by <code>{escape(pipeline.path.name)}</code> at {pipeline.canvas}; {_HONEST}</p>",
    ]
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2><p>{_with_code(section.text)}</p><div class='row'>")
        for number, (caption, picture) in enumerate(section.pictures):
            file = f"{section.name}-{number}.png"
            save_generated(out / file, picture, text)
            parts.append(
                f"<figure><img src='{file}' alt='{escape(caption)}'><figcaption>{escape(caption)}</figcaption></figure>"
            )
        parts.append("</div>")
    save_generated(out / "inspection.png", inspected, text)
    parts += [
        "<h2>Where the pixels came from</h2>",
        "<p>The correlation field gives the origin in the photo of each position's style.</p>",
        "<img class='wide' src='inspection.png' alt='inspection'></html>",
    ]
    rows = [_captioned(section) for section in sections]
    save_generated(out / "sheet.png", contact_sheet([[row] for row in rows]), text)
    write_text(out / "index.html", "\n".join(parts) + "\n")
    return out / "index.html", out / "sheet.png"


def _with_code(text: str) -> str:
    plain, *rest = escape(text).split("`")
    return plain + "".join(f"<code>{part}</code>" if place % 2 == 0 else part for place, part in enumerate(rest))


def _captioned(section: _Section) -> UInt8Array:
    cells = [contact_sheet([[picture]], captions=[caption]) for caption, picture in section.pictures]
    return contact_sheet([cells], captions=[section.title])
