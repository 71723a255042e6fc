"""Synthetic people for the demo and for tests without photos.

A figure of head, body and limbs in a random pose and random clothes is drawn with a region map and joints that match it
exactly. The same seed always draws the same person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scmnet_cli.data.prepared import write_csv
from scmnet_cli.errors import ScmError
from scmnet_cli.images import save_png
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

PHOTO = Canvas(320, 224)
"""Size of the drawn photos."""

HALF_BODY = 0.15
"""Share of people who are cut off between hips and knees, like photos of the upper body."""

_FINER = 2
"""Supersampling factor, for smooth edges."""

_SKIN = ((244, 208, 180), (226, 178, 142), (198, 142, 104), (150, 100, 70), (96, 62, 44))
_HAIR = ((40, 30, 26), (90, 58, 36), (150, 98, 52), (216, 180, 110), (128, 60, 40), (150, 148, 146), (70, 60, 100))
_RAISED = ((0.08, 0.4), (0.4, 1.3), (1.3, 2.6))
"""Angles of an upper arm from vertical in radians: down, out, up."""
_BENT = ((-0.2, 0.3), (-2.2, -0.6), (0.4, 1.3))
"""Angles of a forearm from its upper arm in radians: straight, inward, outward."""
_JOINT = {name: place for place, name in enumerate(JOINTS)}

Point = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Figure:
    """A pose, with the sizes needed to draw it.

    Shape:
        joints: (18, 2) in pixels of the photo.
    """

    joints: Point
    head: float
    """Height of the head in pixels."""
    head_centre: Point
    from_behind: bool

    def at(self, name: str) -> Point:
        """Return the position of a joint."""
        place: Point = self.joints[_JOINT[name]]
        return place


def draw_person(seed: int, name: str | None = None) -> Person:
    """Draw a person in a photo of 320x224 pixels.

    Args:
        seed: selects the person; the same seed gives the same bytes.
        name: the person's name; ``drawn_`` and the seed by default.
    """
    random = np.random.default_rng(seed)
    figure = _pose(random)
    cut_off = random.random() < HALF_BODY
    painter = _Painter(random)
    _dress(painter, figure, random)
    image, regions = painter.picture()
    joints = np.concatenate([figure.joints, np.ones((NUM_JOINTS, 1))], axis=1)
    if figure.from_behind:
        joints[[_JOINT[part] for part in ("nose", "right_eye", "left_eye")], 2] = 0
    if cut_off:
        hips = figure.at("right_hip")[1]
        bottom = int(hips + random.uniform(0.2, 0.8) * (figure.at("right_knee")[1] - hips))
        image, regions = image[:bottom].copy(), regions[:bottom].copy()
    height, width = regions.shape
    inside = (joints[:, 0] >= 0) & (joints[:, 0] <= width - 1) & (joints[:, 1] >= 0) & (joints[:, 1] <= height - 1)
    joints[~inside | (joints[:, 2] == 0)] = 0
    return Person(name or f"drawn_{seed:04d}", image, regions, joints.astype(np.float32))


def write_drawn_source(folder: Path, num: int, seed: int = 0) -> list[str]:
    """Write photos, ``regions/`` and ``joints.csv`` of synthetic people in the layout ``folder`` of ``scm preprocess``.

    Args:
        folder: created if necessary; images of the same names are replaced.
        num: number of people.
        seed: seed of the first person; the others count up from it.

    Returns:
        The people's names.

    Raises:
        ScmError: if the folder cannot be written.
    """
    try:
        (folder / "regions").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    rows = []
    for person in (draw_person(number) for number in range(seed, seed + num)):
        save_png(folder / f"{person.name}.png", person.image)
        save_png(folder / "regions" / f"{person.name}.png", person.regions)
        rows.append([person.name, *[f"{value:.2f}" for value in person.joints.reshape(-1)]])
    columns = ["name", *[f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "score")]]
    write_csv(folder / "joints.csv", columns, rows)
    return [row[0] for row in rows]


def _pose(random: np.random.Generator) -> _Figure:
    """Sample a pose: standing, stepping or with raised arms, seen from the front, half turned, or from behind."""
    height = PHOTO.height * random.uniform(0.8, 0.92)
    head = height / 7.2
    top = (PHOTO.height - height) * random.uniform(0.3, 0.7)
    centre = PHOTO.width * random.uniform(0.42, 0.58)
    from_behind = random.random() < 0.12
    turn = random.uniform(-0.8, 0.8)  # radians; 0 faces us
    width = float(np.cos(turn))
    lean = random.normal(0, 0.03) * height
    joints = np.zeros((NUM_JOINTS, 2))

    neck = np.array([centre + lean, top + 1.25 * head])
    hip_centre = np.array([centre, top + 3.6 * head])
    joints[_JOINT["neck"]] = neck
    head_centre = np.array([neck[0] + np.sin(turn) * 0.12 * head, top + 0.55 * head])
    # A person seen from the front has the right side on the left of the image.
    for side, sign in (("right", -1.0), ("left", 1.0)):
        sign *= -1 if from_behind else 1
        joints[_JOINT[f"{side}_eye"]] = head_centre + head * np.array(
            [sign * 0.15 * width + np.sin(turn) * 0.15, -0.08]
        )
        joints[_JOINT[f"{side}_ear"]] = head_centre + head * np.array([sign * 0.33 * width - np.sin(turn) * 0.1, 0.0])
        shoulder = neck + head * np.array([sign * 0.78 * (0.45 + 0.55 * width), 0.12])
        hip = hip_centre + head * np.array([sign * 0.42 * (0.5 + 0.5 * width), 0.0])
        joints[_JOINT[f"{side}_shoulder"]], joints[_JOINT[f"{side}_hip"]] = shoulder, hip
        raised = random.uniform(*_RAISED[random.choice(3, p=(0.6, 0.27, 0.13))])
        bend = random.uniform(*_BENT[random.choice(3, p=(0.5, 0.35, 0.15))])
        elbow = shoulder + 1.25 * head * np.array([sign * np.sin(raised), np.cos(raised)])
        wrist = elbow + 1.05 * head * np.array([sign * np.sin(raised + bend), np.cos(raised + bend)])
        joints[_JOINT[f"{side}_elbow"]], joints[_JOINT[f"{side}_wrist"]] = elbow, wrist
        stride = random.uniform(-0.03, 0.22)
        knee = hip + 1.6 * head * np.array([sign * np.sin(stride), np.cos(stride)])
        step = stride - random.uniform(0.0, 0.22)
        ankle = knee + 1.55 * head * np.array([sign * np.sin(step), np.cos(step)])
        joints[_JOINT[f"{side}_knee"]], joints[_JOINT[f"{side}_ankle"]] = knee, ankle
    joints[_JOINT["nose"]] = head_centre + head * np.array([np.sin(turn) * 0.25, 0.06])
    return _Figure(joints, head, head_centre, from_behind)


class _Painter:
    """Paints shapes into image and region map together."""

    def __init__(self, random: np.random.Generator) -> None:
        size = (PHOTO.height * _FINER, PHOTO.width * _FINER)
        self._y, self._x = np.mgrid[: size[0], : size[1]].astype(np.float32) / _FINER  # in pixels of the photo
        top, bottom = (random.uniform(low, high, 3).astype(np.float32) for low, high in ((110, 235), (90, 200)))
        share = self._y[..., None] / PHOTO.height
        self._image = top * (1 - share) + bottom * share
        grain = random.standard_normal((PHOTO.height, PHOTO.width, 3), np.float32) * 5
        self._image += grain.repeat(_FINER, 0).repeat(_FINER, 1)
        self._regions = np.full(size, BACKGROUND, np.uint8)

    def paint(self, region: str, cloth: FloatArray, *shapes: Callable[[ImageDraw.ImageDraw], None]) -> None:
        """Fill the shapes with the pixels of ``cloth``, which has the size of the image."""
        mask = Image.new("1", (self._regions.shape[1], self._regions.shape[0]))
        pen = ImageDraw.Draw(mask)
        for shape in shapes:
            shape(pen)
        covered = np.asarray(mask)
        self._image[covered] = cloth[covered]
        self._regions[covered] = region_id(region)

    def plain(self, colour: tuple[int, int, int] | FloatArray) -> FloatArray:
        """Return cloth of one colour, a little darker to the right."""
        shade = 1.06 - 0.16 * self._x / PHOTO.width
        cloth: FloatArray = shade[..., None] * np.asarray(colour, np.float32)
        return cloth

    def cloth(self, random: np.random.Generator) -> FloatArray:
        """Return plain, striped, checked or dotted cloth in random colours."""
        first, second = (self.plain(_vivid(random)) for _ in range(2))
        angle, period = float(random.choice([0.0, np.pi / 2, np.pi / 4])), random.uniform(7, 18)
        along = self._x * np.cos(angle) + self._y * np.sin(angle)
        across = self._y * np.cos(angle) - self._x * np.sin(angle)
        stripes = np.sin(2 * np.pi * along / period) > 0
        pattern = random.choice(["plain", "stripes", "checks", "dots"], p=[0.4, 0.3, 0.15, 0.15])
        if pattern == "plain":
            return first
        if pattern == "checks":
            stripes = stripes ^ (np.sin(2 * np.pi * across / period) > 0)
        elif pattern == "dots":
            stripes = np.cos(2 * np.pi * along / period) + np.cos(2 * np.pi * across / period) > 0.9
        return np.where(stripes[..., None], first, second)

    def picture(self) -> tuple[UInt8Array, UInt8Array]:
        """Return photo and region map, both of the size of the photo."""
        blocks = self._image.clip(0, 255).reshape(PHOTO.height, _FINER, PHOTO.width, _FINER, 3)
        return blocks.mean(axis=(1, 3)).round().astype(np.uint8), self._regions[::_FINER, ::_FINER].copy()


def _vivid(random: np.random.Generator) -> FloatArray:
    """Return a random colour, rarely grey."""
    colour = random.uniform(20, 240, 3)
    colour[random.integers(3)] *= random.uniform(0.1, 0.6)
    return colour.astype(np.float32)


def _limb(width: float, *points: Point) -> Callable[[ImageDraw.ImageDraw], None]:
    """Return a line with round ends and corners."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        places = [tuple(float(value) * _FINER for value in point) for point in points]
        pen.line(places, fill=1, width=max(1, round(width * _FINER)))
        for point in points:
            _ellipse(point, width / 2, width / 2)(pen)

    return draw


def _ellipse(centre: Point, radius_x: float, radius_y: float) -> Callable[[ImageDraw.ImageDraw], None]:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        radius = np.array([radius_x, radius_y])
        pen.ellipse([*map(float, (centre - radius) * _FINER), *map(float, (centre + radius) * _FINER)], fill=1)

    return draw


def _polygon(*points: Point) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda pen: pen.polygon([tuple(float(value) * _FINER for value in point) for point in points], fill=1)


def _part_way(start: Point, end: Point, share: float) -> Point:
    return start + (end - start) * share


def _dress(painter: _Painter, figure: _Figure, random: np.random.Generator) -> None:
    """Paint the figure from back to front: long hair, legs, lower body, arms, upper body, head."""
    head, at = figure.head, figure.at
    skin = painter.plain(_SKIN[random.integers(len(_SKIN))])
    hair = painter.plain(_HAIR[random.integers(len(_HAIR))])
    upper, lower, shoes = painter.cloth(random), painter.cloth(random), painter.plain(_vivid(random))
    bottom = random.choice(["pants", "shorts", "skirt", "dress"], p=[0.45, 0.15, 0.25, 0.15])
    sleeves = random.choice([0.0, 0.45, 1.0, 1.9], p=[0.15, 0.35, 0.1, 0.4])  # upper arm to 1, forearm to 2
    long_hair, down = random.random() < 0.45, np.array([0.0, 1.0])
    sides = ("right", "left")

    back_hair = _ellipse(figure.head_centre + 0.45 * head * down, 0.44 * head, 0.85 * head)
    if long_hair and not figure.from_behind:
        painter.paint("hair", hair, back_hair)
    for side in sides:
        hip, knee, ankle = at(f"{side}_hip"), at(f"{side}_knee"), at(f"{side}_ankle")
        painter.paint("legs", skin, _limb(0.5 * head, hip, knee), _limb(0.36 * head, knee, ankle))
        toe = ankle + head * np.array([0.18 if ankle[0] > at("neck")[0] else -0.18, 0.22])
        painter.paint("legs", shoes, _limb(0.32 * head, ankle + 0.1 * head * down, toe))
        if bottom == "pants":
            painter.paint("pants", lower, _limb(0.58 * head, hip, knee), _limb(0.46 * head, knee, ankle))
        elif bottom == "shorts":
            painter.paint("pants", lower, _limb(0.62 * head, hip, _part_way(hip, knee, 0.55)))
    right_hip, left_hip = at("right_hip"), at("left_hip")
    waist = [_part_way(hip, at(f"{side}_shoulder"), 0.4) for hip, side in ((right_hip, "right"), (left_hip, "left"))]
    if bottom in ("pants", "shorts"):
        painter.paint(
            "pants", lower, _polygon(waist[0], waist[1], left_hip, right_hip), _limb(0.58 * head, right_hip, left_hip)
        )
    else:
        length = random.uniform(0.5, 1.3)  # 1 ends at the knee
        hem = [_part_way(at(f"{side}_hip"), at(f"{side}_knee"), length) for side in sides]
        outward = np.sign(hem[1][0] - hem[0][0]) * random.uniform(0.3, 0.65) * head * np.array([1.0, 0.0])
        shape = _polygon(
            waist[0], waist[1], left_hip + 0.6 * outward, hem[1] + outward, hem[0] - outward, right_hip - 0.6 * outward
        )
        painter.paint("upper" if bottom == "dress" else "skirt", upper if bottom == "dress" else lower, shape)

    shoulders = [at(f"{side}_shoulder") for side in sides]
    outward = np.sign(shoulders[1][0] - shoulders[0][0]) * 0.12 * head * np.array([1.0, 0.0])
    waistline = [_part_way(point, hip, 0.35) for point, hip in zip(waist, (right_hip, left_hip), strict=True)]
    painter.paint("face", skin, _limb(0.34 * head, at("neck"), figure.head_centre + 0.3 * head * down))
    painter.paint(
        "upper", upper,
        _polygon(shoulders[0] - outward, shoulders[1] + outward, waistline[1] + outward, waistline[0] - outward),
        _limb(0.3 * head, shoulders[0], at("neck") + 0.1 * head * down, shoulders[1]),
    )  # fmt: skip
    for side in sides:
        shoulder, elbow, wrist = at(f"{side}_shoulder"), at(f"{side}_elbow"), at(f"{side}_wrist")
        hand = wrist + (wrist - elbow) * 0.18
        painter.paint("arms", skin, _limb(0.32 * head, shoulder, elbow), _limb(0.26 * head, elbow, wrist, hand))
        if sleeves > 0:
            painter.paint("upper", upper, _limb(0.4 * head, shoulder, _part_way(shoulder, elbow, min(sleeves, 1.0))))
        if sleeves > 1:
            painter.paint("upper", upper, _limb(0.34 * head, elbow, _part_way(elbow, wrist, sleeves - 1)))
    _paint_head(painter, figure, skin, hair)
    if long_hair and figure.from_behind:
        painter.paint("hair", hair, back_hair)


def _paint_head(painter: _Painter, figure: _Figure, skin: FloatArray, hair: FloatArray) -> None:
    head, centre, at = figure.head, figure.head_centre, figure.at
    up = np.array([0.0, -1.0])
    painter.paint("hair", hair, _ellipse(centre + 0.1 * head * up, 0.43 * head, 0.5 * head))
    if figure.from_behind:
        return
    painter.paint("face", skin, _ellipse(at("nose") + 0.02 * head * up, 0.32 * head, 0.42 * head))
    for eye in (at("right_eye"), at("left_eye")):
        painter.paint("face", painter.plain((30, 30, 40)), _ellipse(eye, 0.05 * head, 0.05 * head))
    mouth = at("nose") - 0.2 * head * up
    painter.paint("face", painter.plain((170, 60, 60)), _ellipse(mouth, 0.11 * head, 0.03 * head))
