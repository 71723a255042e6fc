"""Interface of photos for ``--keep-size``: it gives the crop that the model sees, and puts a result back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from scmnet_cli.types import Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.edits.editing import Edit

MAX_KEPT_PIXELS = 52_000_000
"""Larger photos are refused: compressing the result alone takes half a minute."""


class FramedPhoto(Protocol):
    """A photo and a person or face cropped from it."""

    @property
    def image(self) -> UInt8Array:
        """The whole photo, (H, W, 3) uint8."""

    @property
    def cropped(self) -> Person:
        """The person or face on the model's canvas, or larger, of its shape."""

    @property
    def place(self) -> dict[str, Any]:
        """Place of the crop in the photo, for a report."""

    def put_back(self, drawn: UInt8Array) -> UInt8Array:
        """Return the photo with a newly generated picture of the crop.

        Raises:
            ScmError: if only edits can be put back.
        """

    def put_back_edit(self, edit: Edit) -> UInt8Array:
        """Return the photo with an edit of the crop; no byte changes outside the edited area."""

    def unchanged_part(self, edit: Edit) -> str:
        """Return a sentence about the part that an edit cannot change because the crop ends; empty if all changes."""
