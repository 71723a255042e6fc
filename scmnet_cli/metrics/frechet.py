"""Fréchet distance of two sets of features, each taken as a Gaussian; its statistics are gathered in a stream."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.errors import ScmError


class FeatureStatistics:
    """Mean and covariance of features, in double precision; as much memory for a million images as for two."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | None = None
        self._products: Tensor | None = None

    def add(self, features: Tensor) -> None:
        """Take in a batch.

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
            ScmError: if there was no image.
        """
        if self._sum is None:
            raise ScmError("no image to take statistics of")
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Sample covariance, as pytorch-fid takes it.

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
        """Keep the statistics in a file, in one step.

        Raises:
            ScmError: if it cannot be written.
        """
        assert self._sum is not None
        assert self._products is not None
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, count=self.count, sum=self._sum.numpy(), products=self._products.numpy())
            os.replace(partial, path)
        except OSError as error:
            raise ScmError(f"{path}: cannot be written ({error.strerror}); set SCM_CACHE to another folder") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read statistics that :meth:`write` kept.

        Raises:
            ScmError: if the file is damaged.
        """
        found = cls()
        try:
            with np.load(path, allow_pickle=False) as kept:
                found.count = int(kept["count"])
                found._sum, found._products = torch.from_numpy(kept["sum"]), torch.from_numpy(kept["products"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ScmError(f"{path}: is damaged ({error}); delete it, it is only a cache") from error
        return found


def frechet_distance(ours: FeatureStatistics, reference: FeatureStatistics) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)): 0 for equal sets, symmetric.

    Numbers from different counts of images do not compare: few images make every distance larger.

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
