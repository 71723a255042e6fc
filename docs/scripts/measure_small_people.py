"""Measure what docs/analyser.md says of small and of several people.

``python docs/scripts/measure_small_people.py CCP [N]``

The first N val people (all) of Clothing Co-Parsing are cut out by their annotation, brought to a share of the frame's
height, and put at a random place before pictures of things and widened strips of other val photos, on frames of
1200x800 and 800x1200. Two people: two of them side by side, each 0.8 of a frame of 1200x900. Each line tells how many
were found (regions overlap the annotated person by an IoU of at least 0.5), the share of the annotated joints within
0.05 of the person's height (of all, and of those found), and the median processor time.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.evaluation.people import PASSERS_BY, THINGS
from scmnet_cli.analyser.evaluation.scores import NEAR
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.training.photos import textures
from scmnet_cli.analyser.training.views import empty_rectangles
from scmnet_cli.data.prepared import is_val
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.types import FloatArray, Person, UInt8Array

SHARES = (0.5, 1 / 3, 1 / 4, 1 / 6, 1 / 8)
FRAMES = ((1200, 800), (800, 1200))
WIDEST_STRIP = 100


def val_people(root: Path, limit: int) -> list[Person]:
    """Read the val people of a folder laid out as Clothing Co-Parsing."""
    source = CcpSource(root)
    usable = [name for name in source.names() if name != "0536"]  # its annotation is empty
    return [source.read(name) for rank, name in enumerate(usable) if is_val(rank)][:limit]


def strips_of(people: list[Person]) -> list[tuple[str, Image.Image]]:
    """Return the wide strips beside people that show nobody, side by side with their mirror images."""
    strips = []
    for person in people:
        labels = Image.fromarray(person.regions)
        for left, top, right, bottom in empty_rectangles(labels, labels.size):
            if f"{person.name}{'r' if left else 'l'}" not in PASSERS_BY and right - left >= WIDEST_STRIP:
                strip = person.image[top:bottom, left:right]
                strips.append((person.name, Image.fromarray(np.concatenate([strip, strip[:, ::-1]] * 2, axis=1))))
    return strips


def filled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarge a picture to a frame and cut what is over."""
    scale = max(size[0] / picture.width, size[1] / picture.height)
    larger = picture.resize((round(picture.width * scale + 0.5), round(picture.height * scale + 0.5)))
    return larger.crop((0, 0, *size))


def cut_out(person: Person, height: int) -> tuple[Image.Image, Image.Image, UInt8Array, FloatArray]:
    """Return the person alone, so many pixels high: picture, soft mask, regions and joints."""
    rows, columns = (np.flatnonzero(person.regions.any(axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    scale = float(height / (bottom - top))
    size = (max(1, round((right - left) * scale)), height)
    labels = person.regions[top:bottom, left:right]
    mask = Image.fromarray(((labels > 0) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6 / scale))
    joints = person.joints.copy()
    joints[:, :2] = (joints[:, :2] + 0.5 - (left, top)) * scale - 0.5
    joints[person.joints[:, 2] == 0] = 0
    picture = Image.fromarray(person.image[top:bottom, left:right])
    regions = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    return picture.resize(size, Image.Resampling.LANCZOS), mask.resize(size), regions, joints


def put(ground: Image.Image, person: Person, height: int, where: tuple[float, float]) -> Person:
    """Put a person into a picture, at a place given as shares of the room there is."""
    picture, mask, labels, joints = cut_out(person, height)
    x, y = (int(share * max(0, ground.size[i] - picture.size[i])) for i, share in enumerate(where))
    ground.paste(picture, (x, y), mask)
    regions = np.zeros((ground.height, ground.width), np.uint8)
    fits = labels[: ground.height - y, : ground.width - x]
    regions[y : y + fits.shape[0], x : x + fits.shape[1]] = fits
    joints[joints[:, 2] > 0, :2] += (x, y)
    return Person(person.name, np.asarray(ground), regions, joints)


def overlap(found: Analysis, person: Person) -> float:
    """Return the intersection over union of the found and the true person."""
    one, other = found.regions > 0, person.regions > 0
    return float((one & other).sum() / max(1, (one | other).sum()))


def joints_near(found: Analysis, person: Person) -> float:
    """Return the share of the annotated joints that are within 0.05 of the person's height."""
    known = person.joints[:, 2] > 0
    away = np.linalg.norm(found.joints[:, :2] - person.joints[:, :2], axis=1) / np.ptp(person.joints[known, 1])
    return float(((away < NEAR) & (found.joints[:, 2] > 0))[known].mean())


def small_people(people: list[Person], share: float) -> Iterator[Person]:
    """Put each of the people into a picture, at a share of its height."""
    strips, things = strips_of(people), textures(THINGS)
    for number, person in enumerate(people):
        frame = FRAMES[number // 2 % len(FRAMES)]
        others = [strip for name, strip in strips if name != person.name]
        ground = filled(things[number // 2 % len(things)] if number % 2 else others[7 * number % len(others)], frame)
        where = np.random.default_rng([number, round(share * 1000)]).uniform(size=2)
        yield put(ground, person, round(share * frame[1] * 0.98), (float(where[0]), float(where[1])))


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    people = val_people(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    analyser = Analyser.load()
    for share in SHARES:
        found, near, seconds = [], [], []
        for person in small_people(people, share):
            started = time.process_time()
            analysis = analyser(person.image)
            seconds.append(time.process_time() - started)
            found.append(analysis.has_person and overlap(analysis, person) >= 0.5)
            near.append(joints_near(analysis, person))
        of_found = np.mean(np.array(near)[found]) if any(found) else 0.0
        sys.stdout.write(
            f"| {share:.2f} | {np.mean(found):.0%} | {np.mean(near):.1%} | {of_found:.1%} | "
            f"{np.median(seconds) * 1000:.0f} ms |\n"
        )
        sys.stdout.flush()

    both, one, joints, false, seconds = 0, 0, [], 0, []
    pairs = list(zip(people[::2], people[1::2], strict=False))
    for number, (left, right) in enumerate(pairs):
        ground = filled(textures(THINGS[number % len(THINGS) :][:1])[0], (1200, 900))
        first = put(ground, left, 720, (0.25, 0.5))
        second = put(ground, right, 720, (0.65, 0.5))
        started = time.process_time()
        everybody = analyser.people(second.image)
        seconds.append(time.process_time() - started)
        hits = 0
        for true in (first, second):
            best = max(everybody, key=lambda found, true=true: overlap(found, true), default=None)
            if best is not None and overlap(best, true) >= 0.5:
                hits += 1
                joints.append(joints_near(best, true))
        both += hits == 2
        one += hits == 1
        false += len(everybody) - hits
    sys.stdout.write(
        f"two people: {len(pairs)} pictures, both found {both}, one {one}, others {false}, "
        f"joints of those found {np.mean(joints):.1%}, {np.median(seconds) * 1000:.0f} ms\n"
    )


if __name__ == "__main__":
    main()
