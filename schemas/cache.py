"""Where this machine keeps what can be fetched or made again: one rule for all of the project."""

import os
from hashlib import sha256
from pathlib import Path

CACHE_VARIABLE = "MIKUDANCE_CACHE"


def cache_folder(name: str) -> Path:
    """The folder `name` in $MIKUDANCE_CACHE, else in `mikudance` of $XDG_CACHE_HOME, else of ~/.cache. Not created."""
    if root := os.environ.get(CACHE_VARIABLE):
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mikudance" / name


def uri_name(uri: str) -> str:
    """A file name for what belongs to a URI: the same each time, another for every other URI."""
    return f"{uri.rsplit('/', 1)[-1]}-{sha256(uri.encode()).hexdigest()[:16]}"
