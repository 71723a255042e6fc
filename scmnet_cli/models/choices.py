"""Names that a config chooses from; no torch, so that the config can import them."""

from __future__ import annotations

from typing import Literal

NormName = Literal["instance", "batch", "group", "none"]
GANKind = Literal["lsgan", "bce", "hinge"]
