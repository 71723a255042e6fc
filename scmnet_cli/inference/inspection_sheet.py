"""Draw the inspection of a transfer as one self-explanatory sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scmnet_cli.domains import DOMAINS
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.feature_maps import FeatureMaps
from scmnet_cli.inference.field_parts import PointOfField
from scmnet_cli.inference.inspection import Inspection, WarpShown
from scmnet_cli.regions import COLOURS
from scmnet_cli.types import FloatArray, UInt8Array

WIDTH = 1400
"""Width of the sheet in pixels."""

_GAP = 14
_COLUMNS, _NARROW_COLUMNS, _SMALL_COLUMNS = 4, 6, 8
_TITLE, _NOTE, _HEADING = 15, 13, 20
_INK, _GREY = (25, 25, 30), (95, 95, 105)
_RAMP = ((13, 8, 60), (76, 20, 130), (170, 40, 120), (235, 95, 70), (252, 190, 80), (252, 253, 200))

Colour = tuple[int, int, int]
Places = list[tuple[int, int]]
Point = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Panel:
    """An image with a title above and a note below; ``sharp`` enlarges small maps by nearest neighbour."""

    picture: UInt8Array
    title: str
    note: str = ""
    sharp: bool = False


def draw_inspection(inspection: Inspection) -> UInt8Array:
    """Draw an inspection.

    Shape:
        result: (H', 1400, 3) uint8.
    """
    canvas = inspection.source.canvas
    height, width = inspection.entropy.shape
    one = f"One position of the field, {height}x{width}, is 8x8 pixels of the canvas, {canvas}."
    blocks = [
        _heading(f"{inspection.source.name} in the pose of {inspection.pose.name}: origin of each part", one),
        _correspondence(inspection),
        _heading(
            "The source, moved along the correlation field",
            "Before the generator: it makes the result from features that are moved in exactly this way.",
        ),
        _moved(inspection),
    ]
    if inspection.part_warp is not None:
        blocks += [
            _heading(
                "The part warp",
                "The source's own pixels, warped to the pose part by part. Where c is bright they are copied; "
                "elsewhere the network draws. The foreground mask separates person and background.",
            ),
            _warped(inspection.part_warp),
        ]
    if inspection.points:
        blocks += [
            _heading(
                "The field at single points of the result",
                "Bright: source positions that the point takes its style from. Each map is scaled to its maximum.",
            ),
            *_wrapped([_point(inspection, number) for number in range(len(inspection.points))], _NARROW_COLUMNS),
        ]
    blocks += _features(inspection)
    whole = Image.new("RGB", (WIDTH, sum(block.height for block in blocks) + _GAP), "white")
    y = 0
    for block in blocks:
        whole.paste(block, (0, y))
        y += block.height
    return np.asarray(whole)


def _correspondence(inspection: Inspection) -> Image.Image:
    source = inspection.source
    blank = np.full_like(source.image, PLAIN_GREY)
    domain = DOMAINS[source.domain]
    result = np.asarray(inspection.result.image)
    owner = "the pose's own photo" if inspection.regions_known else "the field itself: the pose has no photo"
    row, places, scale = _row(
        [
            _Panel(source.image, "source", "a ring: main origin of a part"),
            _Panel(domain.draw(blank, inspection.pose.structure), "pose", f"only its {domain.structure} are used"),
            _Panel(result, "result", f"an arrow ends in each part; the parts are those of {owner}"),
            _Panel(_legend(inspection), "share from the same region"),
        ],
        _COLUMNS,
    )
    (from_x, from_y), (to_x, to_y) = places[0], places[2]
    arrows = [
        (
            np.array([from_x + (part.origin[0] + 0.5) * scale, from_y + (part.origin[1] + 0.5) * scale]),
            np.array([to_x + (part.place[0] + 0.5) * scale, to_y + (part.place[1] + 0.5) * scale]),
            COLOURS[domain.region_id(part.region)],
        )
        for part in reversed(inspection.parts)  # the large ones last, on top
    ]
    row = _with_arrows(row, arrows)
    pen = ImageDraw.Draw(row)
    for number, point in enumerate(inspection.points, start=1):
        _mark(pen, to_x + (point.x + 0.5) * scale, to_y + (point.y + 0.5) * scale, str(number))
    return row


def _legend(inspection: Inspection) -> UInt8Array:
    """Draw the shares of each region as bars, with the aspect of the canvas."""
    width = _panel_width(_COLUMNS)
    height = round(width * inspection.source.canvas.height / inspection.source.canvas.width)
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    y = 0
    for region, name in enumerate(DOMAINS[inspection.source.domain].regions):
        share = inspection.right_shares.get(name)
        if share is None and not (inspection.regions == region).any():
            continue
        pen.rectangle([0, y + 2, 18, y + 18], fill=COLOURS[region], outline=_GREY)
        pen.text((26, y), name, fill=_INK, font=_font(_TITLE))
        if share is None:
            pen.text((130, y), "not in the source", fill=_GREY, font=_font(_TITLE))
        else:
            full = width - 190
            pen.rectangle([130, y + 4, 130 + full, y + 16], fill=(235, 235, 240))
            pen.rectangle([130, y + 4, 130 + round(full * share), y + 16], fill=COLOURS[region], outline=_GREY)
            pen.text((width - 48, y), f"{share:.0%}", fill=_INK, font=_font(_TITLE))
        y += 26
    lines = (
        [f"region accuracy on the person: {inspection.region_accuracy:.0%}"]
        if inspection.region_accuracy is not None
        else []
    )
    mean = float(inspection.entropy.mean())
    lines.append(f"a position mixes about {math.exp(mean):.1f} of {inspection.entropy.size} positions")
    lines.append(f"(entropy {mean:.2f} nats of at most {math.log(inspection.entropy.size):.2f})")
    for line in lines:
        y += 22
        pen.text((0, y), line, fill=_INK, font=_font(_TITLE))
    return np.asarray(picture)


def _moved(inspection: Inspection) -> Image.Image:
    regions = np.array(COLOURS, np.uint8)[inspection.result.moved_regions]
    whose = "the pose's regions" if inspection.regions_known else "the same"
    largest = math.log(inspection.entropy.size)
    panels = [
        _Panel(
            inspection.moved_colours, "mean colours moved", "the source's mean colour of each 8x8 pixels", sharp=True
        ),
        _Panel(inspection.moved_pixels, "pixels moved", "the source's blocks of 8x8 pixels, mixed by the same weights"),
        _Panel(
            _outlined(regions, inspection.regions),
            "region of origin",
            f"colours as above; lines: {whose}",
            sharp=True,
        ),
        _Panel(
            _with_bar(inspection.entropy, largest, inspection.source.canvas.height / inspection.source.canvas.width),
            "entropy of the field",
            f"dark: one source position; bright: uniform (log {inspection.entropy.size} = {largest:.2f} nats)",
        ),
    ]
    return _row(panels, _COLUMNS)[0]


def _warped(shown: WarpShown) -> Image.Image:
    panels = [
        _Panel(shown.warped, "warped source"),
        _Panel(_coloured(shown.coverage, 1.0), "coverage", "bright: the source shows these pixels"),
        _Panel(_coloured(shown.blend, 1.0), "blend map c", "bright: the warped pixels are kept"),
        _Panel(shown.drawn, "drawn", "the network's own image, used elsewhere"),
    ]
    if shown.foreground is not None:
        panels.append(_Panel(_coloured(shown.foreground, 1.0), "foreground mask", "dark: background"))
    return _row(panels, _NARROW_COLUMNS)[0]


def _point(inspection: Inspection, number: int) -> _Panel:
    point = inspection.points[number]
    named = ", ".join(f"{share:.0%} {name}" for name, share in list(point.region_shares.items())[:3] if share >= 0.005)
    return _Panel(
        draw_point(inspection.source.image, point),
        f"{number + 1}: origin of ({point.x}, {point.y})",
        f"{named}; mixes about {math.exp(point.entropy):.1f} positions",
    )


def _features(inspection: Inspection) -> list[Image.Image]:
    maps, other = inspection.features, inspection.compared
    blocks = [
        _heading(
            "Style features of the source (the paper's figure 3)",
            "Strength: mean absolute value over channels, each map from 0 (dark) to its maximum (bright). Variation: "
            "standard deviation divided by mean; 0 is uniform and shows nothing of the source's layout.",
        )
    ]
    blocks += _regions(maps)
    kind = "with DSE" if maps.decomposed else "without DSE"
    fused = [
        _Panel(inspection.source.image, "source"),
        _strength(maps, "strength of F_s"),
        _Panel(maps.colours, "F_s in colours", "its three principal axes as red, green and blue", sharp=True),
        _Panel(
            inspection.moved_feature_colours,
            "F_s* in the same colours",
            "F_s moved along the field to the pose's layout",
            sharp=True,
        ),
    ]
    if other is None:
        blocks.append(_line(f"The whole source, {kind}: F_s, from which the field is computed and which it moves"))
    else:
        other_kind = "with DSE" if other.decomposed else "without DSE"
        blocks.append(_line(f"The whole source: {kind} in {maps.model}, {other_kind} in {other.model}"))
        fused += [
            _strength(other, f"F_s {other_kind}" if other.decomposed != maps.decomposed else "F_s of the other"),
            _Panel(other.colours, "the same in colours", "its own three principal axes", sharp=True),
        ]
    blocks.append(_row(fused, _NARROW_COLUMNS)[0])
    return blocks


def _regions(maps: FeatureMaps) -> list[Image.Image]:
    if not maps.decomposed:
        return []
    panels = [
        _Panel(_coloured(strength, strength.max()), name, sharp=True)
        for name, strength in maps.region_strengths.items()
    ]
    title = "Region by region, before they are fused: F_s^i of the Decomposed Style Encoder (DSE)"
    return [_line(title), *_wrapped(panels, _SMALL_COLUMNS)]


def _strength(maps: FeatureMaps, title: str) -> _Panel:
    return _Panel(_coloured(maps.strength, maps.strength.max()), title, f"variation {maps.variation:.2f}", sharp=True)


def _wrapped(panels: Sequence[_Panel], columns: int) -> list[Image.Image]:
    return [_row(panels[start : start + columns], columns)[0] for start in range(0, len(panels), columns)]


def _row(panels: Sequence[_Panel], columns: int) -> tuple[Image.Image, Places, float]:
    """Draw panels side by side; return the row, the positions of the images, and the scale of the first."""
    width = _panel_width(columns)
    pictures = [_fitted(panel, width) for panel in panels]
    notes = [_broken(panel.note, width) for panel in panels]
    title = _TITLE + 8
    tallest = max(picture.height for picture in pictures)
    foot = max(len(lines) for lines in notes) * (_NOTE + 4)
    row = Image.new("RGB", (WIDTH, title + tallest + foot + _GAP), "white")
    pen = ImageDraw.Draw(row)
    places = []
    for column, (panel, picture, lines) in enumerate(zip(panels, pictures, notes, strict=True)):
        x = _GAP + column * (width + _GAP)
        pen.text((x, 2), panel.title, fill=_INK, font=_font(_TITLE))
        row.paste(picture, (x, title))
        for number, line in enumerate(lines):
            pen.text((x, title + picture.height + 3 + number * (_NOTE + 4)), line, fill=_GREY, font=_font(_NOTE))
        places.append((x, title))
    return row, places, width / panels[0].picture.shape[1]


def _fitted(panel: _Panel, width: int) -> Image.Image:
    picture = Image.fromarray(panel.picture)
    size = (width, round(width * picture.height / picture.width))
    return picture.resize(size, Image.Resampling.NEAREST if panel.sharp else Image.Resampling.LANCZOS)


def _panel_width(columns: int) -> int:
    return (WIDTH - _GAP * (columns + 1)) // columns


def _heading(title: str, note: str) -> Image.Image:
    lines = _broken(note, WIDTH - 2 * _GAP)
    image = Image.new("RGB", (WIDTH, _HEADING + 24 + len(lines) * (_NOTE + 4)), "white")
    pen = ImageDraw.Draw(image)
    pen.line([(_GAP, 6), (WIDTH - _GAP, 6)], fill=(200, 200, 205))
    pen.text((_GAP, 12), title, fill=_INK, font=_font(_HEADING))
    for number, line in enumerate(lines):
        pen.text((_GAP, _HEADING + 18 + number * (_NOTE + 4)), line, fill=_GREY, font=_font(_NOTE))
    return image


def _line(text: str) -> Image.Image:
    image = Image.new("RGB", (WIDTH, _TITLE + 12), "white")
    ImageDraw.Draw(image).text((_GAP, 6), text, fill=_INK, font=_font(_TITLE))
    return image


def _broken(text: str, width: int) -> list[str]:
    """Wrap a text into lines of at most ``width`` pixels."""
    font, lines = _font(_NOTE), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [line for line in lines if line]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _coloured(values: FloatArray, largest: float) -> UInt8Array:
    """Map values from 0 to ``largest`` to colours from dark to bright."""
    share = np.clip(values / max(float(largest), 1e-12), 0, 1) * (len(_RAMP) - 1)
    steps = np.arange(len(_RAMP))
    channels = [np.interp(share, steps, [colour[channel] for colour in _RAMP]) for channel in range(3)]
    coloured: UInt8Array = np.stack(channels, axis=-1).round().astype(np.uint8)
    return coloured


def _with_bar(values: FloatArray, largest: float, aspect: float) -> UInt8Array:
    """Draw a map with a labelled colour bar; the result has the aspect of the canvas."""
    width, bar = _panel_width(_COLUMNS), 62
    height = round(width * aspect)
    whole = Image.new("RGB", (width, height), "white")
    size = (width - bar, round((width - bar) * aspect))
    whole.paste(Image.fromarray(_coloured(values, largest)).resize(size, Image.Resampling.NEAREST))
    ramp = _coloured(np.linspace(1, 0, 200, dtype=np.float32)[:, None].repeat(14, 1), 1)
    whole.paste(Image.fromarray(ramp).resize((14, size[1])), (width - bar + 8, 0))
    pen = ImageDraw.Draw(whole)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = round((1 - share) * (size[1] - _NOTE - 2))
        pen.text((width - bar + 26, y), f"{share * largest:.1f}", fill=_INK, font=_font(_NOTE))
    return np.asarray(whole)


def draw_point(image: UInt8Array, point: PointOfField) -> UInt8Array:
    """Overlay the weights of a point on a dark grey source.

    Shape:
        image: (H, W, 3) uint8; result: the same.
    """
    size = (image.shape[1], image.shape[0])
    share = point.weights / point.weights.max()
    levels = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.NEAREST))[..., None]
    grey = image.mean(axis=2, keepdims=True) * 0.45
    heat = _coloured(levels[..., 0], 1.0)
    strength = np.sqrt(levels)
    laid: UInt8Array = (grey * (1 - strength) + heat * strength).round().astype(np.uint8)
    return laid


def _outlined(picture: UInt8Array, labels: UInt8Array) -> UInt8Array:
    """Enlarge an image and draw thin lines along borders of labels."""
    enlarge = max(1, round(_panel_width(_COLUMNS) / picture.shape[1]))
    big = picture.repeat(enlarge, 0).repeat(enlarge, 1).copy()
    of = labels.repeat(enlarge, 0).repeat(enlarge, 1)
    edge: npt.NDArray[np.bool_] = np.zeros(of.shape, bool)
    edge[1:] |= of[1:] != of[:-1]
    edge[:, 1:] |= of[:, 1:] != of[:, :-1]
    big[edge] = _INK
    return big


def _with_arrows(picture: Image.Image, arrows: Sequence[tuple[Point, Point, Colour]]) -> Image.Image:
    """Draw arrows with a ring at their start and a white outline; ends are drawn over lines."""
    finer = 2  # supersampling factor, for smooth edges
    layer = Image.new("RGBA", (picture.width * finer, picture.height * finer), (255, 255, 255, 0))
    pen = ImageDraw.Draw(layer)
    for ends in (False, True):
        for start, end, colour in arrows:
            tail, head = start * finer, end * finer
            along = (head - tail) / max(float(np.hypot(*(head - tail))), 1e-6)
            across = np.array([-along[1], along[0]])
            neck = head - along * 22
            for rim, shade in ((2, (255, 255, 255, 230)), (0, (*colour, 255))):
                if not ends:
                    pen.line([tuple(tail + along * 12), tuple(neck)], fill=shade, width=6 + 2 * rim)
                    continue
                barb = across * (10 + rim)
                pen.polygon([tuple(head + along * rim), tuple(neck + barb), tuple(neck - barb)], fill=shade)
                radius = 12 + rim
                pen.ellipse([*(tail - radius), *(tail + radius)], outline=shade, width=6 + 2 * rim)
    layer = layer.resize(picture.size, Image.Resampling.BOX)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _mark(pen: ImageDraw.ImageDraw, x: float, y: float, text: str) -> None:
    pen.ellipse([x - 10, y - 10, x + 10, y + 10], fill="white", outline=_INK, width=2)
    pen.text((x, y), text, fill=_INK, font=_font(_NOTE), anchor="mm")
