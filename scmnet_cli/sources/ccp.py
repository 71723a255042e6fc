"""Clothing Co-Parsing in the layout of its public repository, with a table of joints."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.images import MAX_PIXELS, read_photo
from scmnet_cli.regions import BACKGROUND, SKIN, ccp_regions
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.sources.label_maps import body_regions
from scmnet_cli.sources.source import Source, file_stamp, inside
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_MAT_HEADER, _MAT_COMPRESSED, _CHUNK = 128, 15, 1 << 20

_CARRIED = ("bag", "purse", "wallet")

MIN_JOINTS = 6
MIN_AREA = 0.01
MIN_ON_PERSON = 0.8
"""Smallest share of an unlabelled photo's known joints that must lie on the person that the analyser finds."""


class RegionsFound(Protocol):
    """A region map of a photo."""

    @property
    def regions(self) -> UInt8Array:
        """Region ids, (H, W) uint8."""


class RegionFinder(Protocol):
    """Finds the region map of the most prominent person of a photo, as the analyser does."""

    @property
    def parser(self) -> str:
        """Return its name, for the manifest."""

    @property
    def stamp(self) -> str:
        """Return a short text that changes when its results change."""

    def __call__(self, image: UInt8Array, /) -> RegionsFound:
        """Find the regions of an upright RGB photo, (H, W, 3) uint8."""


class CcpSource(Source):
    """``photos/NNNN.jpg``, ``annotations/pixel-level/NNNN.mat``, ``label_list.mat`` and ``keypoints.csv``."""

    layout = "ccp"
    pose_estimator = "joints table of the source"
    parser = "Clothing Co-Parsing, pixel-level; skin split by the nearest limb"
    rule = (
        "photo and annotation can be read and are of one size, ids are within the label list, "
        f"the person covers at least {MIN_AREA:.0%} of the photo, and at least {MIN_JOINTS} joints are known"
    )

    def __init__(self, root: Path, joints: Path | None = None, *, unlabelled: RegionFinder | None = None) -> None:
        """Read label list and joints; photos are read on demand.

        Args:
            root: the folder.
            joints: the table of joints; None for ``keypoints.csv`` in the folder.
            unlabelled: finds the regions of photos without annotation, which are then used for training; None to skip
                such photos.

        Raises:
            ScmError: if the folder has another layout.
        """
        self.root = Path(root)
        self._annotations = self.root / "annotations" / "pixel-level"
        if not self._annotations.is_dir() or not (self.root / "photos").is_dir():
            raise ScmError(
                f"{root}: does not have the layout of Clothing Co-Parsing (photos/ and annotations/pixel-level/); "
                "give its top folder, or another --layout"
            )
        table = joints or self.root / "keypoints.csv"
        if not table.is_file():
            raise ScmError(f"{table}: no such file; the photos' joints are needed, give their table with --joints FILE")
        self._joints = read_keypoint_table(table)
        labels = _label_list(self.root / "label_list.mat")
        self._regions = ccp_regions(labels)
        self._carried = [number for number, label in enumerate(labels) if label in _CARRIED]
        self._annotated = frozenset(path.stem for path in self._annotations.iterdir() if path.suffix == ".mat")
        self._unlabelled: frozenset[str] = frozenset()
        if unlabelled is not None:
            photos = frozenset(path.stem for path in (self.root / "photos").iterdir() if path.suffix == ".jpg")
            self._unlabelled = photos - self._annotated
            self._find_regions = unlabelled
            self.parser = f"{self.parser}; of unlabelled photos {unlabelled.parser}"
            self.rule = (
                f"{self.rule}; for unlabelled photos, used in training only, at least {MIN_ON_PERSON:.0%} of the "
                "known joints lie on the person found"
            )

    def names(self) -> list[str]:
        """Return the names of all annotations, sorted, and those of unlabelled photos if they are used."""
        return sorted(self._annotated | self._unlabelled)

    def train_only(self) -> frozenset[str]:
        """Return the names of the unlabelled photos, if they are used."""
        return self._unlabelled

    def unmatched(self) -> dict[str, str]:
        """Return the rows of the table of joints that lead out of the folder."""
        return self._joints.unmatched()

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self.root / "photos" / f"{name}.jpg"

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, annotation or joints change."""
        joints = self._joints.stamp(f"{name}.jpg", name)
        maps = self._find_regions.stamp if name in self._unlabelled else file_stamp(self._annotations / f"{name}.mat")
        return f"{file_stamp(self.photo(name))} {maps} {joints}"

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        image = read_photo(inside(self.root, self.photo(name)))
        joints = self.joints_of(name, Canvas(*image.shape[:2]))
        if name in self._unlabelled:
            return Person(name, image, self._analysed(image, joints), joints)
        labels = self._labels(name)
        if labels.shape != image.shape[:2]:
            have, want = ("x".join(map(str, array.shape[:2])) for array in (labels, image))
            raise ScmError(f"the annotation is {have}, the photo {want}")
        regions = body_regions(labels, self._regions, joints)
        share = float((regions > 0).mean())
        if share < MIN_AREA:
            raise ScmError(f"the annotated person covers {share:.1%} of the photo, less than {MIN_AREA:.0%}")
        return Person(name, image, regions, joints)

    def carried(self, name: str) -> npt.NDArray[np.bool_]:
        """Return the mask of an annotated person's bags, (H, W).

        Raises:
            ScmError: if the annotation cannot be read.
        """
        return np.isin(self._labels(name), self._carried)

    def _labels(self, name: str) -> npt.NDArray[Any]:
        return _mat_array(inside(self.root, self._annotations / f"{name}.mat"), "groundtruth")

    def _analysed(self, image: UInt8Array, joints: FloatArray) -> UInt8Array:
        """Return the region map of the person whose joints are known."""
        regions = self._find_regions(image).regions
        height, width = regions.shape
        x, y = joints[joints[:, 2] > 0, :2].round().astype(int).T
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        on_person = np.mean(regions[y[within], x[within]] != BACKGROUND) if within.any() else 0.0
        if on_person < MIN_ON_PERSON:
            raise ScmError(
                f"only {on_person:.0%} of the known joints lie on the person that the analyser finds, less than "
                f"{MIN_ON_PERSON:.0%}"
            )
        return regions

    def joints_of(self, name: str, size: Canvas | None = None) -> FloatArray:
        """Return the joints of any photo, annotated or not.

        Args:
            name: name of the photo.
            size: size of the photo, needed for joints in fractions.

        Raises:
            ScmError: if the table has no or too few joints for it.
        """
        joints = self._joints.find(f"{name}.jpg", name, size=size)
        if (joints[:, 2] > 0).sum() < MIN_JOINTS:
            raise ScmError(f"only {int((joints[:, 2] > 0).sum())} joints are known, fewer than {MIN_JOINTS}")
        return joints


def _label_list(path: Path) -> list[str]:
    cells = _mat_array(path, "label_list").reshape(-1)
    labels = [str(np.asarray(cell).reshape(-1)[0]) if np.size(cell) else "" for cell in cells]
    if SKIN not in labels:
        raise ScmError(f"{path}: has no label '{SKIN}'; it is not the label list of Clothing Co-Parsing")
    return labels


def _check_unpacked(path: Path) -> None:
    """Check that the compressed variables of a MATLAB file do not unpack to more than a map of the largest photo.

    Raises:
        ValueError: if one does, or its length is wrong.
        zlib.error, OSError, struct.error: if it cannot be read.
    """
    if path.stat().st_size > MAX_PIXELS:
        raise ValueError(f"it is over {MAX_PIXELS // 1_000_000} MB")
    content = path.read_bytes()
    order = "<" if content[_MAT_HEADER - 2 : _MAT_HEADER] == b"IM" else ">"
    place, unpacked = _MAT_HEADER, 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        place += 8
        if kind == _MAT_COMPRESSED:
            stream = zlib.decompressobj()
            packed = content[place : place + size]
            while packed:
                unpacked += len(stream.decompress(packed, _CHUNK))
                packed = stream.unconsumed_tail
                if unpacked > MAX_PIXELS:
                    raise ValueError(f"it unpacks to over {MAX_PIXELS // 1_000_000} MB")
        place += size


def _mat_array(path: Path, variable: str) -> npt.NDArray[Any]:
    import scipy.io

    if not path.is_file():
        raise ScmError(f"{path}: no such file")
    try:
        _check_unpacked(path)
        array = scipy.io.loadmat(path, variable_names=[variable])[variable]
    except KeyError as error:
        raise ScmError(f"{path}: holds no variable '{variable}'") from error
    except Exception as error:  # the MATLAB reader raises many types: zlib.error, struct.error, IndexError ...
        raise ScmError(f"{path}: cannot be read as a MATLAB file ({error})") from error
    if variable == "groundtruth" and (array.ndim != 2 or array.dtype.kind not in "iu"):
        raise ScmError(f"{path}: '{variable}' is not a map of whole numbers")
    return np.asarray(array)
