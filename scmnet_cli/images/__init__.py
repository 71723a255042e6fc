"""Images: read files, crop to a canvas, convert, draw, and lay out."""

from __future__ import annotations

from scmnet_cli.images.cropping import (
    CropBox,
    crop_around,
    nearest_places,
    whole_box,
)
from scmnet_cli.images.drawing import (
    LIMB_COLOURS,
    PLAIN_GREY,
    contact_sheet,
    draw_regions,
    draw_skeleton,
    save_png,
    to_tensor,
    to_uint8,
)
from scmnet_cli.images.reading import (
    ANIMATED,
    MAX_PIXELS,
    MAX_SIDE,
    PICTURE_FORMATS,
    TimedFile,
    example_photo,
    open_picture,
    picture_formats,
    picture_size,
    read_label_map,
    read_photo,
)

__all__ = [
    "ANIMATED",
    "LIMB_COLOURS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "PICTURE_FORMATS",
    "PLAIN_GREY",
    "CropBox",
    "TimedFile",
    "contact_sheet",
    "crop_around",
    "draw_regions",
    "draw_skeleton",
    "example_photo",
    "nearest_places",
    "open_picture",
    "picture_formats",
    "picture_size",
    "read_label_map",
    "read_photo",
    "save_png",
    "to_tensor",
    "to_uint8",
    "whole_box",
]
