"""Contact sheet of a prepared folder: photos with crops, prepared images, regions, and joints or edges."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.images import contact_sheet, draw_regions, read_photo
from scmnet_cli.sources.source import Source
from scmnet_cli.types import UInt8Array

_PEOPLE_IN_A_ROW = 2


def draw_sheet(source: Source, folder: PreparedFolder, num: int = 24) -> UInt8Array:
    """Draw photo with crop, prepared image, regions and structure of people evenly spaced in a folder.

    Raises:
        ScmError: if a photo or an entry cannot be read.
    """
    chosen = spread(folder.names(), num)
    people = [pictures_of(source, folder, name) for name in chosen]
    starts = range(0, len(people), _PEOPLE_IN_A_ROW)
    rows = [[picture for pictures in people[i : i + _PEOPLE_IN_A_ROW] for picture in pictures] for i in starts]
    captions = [", ".join(chosen[i : i + _PEOPLE_IN_A_ROW]) for i in starts]
    return contact_sheet(rows, ["photo", "prepared", "regions", folder.domain.structure] * _PEOPLE_IN_A_ROW, captions)


def spread(names: list[str], num: int) -> list[str]:
    """Return up to ``num`` names, evenly spaced."""
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(num, len(names))).astype(int))]


def pictures_of(source: Source, folder: PreparedFolder, name: str) -> list[UInt8Array]:
    """Draw photo with crop, prepared image, regions and structure, all of one height.

    Raises:
        ScmError: if the photo or the entry cannot be read.
    """
    person, entry = folder.load(name), folder.entry(name)
    photo = Image.fromarray(read_photo(source.root / entry.photo))
    crop = entry.crop
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    ImageDraw.Draw(photo).rectangle(box, outline=(230, 40, 40), width=max(2, photo.height // 150))
    height = person.canvas.height
    photo = photo.resize((max(1, round(photo.width * height / photo.height)), height))
    return [
        np.asarray(photo),
        person.image,
        draw_regions(person.image, person.regions),
        folder.domain.draw(person.image, person.structure),
    ]
