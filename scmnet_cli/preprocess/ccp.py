"""Clothing Co-Parsing in the layout of its public repository, with a table of joints."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.preprocess.keypoints import read_keypoint_table
from scmnet_cli.preprocess.source import file_stamp, inside
from scmnet_cli.regions import CCP_SKIN, ccp_regions, region_id, to_regions
from scmnet_cli.types import FloatArray, Person, UInt8Array

MIN_JOINTS = 6
MIN_AREA = 0.01

_SKIN_LIMBS = (
    ("face", 0, 1), ("face", 0, 14), ("face", 0, 15), ("face", 14, 16), ("face", 15, 17),
    ("arms", 2, 3), ("arms", 3, 4), ("arms", 5, 6), ("arms", 6, 7),
    ("legs", 8, 9), ("legs", 9, 10), ("legs", 11, 12), ("legs", 12, 13),
)  # fmt: skip
"""Region of the skin along each limb, a pair of joints."""

_REACH = {(3, 4): (0.0, 1.4), (6, 7): (0.0, 1.4), (8, 9): (0.25, 1.0), (11, 12): (0.25, 1.0)}
"""From where to where skin lies along a limb, where that is not from joint to joint: a hand goes on beyond the wrist,
and skin at the hip is a hand's."""


class CcpSource:
    """``photos/NNNN.jpg``, ``annotations/pixel-level/NNNN.mat``, ``label_list.mat`` and ``keypoints.csv``."""

    layout = "ccp"
    pose_estimator = "joints table of the source"
    parser = "Clothing Co-Parsing, pixel-level; skin split by the nearest limb"
    rule = (
        "photo and annotation can be read and are of one size, ids are within the label list, "
        f"the person covers at least {MIN_AREA:.0%} of the photo, and at least {MIN_JOINTS} joints are known"
    )

    def __init__(self, root: Path, joints: Path | None = None) -> None:
        """Read label list and joints; photos are read when asked for.

        Args:
            root: the folder.
            joints: the joints table, if it is not ``keypoints.csv`` in the folder.

        Raises:
            ScmError: if the folder is not laid out so.
        """
        self.root = Path(root)
        self._annotations = self.root / "annotations" / "pixel-level"
        if not self._annotations.is_dir() or not (self.root / "photos").is_dir():
            raise ScmError(
                f"{root}: is not laid out as Clothing Co-Parsing (photos/ and annotations/pixel-level/); "
                "give its top folder, or another --layout"
            )
        table = joints or self.root / "keypoints.csv"
        if not table.is_file():
            raise ScmError(f"{table}: no such file; the photos' joints are needed, give their table with --joints FILE")
        self._joints = read_keypoint_table(table)
        self._regions = ccp_regions(_label_list(self.root / "label_list.mat"))

    def names(self) -> list[str]:
        """Return the names of all annotations, sorted."""
        return sorted(path.stem for path in self._annotations.iterdir() if path.suffix == ".mat")

    def astray(self) -> dict[str, str]:
        """Return the rows of the table of joints that lead out of the folder."""
        return self._joints.astray()

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self.root / "photos" / f"{name}.jpg"

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, annotation or joints change."""
        joints = self._joints.joints.get(f"{name}.jpg", np.zeros(0))
        return f"{file_stamp(self.photo(name), self._annotations / f'{name}.mat')} {zlib.crc32(joints.tobytes()):08x}"

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        joints = self._joints.find(f"{name}.jpg", name)
        if (joints[:, 2] > 0).sum() < MIN_JOINTS:
            raise ScmError(f"only {int((joints[:, 2] > 0).sum())} joints are known, fewer than {MIN_JOINTS}")
        image = read_photo(inside(self.root, self.photo(name)))
        labels = _mat_array(inside(self.root, self._annotations / f"{name}.mat"), "groundtruth")
        if labels.shape != image.shape[:2]:
            have, want = ("x".join(map(str, array.shape[:2])) for array in (labels, image))
            raise ScmError(f"the annotation is {have}, the photo {want}")
        regions = self._to_regions(labels, joints)
        share = float((regions > 0).mean())
        if share < MIN_AREA:
            raise ScmError(f"the annotated person covers {share:.1%} of the photo, less than {MIN_AREA:.0%}")
        return Person(name, image, regions, joints)

    def _to_regions(self, labels: npt.NDArray[np.integer], joints: FloatArray) -> UInt8Array:
        without_skin = ["face" if region == CCP_SKIN else region for region in self._regions]
        regions = to_regions(labels, without_skin)
        skin = labels == self._regions.index(CCP_SKIN)
        regions[skin] = nearest_limb_regions(np.argwhere(skin)[:, ::-1], joints)
        return regions


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
        nearest = start + np.clip(position, *_REACH.get((a, b), (0.0, 1.0)))[:, None] * along
        distance = np.square(places - nearest).sum(axis=1)
        closer = distance < best
        best[closer] = distance[closer]
        regions[closer] = region_id(region)
    return regions


def _label_list(path: Path) -> list[str]:
    cells = _mat_array(path, "label_list").reshape(-1)
    labels = [str(np.asarray(cell).reshape(-1)[0]) if np.size(cell) else "" for cell in cells]
    if CCP_SKIN not in labels:
        raise ScmError(f"{path}: has no label '{CCP_SKIN}'; it is not the label list of Clothing Co-Parsing")
    return labels


def _mat_array(path: Path, variable: str) -> npt.NDArray[Any]:
    import scipy.io

    if not path.is_file():
        raise ScmError(f"{path}: no such file")
    try:
        array = scipy.io.loadmat(path, variable_names=[variable])[variable]
    except KeyError as error:
        raise ScmError(f"{path}: holds no variable '{variable}'") from error
    except Exception as error:  # the MATLAB reader raises whatever it meets: zlib.error, struct.error, IndexError ...
        raise ScmError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if variable == "groundtruth" and (array.ndim != 2 or array.dtype.kind not in "iu"):
        raise ScmError(f"{path}: '{variable}' is no map of whole numbers")
    return np.asarray(array)
