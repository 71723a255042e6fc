"""Read label maps of other programs, and convert them to the eight body regions."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import MAX_PIXELS, open_picture, read_label_map
from scmnet_cli.regions import BACKGROUND, LABEL_SETS, SKIN, region_id, to_regions
from scmnet_cli.skeleton import squared_distances
from scmnet_cli.sources.label_colours import ids_of_colours, ids_of_picture
from scmnet_cli.types import FloatArray, UInt8Array

_log = logging.getLogger(__name__)

MAP_ENDINGS = (".png", ".npy")

UNKNOWN = 255
"""Id of unlabelled pixels, such as the borders of objects in Pascal VOC."""

_BORDER, _LEAST_BORDER = 0.03, 8
"""Distance up to which unlabelled pixels get the nearest label: share of the map's longer side, and least pixels."""

_SKIN_LIMBS = (
    ("face", 0, 1), ("face", 0, 14), ("face", 0, 15), ("face", 14, 16), ("face", 15, 17),
    ("arms", 2, 3), ("arms", 3, 4), ("arms", 5, 6), ("arms", 6, 7),
    ("legs", 8, 9), ("legs", 9, 10), ("legs", 11, 12), ("legs", 12, 13),
)  # fmt: skip
"""Region of the skin along each limb, a pair of joints."""

_REACH = {(3, 4): (0.0, 1.4), (6, 7): (0.0, 1.4), (8, 9): (0.25, 1.0), (11, 12): (0.25, 1.0)}
"""Extent of skin along a limb, as fractions of it, if it is not from joint to joint: a hand reaches beyond the wrist,
and skin at the hip belongs to a hand."""


def label_set(name: str) -> tuple[str, ...]:
    """Return the regions of a label set by its name for ``--labels``.

    Raises:
        ScmError: if there is no such label set.
    """
    if name not in LABEL_SETS:
        raise ScmError(f"--labels {name}: is not one of {', '.join(LABEL_SETS)}{nearest(name, LABEL_SETS)}")
    return LABEL_SETS[name]


def find_map(folder: Path, name: str) -> Path:
    """Return the path of a label map in a folder, whatever the case of its suffix; the file may be absent."""
    endings = [spelt for ending in MAP_ENDINGS for spelt in (ending, ending.upper(), ending.title())]
    paths = [folder / f"{name}{ending}" for ending in endings]
    return next((path for path in paths if path.is_file()), paths[0])


def read_ids(path: Path, labels: str = "regions") -> UInt8Array:
    """Read the ids of a label map: a grey or palette PNG, or a NumPy file of integers.

    A map with colours of Pascal VOC or LIP under other ids, such as a coloured image converted to a palette, is read by
    its colours. 255 marks unlabelled pixels: they get the nearest label, or background if that is far away. Both are
    logged once per folder.

    Args:
        path: the file.
        labels: label set of the map, one of :data:`scmnet_cli.regions.LABEL_SETS`.

    Shape:
        result: (H, W) uint8.

    Raises:
        ScmError: if the file is absent, broken or something else, or there is no such label set.
    """
    is_numpy = path.suffix.lower() == ".npy"
    ids = _read_numpy(path) if is_numpy else _read_picture(path, labels)
    if len(label_set(labels)) > UNKNOWN or not (ids == UNKNOWN).any():
        return ids
    _warn_once(path.parent, f"id {UNKNOWN} of the label maps is unknown; it becomes the nearest label or background")
    return _with_nearest_labels(ids)


def _read_picture(path: Path, labels: str) -> UInt8Array:
    image = open_picture(path)
    if image.mode not in ("P", "PA", "RGB", "RGBA", "LA"):
        return read_label_map(path)
    try:
        if image.mode == "P":
            name, ids = _by_palette(image, labels)
        else:
            name, ids = ids_of_picture(np.asarray(image.convert("RGB")), labels)
    except ScmError as error:
        raise ScmError(f"{path}: {error}") from error
    if name:
        _warn_once(path.parent, f"label maps are read by their colours, which are {name}, not by their ids")
    return ids


def _by_palette(image: Image.Image, labels: str) -> tuple[str, UInt8Array]:
    ids = np.asarray(image)
    used = np.unique(ids)
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if int(used[-1]) >= len(palette):
        return "", ids
    name, right = ids_of_colours(palette[used], used, labels)
    if not name:
        return "", ids
    table = np.arange(UNKNOWN + 1, dtype=np.uint8)
    table[used] = right
    return name, table[ids]


def _with_nearest_labels(ids: UInt8Array) -> UInt8Array:
    """Fill pixels of id 255 with the nearest label within a border's width, else with background."""
    from scipy.ndimage import distance_transform_edt

    unknown = ids == UNKNOWN
    if unknown.all():
        return np.zeros_like(ids)
    distances, (rows, columns) = distance_transform_edt(unknown, return_indices=True)
    filled: UInt8Array = ids[rows, columns]
    filled[distances > max(_LEAST_BORDER, _BORDER * max(ids.shape))] = BACKGROUND
    return filled


@cache
def _warn_once(folder: Path, what: str) -> None:
    _log.warning("%s: %s", folder, what)


def _read_numpy(path: Path) -> UInt8Array:
    if not path.is_file():
        raise ScmError(f"{path}: no such file")
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: the header may claim more than memory holds
    except Exception as error:  # NumPy raises many types: ValueError, EOFError, SyntaxError, TokenError ...
        raise ScmError(f"{path}: cannot be read as a label map ({error}); replace or remove it") from error
    if not isinstance(ids, np.ndarray) or ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size:
        raise ScmError(f"{path}: is not a map of whole numbers, height x width")
    if ids.size > MAX_PIXELS:
        raise ScmError(f"{path}: {ids.shape[1]}x{ids.shape[0]} is over {MAX_PIXELS:,} pixels; make it smaller")
    if not 0 <= int(ids.min()) <= int(ids.max()) <= 255:
        raise ScmError(f"{path}: holds ids beyond 0-255")
    return np.array(ids, np.uint8)


def body_regions(labels: npt.NDArray[np.integer], regions: tuple[str, ...], joints: FloatArray) -> UInt8Array:
    """Convert a label map to the eight body regions; skin becomes face, arms or legs by the nearest limb.

    Shape:
        labels: (H, W) ids; regions: the region of each id, or :data:`SKIN`; joints: (18, 3) in pixels of the map;
        result: (H, W) uint8 0-7.

    Raises:
        ScmError: if an id is not in the set.
    """
    found = to_regions(labels, ["face" if region == SKIN else region for region in regions])
    skin = np.array([region == SKIN for region in regions])[labels]
    found[skin] = nearest_limb_regions(np.argwhere(skin)[:, ::-1], joints)
    return found


def nearest_limb_regions(points: npt.NDArray[np.integer], joints: FloatArray) -> UInt8Array:
    """Assign points on skin to face, arms or legs by the nearest limb of the pose; face if no limb is known.

    Shape:
        points: (n, 2) x, y; joints: (18, 3); result: (n,) uint8 region ids.
    """
    best = np.full(len(points), np.inf, np.float32)
    regions = np.full(len(points), region_id("face"), np.uint8)
    places = points.astype(np.float32)
    for region, a, b in _SKIN_LIMBS:
        if joints[a, 2] == 0 or joints[b, 2] == 0:
            continue
        distance = squared_distances(places, joints[a, :2], joints[b, :2], _REACH.get((a, b), (0.0, 1.0)))
        closer = distance < best
        best[closer] = distance[closer]
        regions[closer] = region_id(region)
    return regions
