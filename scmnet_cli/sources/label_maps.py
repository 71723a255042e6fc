"""Label maps of other makers: read their ids, and lead them into the eight body regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import MAX_PIXELS, read_label_map
from scmnet_cli.regions import LABEL_SETS, SKIN, region_id, to_regions
from scmnet_cli.types import FloatArray, UInt8Array

MAP_ENDINGS = (".png", ".npy")

_SKIN_LIMBS = (
    ("face", 0, 1), ("face", 0, 14), ("face", 0, 15), ("face", 14, 16), ("face", 15, 17),
    ("arms", 2, 3), ("arms", 3, 4), ("arms", 5, 6), ("arms", 6, 7),
    ("legs", 8, 9), ("legs", 9, 10), ("legs", 11, 12), ("legs", 12, 13),
)  # fmt: skip
"""Region of the skin along each limb, a pair of joints."""

_REACH = {(3, 4): (0.0, 1.4), (6, 7): (0.0, 1.4), (8, 9): (0.25, 1.0), (11, 12): (0.25, 1.0)}
"""From where to where skin lies along a limb, where that is not from joint to joint: a hand goes on beyond the wrist,
and skin at the hip is a hand's."""


def label_set(name: str) -> tuple[str, ...]:
    """Return the regions of a label set that ``--labels`` names.

    Raises:
        ScmError: if there is none of that name.
    """
    if name not in LABEL_SETS:
        raise ScmError(f"--labels {name}: is not one of {', '.join(LABEL_SETS)}{nearest(name, LABEL_SETS)}")
    return LABEL_SETS[name]


def read_ids(path: Path) -> UInt8Array:
    """Read the ids of a label map, a PNG of one channel or a NumPy file of whole numbers.

    Shape:
        result: (H, W) uint8.

    Raises:
        ScmError: if the file is absent, broken or something else.
    """
    if path.suffix.lower() != ".npy":
        return read_label_map(path)
    if not path.is_file():
        raise ScmError(f"{path}: no such file")
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may claim more than memory holds
    except Exception as error:  # NumPy raises whatever it meets: ValueError, EOFError, SyntaxError, TokenError ...
        raise ScmError(f"{path}: cannot be read as a label map ({error}); replace or remove it") from error
    if not isinstance(ids, np.ndarray) or ids.ndim != 2 or ids.dtype.kind not in "iu" or not ids.size:
        raise ScmError(f"{path}: is no map of whole numbers, height x width")
    if ids.size > MAX_PIXELS:
        raise ScmError(f"{path}: {ids.shape[1]}x{ids.shape[0]} is over {MAX_PIXELS:,} pixels; make it smaller")
    if not 0 <= int(ids.min()) <= int(ids.max()) <= 255:
        raise ScmError(f"{path}: holds ids beyond 0-255")
    return np.array(ids, np.uint8)


def body_regions(labels: npt.NDArray[np.integer], regions: tuple[str, ...], joints: FloatArray) -> UInt8Array:
    """Turn a label map into one of the eight body regions; skin goes to face, arms or legs by the nearest limb.

    Shape:
        labels: (H, W) ids; regions: the region of each id, or :data:`SKIN`; joints: (18, 3) in pixels of the map;
        result: (H, W) uint8 0-7.

    Raises:
        ScmError: if an id is beyond the set.
    """
    found = to_regions(labels, ["face" if region == SKIN else region for region in regions])
    skin = np.array([region == SKIN for region in regions])[labels]
    found[skin] = nearest_limb_regions(np.argwhere(skin)[:, ::-1], joints)
    return found


def nearest_limb_regions(points: npt.NDArray[np.integer], joints: FloatArray) -> UInt8Array:
    """Say for points on skin whether they belong to face, arms or legs: as the nearest limb of the pose does.

    Face where no limb is known.

    Shape:
        points: (n, 2) x, y; joints: (18, 3); result: (n,) uint8 region ids.
    """
    best = np.full(len(points), np.inf, np.float32)
    regions = np.full(len(points), region_id("face"), np.uint8)
    places = points.astype(np.float32)
    for region, a, b in _SKIN_LIMBS:
        if joints[a, 2] == 0 or joints[b, 2] == 0:
            continue
        start, along = joints[a, :2], joints[b, :2] - joints[a, :2]
        position = (places - start) @ along / max(float(along @ along), 1e-6)
        closest = start + np.clip(position, *_REACH.get((a, b), (0.0, 1.0)))[:, None] * along
        distance = np.square(places - closest).sum(axis=1)
        closer = distance < best
        best[closer] = distance[closer]
        regions[closer] = region_id(region)
    return regions
