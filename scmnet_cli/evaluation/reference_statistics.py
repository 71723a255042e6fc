"""Feature statistics of reference sets, cached on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from scmnet_cli.evaluation.metric_networks import MetricNetworks
from scmnet_cli.evaluation.protocols import Protocol
from scmnet_cli.metrics.frechet import FeatureStatistics


class ReferenceStatistics:
    """Feature statistics of a reference set, read from the cache if it holds this set."""

    def __init__(
        self, cache: Path | None, protocol: Protocol, reference_hash: str, metric_networks: MetricNetworks
    ) -> None:
        self._metric_networks = metric_networks
        weights = {"inception": metric_networks.weights.get("fid"), "vgg16": metric_networks.weights.get("fd_vgg16")}
        weights["inception"] = weights["inception"] or metric_networks.weights.get("is")
        present = {"inception": metric_networks.inception is not None, "vgg16": metric_networks.vgg16 is not None}
        self.networks = [network for network, there in present.items() if there]
        self._paths: dict[str, Path] = {}
        self._known: dict[str, FeatureStatistics] = {}
        self._new: dict[str, FeatureStatistics] = {}
        for network in self.networks:
            identity: dict[str, Any] = {"references": reference_hash, "weights": weights[network], "network": network}
            identity |= {"protocol": protocol.as_json()}
            key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
            if cache is not None:
                self._paths[network] = cache / f"{network}-{key[:32]}.npz"
            known = self._paths[network] if network in self._paths and self._paths[network].is_file() else None
            if known is not None:
                self._known[network] = FeatureStatistics.read(known)
            else:
                self._new[network] = FeatureStatistics()

    def add(self, images: Tensor) -> None:
        """Add reference images, unless the cache holds the set."""
        if self._new:
            for network, features in self._metric_networks.features(images).items():
                if network in self._new:
                    self._new[network].add(features)

    def finished(self) -> dict[str, FeatureStatistics]:
        """Write new statistics to the cache, and return all statistics by the network's name."""
        for network, found in self._new.items():
            if network in self._paths:
                found.write(self._paths[network])
        return self._known | self._new
