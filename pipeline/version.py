"""Which code made something: the package's version, and the commit where it runs from a checkout."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def code_version() -> str:
    """For example "0.1.0" or "0.1.0+3f2a9c1-dirty"."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return version("mikudance")
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version("mikudance")
    return f"{version('mikudance')}+{found}"
