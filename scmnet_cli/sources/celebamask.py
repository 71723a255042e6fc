"""Faces of CelebAMask-HQ: as published, with one mask per part, or with one label map per face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.data.face_edges import with_parts
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo
from scmnet_cli.regions import CELEBAMASK_PARTS
from scmnet_cli.sources.source import Source, file_stamp, find_photos, inside, only_photo
from scmnet_cli.types import NO_JOINTS, Canvas, Person, UInt8Array

PHOTOS, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
"""Folders of the published data set."""

_FACES_A_FOLDER = 2000


def is_celebamask(root: Path) -> bool:
    """Return whether a folder has the layout of CelebAMask-HQ, or a folder with one label map per face."""
    return _is_published(root) or (root / "masks").is_dir()


def _is_published(root: Path) -> bool:
    return (root / PHOTOS).is_dir() and (root / MASKS).is_dir()


class CelebAMaskSource(Source):
    """``CelebA-HQ-img/N.jpg`` and ``CelebAMask-HQ-mask-anno/0..14/NNNNN_PART.png``; or ``images/`` and ``masks/``."""

    layout = "celebamask"
    domain = "face"
    canvas = Canvas(256, 256)
    background = "keep"
    framed = True
    pose_estimator = "none: edges by Canny and by the parts' borders"
    parser = "CelebAMask-HQ's parts, as eight regions"
    rule = "photo and masks can be read, the masks are not empty"

    def __init__(self, root: Path) -> None:
        """List the photos; pictures are read on demand.

        Raises:
            ScmError: if the folder has another layout.
        """
        self.root = Path(root)
        self._published = _is_published(self.root)
        if not is_celebamask(self.root):
            raise ScmError(
                f"{root}: does not have the layout of CelebAMask-HQ ({PHOTOS}/ and {MASKS}/), nor images/ and masks/; "
                "give its top folder, or another --layout"
            )
        self._photos = find_photos(self.root / PHOTOS if self._published else self.root)
        self._files: dict[str, dict[str, Path]] = {}
        if self._published:
            for path in sorted((self.root / MASKS).glob("*/*.png")):
                number, _, part = path.stem.partition("_")
                if number.isdecimal():
                    self._files.setdefault(str(int(number)), {})[part] = path

    def names(self) -> list[str]:
        """Return the names of all photos without suffix, sorted; numbers are padded to five digits."""
        return sorted(self._name(stem) for stem in self._photos)

    def _name(self, stem: str) -> str:
        return stem.zfill(5) if self._published and stem.isdecimal() else stem

    def _stem(self, name: str) -> str:
        return str(int(name)) if self._published and name.isdecimal() else name

    def unmatched(self) -> dict[str, str]:
        """Return an empty dict: there is no table that could name files outside the folder."""
        return {}

    def photo(self, name: str) -> Path:
        """Return the path of a face's photo."""
        return self._photos[self._stem(name)][0]

    def _masks(self, name: str) -> dict[str, Path]:
        """Return the mask of each part, or the one palette map under the empty name."""
        return self._files.get(self._stem(name), {}) if self._published else {"": self.root / "masks" / f"{name}.png"}

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo or masks change."""
        return file_stamp(self.photo(name), *self._masks(name).values())

    def read(self, name: str) -> Person:
        """Read a face; its map still has CelebAMask's ids, which :meth:`finished` needs.

        Raises:
            ScmError: saying why the face is not usable.
        """
        image = read_photo(inside(self.root, only_photo(self.root, self._photos[self._stem(name)])))
        parts = self._parts(name)
        height, width = image.shape[:2]
        if parts.shape != (height, width):
            if parts.shape[0] * width != parts.shape[1] * height:
                raise ScmError(f"the masks are {parts.shape[0]}x{parts.shape[1]}, the photo {height}x{width}")
            parts = np.asarray(Image.fromarray(parts).resize((width, height), Image.Resampling.NEAREST))
        if parts.max() >= len(CELEBAMASK_PARTS):
            raise ScmError(f"the mask holds id {parts.max()}, beyond 0-{len(CELEBAMASK_PARTS) - 1}")
        return Person(name, image, parts, NO_JOINTS)

    def finished(self, person: Person) -> Person:
        """Return a face on the canvas with edges, computed there, and regions."""
        return with_parts(person)

    def _parts(self, name: str) -> UInt8Array:
        files = self._masks(name)
        if not self._published:
            return read_label_map(inside(self.root, files[""]))
        parts: UInt8Array | None = None
        for part in CELEBAMASK_PARTS[1:]:  # later ones cover earlier ones, as in the data set's own script
            if part not in files:
                continue
            mask = read_photo(inside(self.root, files[part]))[..., 0] > 127
            if parts is None:
                parts = np.zeros(mask.shape, np.uint8)
            if mask.shape != parts.shape:
                raise ScmError(f"{files[part].name} is {mask.shape[0]}x{mask.shape[1]}, other masks {parts.shape}")
            parts[mask] = CELEBAMASK_PARTS.index(part)
        if parts is None:
            raise ScmError(f"has no mask in {MASKS}/{int(name) // _FACES_A_FOLDER if name.isdecimal() else '*'}")
        return parts
