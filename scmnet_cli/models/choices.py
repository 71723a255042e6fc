"""Names that a config chooses from. This module imports no torch, so the config can import it."""

from __future__ import annotations

from typing import Literal

NormName = Literal["instance", "batch", "group", "none"]
GANKind = Literal["lsgan", "bce", "hinge"]
