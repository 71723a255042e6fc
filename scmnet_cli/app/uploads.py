"""What comes in from a browser: limited in bytes and pixels before anything is unpacked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.types import UInt8Array


@dataclass(frozen=True)
class Limits:
    """How large an uploaded picture may be.

    Attributes:
        megabytes: of the file, 2^20 bytes each.
        megapixels: of the picture unpacked.
    """

    megabytes: float = 20
    megapixels: float = 40

    @property
    def num_bytes(self) -> int:
        """Bytes that a file may have."""
        return int(self.megabytes * 2**20)


def read_upload(path: Path, limits: Limits) -> UInt8Array:
    """Read an uploaded picture as upright RGB; a message names the file as the user does, without its folder.

    Shape:
        result: (H, W, 3) uint8.

    Raises:
        ScmError: if it is too large, or no picture that can be read.
    """
    try:
        if path.is_file() and path.stat().st_size > limits.num_bytes:
            raise ScmError(f"{path}: has over {limits.megabytes:g} MB; make the picture smaller")
        width, height = _size(path)
        if width * height > limits.megapixels * 1e6:
            raise ScmError(
                f"{path}: has {width} x {height} pixels, over {limits.megapixels:g} million; make the picture smaller"
            )
        return read_photo(path)
    except ScmError as error:
        raise ScmError(str(error).replace(str(path), path.name)) from error


def _size(path: Path) -> tuple[int, int]:
    """Return width and height by the file's header; 0 if there is none, which reading then tells."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.size
    except Exception:  # noqa: BLE001 - Pillow raises whatever it meets, and read_photo says it in one line
        return 0, 0
