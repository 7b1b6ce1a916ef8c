"""Where this machine keeps what can be fetched or made again: one rule for all of the project."""

import os
from pathlib import Path

CACHE_VARIABLE = "MIKUDANCE_CACHE"


def cache_folder(name: str) -> Path:
    """The folder `name` in $MIKUDANCE_CACHE, else in `mikudance` of $XDG_CACHE_HOME, else of ~/.cache. Not created."""
    if root := os.environ.get(CACHE_VARIABLE):
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mikudance" / name
