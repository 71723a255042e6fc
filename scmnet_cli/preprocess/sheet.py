"""Contact sheet of a prepared folder: photos with crops, prepared images, regions, and joints or edges."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.images import CropBox, contact_sheet, draw_regions, read_photo
from scmnet_cli.sources.source import Source
from scmnet_cli.types import Canvas, UInt8Array

_PEOPLE_IN_A_ROW = 2


class Thumbnails:
    """Photos of a source at the height of its prepared images; a photo of several people is read once."""

    def __init__(self, source: Source) -> None:
        """Store the source; photos are read on demand.

        Args:
            source: source of the prepared folder.
        """
        self._root = source.root
        self._read: dict[tuple[str, int], tuple[UInt8Array, float]] = {}

    def with_crop(self, photo: str, crop: CropBox, height: int) -> UInt8Array:
        """Return a photo at a height, with the outline of a crop.

        Shape:
            result: (height, W, 3) uint8.

        Raises:
            ScmError: if the photo cannot be read.
        """
        if (photo, height) not in self._read:
            self._read[photo, height] = _small(read_photo(self._root / photo), height)
        small, scale = self._read[photo, height]
        image = Image.fromarray(small)
        box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
        ImageDraw.Draw(image).rectangle([round(edge * scale) for edge in box], outline=(230, 40, 40), width=2)
        return np.asarray(image)


def _small(photo: UInt8Array, height: int) -> tuple[UInt8Array, float]:
    """Return a photo at a height, and the factor by which its sides were multiplied."""
    scale = height / photo.shape[0]
    size = Canvas(height, max(1, round(photo.shape[1] * scale)))
    return CropBox(0, 0, photo.shape[1], photo.shape[0], size).crop_image(photo, None), scale


def draw_sheet(source: Source, folder: PreparedFolder, num: int = 24) -> UInt8Array:
    """Draw photo with crop, prepared image, regions and structure of people evenly spaced in a folder.

    Raises:
        ScmError: if a photo or an entry cannot be read.
    """
    chosen = spread(folder.names(), num)
    thumbnails = Thumbnails(source)
    people = [pictures_of(thumbnails, folder, name) for name in chosen]
    starts = range(0, len(people), _PEOPLE_IN_A_ROW)
    rows = [[picture for pictures in people[i : i + _PEOPLE_IN_A_ROW] for picture in pictures] for i in starts]
    captions = [", ".join(chosen[i : i + _PEOPLE_IN_A_ROW]) for i in starts]
    return contact_sheet(rows, ["photo", "prepared", "regions", folder.domain.structure] * _PEOPLE_IN_A_ROW, captions)


def spread(names: list[str], num: int) -> list[str]:
    """Return up to ``num`` names, evenly spaced."""
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(num, len(names))).astype(int))]


def pictures_of(thumbnails: Thumbnails, folder: PreparedFolder, name: str) -> list[UInt8Array]:
    """Draw photo with crop, prepared image, regions and structure, all of one height.

    Raises:
        ScmError: if the photo or the entry cannot be read.
    """
    person, entry = folder.load(name), folder.entry(name)
    return [
        thumbnails.with_crop(entry.photo, entry.crop, person.canvas.height),
        person.image,
        draw_regions(person.image, person.regions),
        folder.domain.draw(person.image, person.structure),
    ]
