"""Where real test inputs lie, when they are there."""

import os
from pathlib import Path

import pytest

TEST_DATA = Path(os.environ.get("MIKUDANCE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def test_data(relative: str) -> Path:
    """A file or folder of the real inputs; skips the test, saying so, where they are absent."""
    path = TEST_DATA / relative
    if not path.exists():
        pytest.skip(f"real input {relative} is absent (set MIKUDANCE_TEST_DATA to the folder that holds it)")
    return path


test_data.__test__ = False  # type: ignore[attr-defined]
