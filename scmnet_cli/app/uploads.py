"""Read pictures that a browser uploaded: their bytes and pixels are limited before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.images import picture_size, read_photo
from scmnet_cli.types import UInt8Array

_MAX_RATIO = 20
"""A picture this many times as wide as high, or as high as wide, is refused."""


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
        width, height = picture_size(path)
        if width * height > limits.megapixels * 1e6:
            raise ScmError(
                f"{path}: has {width} x {height} pixels, over {limits.megapixels:g} million; make the picture smaller"
            )
        if max(width, height) > _MAX_RATIO * min(width, height):
            raise ScmError(f"{path}: has {width} x {height} pixels; cut it around the person")
        return read_photo(path)
    except ScmError as error:
        raise ScmError(str(error).replace(str(path), path.name)) from error
