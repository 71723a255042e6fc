"""Convert results of the page to the JSON values that its components in the browser display.

Images are sent inside the values as data URLs, so no file of a visitor is needed on disk.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from scmnet_cli.app.posing import Posing
from scmnet_cli.app.studio import Drawn, Found, GarmentCard, Origin
from scmnet_cli.images import LIMB_COLOURS
from scmnet_cli.inference.hidden_places import hidden_places
from scmnet_cli.provenance import encode_generated
from scmnet_cli.regions import BACKGROUND, COLOURS, region_id
from scmnet_cli.skeleton import JOINTS, LIMBS
from scmnet_cli.types import FloatArray, Pose, UInt8Array

View = dict[str, Any]

_OVERLAY_OPACITY = 150
_QUALITY = 88
_LOSSLESS_PIXELS = 400_000
_KIND_TITLES = {
    "upper": "Tops", "pants": "Trousers", "skirt": "Skirts", "dress": "Dresses", "hair": "Hair", "legs": "Legs",
    "face": "Faces", "arms": "Arms", "shoes": "Shoes",
}  # fmt: skip


def skeleton_view() -> View:
    """Return the names of the joints, and the limbs with their colours."""
    colours = [f"rgb{colour}" for colour in LIMB_COLOURS]
    return {
        "joints": [name.replace("_", " ") for name in JOINTS],
        "limbs": [[a, b, colour] for (a, b), colour in zip(LIMBS, colours, strict=True)],
    }


def pose_view(pose: Pose) -> View:
    """Return a pose: its readable name, its joints, and the size of its canvas."""
    return {
        "name": readable(pose.name),
        "joints": _places(pose.joints),
        "width": pose.canvas.width,
        "height": pose.canvas.height,
    }


def posing_view(posing: Posing, photo: Found | None) -> View:
    """Return the chosen pose, its index in the library, and the photo that it comes from."""
    return {
        "pose": pose_view(posing.pose),
        "number": posing.number,
        "photo": None if photo is None else photo_view(photo),
    }


def photo_view(found: Found) -> View:
    """Return a photo with its analysis: joint positions, regions as an overlay image, and their legend."""
    photo = found.photo
    return {
        "image": photo_url(photo.image),
        "width": photo.canvas.width,
        "height": photo.canvas.height,
        "joints": _places(photo.joints),
        "regions": _overlay_url(photo.regions),
        "legend": [{"name": name, "colour": f"rgb{COLOURS[region_id(name)]}"} for name in found.regions],
    }


def garment_views(cards: Sequence[GarmentCard]) -> list[View]:
    """Return the wardrobe grouped by kind, in order of first occurrence."""
    kinds: dict[str, list[View]] = {}
    for card in cards:
        shown = {"name": card.name, "title": readable(card.name), "image": photo_url(card.picture)}
        kinds.setdefault(card.kind, []).append(shown)
    return [
        {"kind": kind, "title": _KIND_TITLES.get(kind, readable(kind)), "garments": garments}
        for kind, garments in kinds.items()
    ]


def result_view(drawn: Drawn, found: Found, *, mark: bool) -> View:
    """Return a result, its source photo, and information about both."""
    picture = np.asarray(drawn.result.image)
    height, width = picture.shape[:2]
    kind = "PNG" if width * height <= _LOSSLESS_PIXELS else "WEBP"
    content = encode_generated(picture, kind, mark=mark)
    return {
        "image": data_url(content, kind),
        "before": photo_url(found.person.image),
        "width": width,
        "height": height,
        "pose": readable(drawn.result.pose),
        "removed": [readable(region) for region in drawn.removed],
        "not_shown": hidden_places(found.person),
        "mark": mark,
    }


def origin_view(origin: Origin) -> View:
    """Return the origin of a point of the result, as an image and a sentence."""
    return {"image": data_url(encode_generated(origin.picture, "JPEG"), "JPEG"), "text": origin.sentence}


def file_view(name: str, picture: UInt8Array, kind: str, *, mark: bool) -> View:
    """Return a download of a picture at full resolution."""
    ending = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[kind]
    return {"name": f"{name}.{ending}", "data": data_url(encode_generated(picture, kind, mark=mark), kind)}


def photo_url(picture: UInt8Array) -> str:
    """Return a photo, which is not generated, as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
    return data_url(buffer.getvalue(), "JPEG")


def data_url(content: bytes, kind: str) -> str:
    """Return a file as a data URL."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"


def readable(name: str) -> str:
    """Return a name without hyphens and underscores."""
    return name.replace("-", " ").replace("_", " ")


def _places(joints: FloatArray) -> list[list[float] | None]:
    return [[round(float(x), 1), round(float(y), 1)] if score > 0 else None for x, y, score in joints]


def _overlay_url(regions: UInt8Array) -> str:
    image = Image.fromarray(regions).convert("P")  # keeps the ids as indices
    image.putpalette([level for colour in COLOURS for level in colour])
    opacity = bytes(0 if region == BACKGROUND else _OVERLAY_OPACITY for region in range(len(COLOURS)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=opacity)
    return data_url(buffer.getvalue(), "PNG")
