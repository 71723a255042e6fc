"""Location of the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder: ``SCM_CACHE``, or scmnet_cli in the user's cache folder."""
    given = os.environ.get("SCM_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "scmnet_cli"
