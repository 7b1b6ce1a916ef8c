"""A place beside the dataset that nothing may touch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

SECRET = b"what only this file says"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder with one file; the test fails if it is changed, or if anything joins it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    yield folder
    assert [path.name for path in folder.iterdir()] == ["secret"]
    assert (folder / "secret").read_bytes() == SECRET
