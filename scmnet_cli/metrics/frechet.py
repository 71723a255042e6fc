"""Fréchet distance between two sets of features modelled as Gaussians, from streaming statistics."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.files import replaced

_MAX_COUNT = 10**12


class FeatureStatistics:
    """Streaming mean and covariance of features in double precision; memory does not grow with the images."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | None = None
        self._products: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Add a batch of features.

        Shape:
            features: (B, D).
        """
        features = features.detach().double().cpu()
        total, products = features.sum(0), features.T @ features
        self._sum = total if self._sum is None else self._sum + total
        self._products = products if self._products is None else self._products + products
        self.count += len(features)

    @property
    def mean(self) -> Tensor:
        """Mean.

        Shape:
            result: (D,) float64.

        Raises:
            ScmError: if there are no images.
        """
        if self._sum is None:
            raise ScmError("no images to compute statistics of")
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Sample covariance, as pytorch-fid computes it.

        Shape:
            result: (D, D) float64.

        Raises:
            ScmError: if there are fewer than two images.
        """
        if self._products is None or self.count < 2:
            raise ScmError(f"a covariance needs two images or more, not {self.count}")
        mean = self.mean
        return (self._products - self.count * torch.outer(mean, mean)) / (self.count - 1)

    def write(self, path: Path) -> None:
        """Write the statistics to a file atomically.

        Raises:
            ScmError: if it cannot be written.
        """
        assert self._sum is not None
        assert self._products is not None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(path) as beside, beside.open("wb") as file:
                np.savez(file, count=self.count, sum=self._sum.numpy(), products=self._products.numpy())
        except OSError as error:
            reason = error.strerror or error
            raise ScmError(f"{path}: cannot be written ({reason}); set SCM_CACHE to another folder") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read statistics that :meth:`write` wrote.

        Raises:
            ScmError: if the file is damaged.
        """
        found = cls()
        try:
            with zipfile.ZipFile(path) as members:
                if sum(member.file_size for member in members.infolist()) > path.stat().st_size:
                    raise ValueError("its members are compressed")
            with np.load(path, allow_pickle=False) as kept:
                found.count = int(kept["count"])
                total, products = kept["sum"], kept["products"]
            if not (total.dtype == products.dtype == np.float64 and products.shape == 2 * total.shape):
                raise ValueError(f"holds a sum of {total.shape} and products of {products.shape}")
            if not (np.isfinite(total).all() and np.isfinite(products).all() and 0 < found.count <= _MAX_COUNT):
                raise ValueError("holds values that are not finite, or an impossible count")
            found._sum, found._products = torch.from_numpy(total), torch.from_numpy(products)
        except Exception as error:  # numpy and zipfile raise many types on damaged files
            raise ScmError(f"{path}: is damaged ({error}); delete it, it is a cache") from error
        return found


def frechet_distance(ours: FeatureStatistics, reference: FeatureStatistics) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): 0 for equal sets, symmetric.

    Distances from different numbers of images cannot be compared: few images bias it upwards.

    Raises:
        ScmError: if a set has fewer than two images.
    """
    c1, c2 = ours.covariance, reference.covariance
    root = _root(c1)
    # (C1 C2)^(1/2) has the trace of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    shared = torch.linalg.eigvalsh(root @ c2 @ root).clamp_min(0).sqrt().sum()
    distance = (ours.mean - reference.mean).square().sum() + c1.trace() + c2.trace() - 2 * shared
    return max(0.0, float(distance))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root
