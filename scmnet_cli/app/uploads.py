"""Read uploaded images; file size and pixels are checked before decoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.images import picture_size, read_photo
from scmnet_cli.types import UInt8Array

_MAX_RATIO = 20
"""Maximum aspect ratio of an image."""


@dataclass(frozen=True)
class Limits:
    """Maximum size of an uploaded image.

    Attributes:
        megabytes: file size in MiB.
        megapixels: number of pixels in millions.
    """

    megabytes: float = 20
    megapixels: float = 40

    @property
    def num_bytes(self) -> int:
        """Maximum file size in bytes."""
        return int(self.megabytes * 2**20)


def read_upload(path: Path, limits: Limits) -> UInt8Array:
    """Read an uploaded image as upright RGB. Errors contain the user's file name without the folder.

    Shape:
        result: (H, W, 3) uint8.

    Raises:
        ScmError: if it is too large or not a readable image.
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
            raise ScmError(f"{path}: has {width} x {height} pixels; crop it around the person")
        return read_photo(path)
    except ScmError as error:
        raise ScmError(str(error).replace(str(path), path.name)) from error
