"""Whether the file that a source was registered from is still there, with the same content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from stages.base import SourceLostError


def check_original(path: str, source_id: str, registered: tuple[int, int] | None) -> None:
    """Raises SourceLostError where the file cannot be opened, or is another one than was registered.

    registered: size in bytes and time of change in nanoseconds when its content was hashed, None where nobody knows. A
    file with another size or time is hashed again, so that a copy with a new date passes.
    """
    file = Path(path)
    try:
        stat = file.stat()
        with file.open("rb"):
            pass
    except OSError as error:
        raise SourceLostError(
            f"{path}: the file is gone ({error.strerror or error}): mount or put back {file.parent}, then run the same "
            "command again"
        ) from error
    if registered is None or registered == (stat.st_size, stat.st_mtime_ns):
        return
    if not _sha256(path, stat.st_size, stat.st_mtime_ns).startswith(source_id):
        raise SourceLostError(
            f"{path}: another file is in its place since it was registered as {source_id}: put the old one back, or "
            "name the file (or its folder) to `mikudance build` to have the new one taken instead"
        )


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    """Clips of one source follow each other, and it is read once."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
