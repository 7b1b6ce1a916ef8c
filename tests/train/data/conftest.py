"""A small dataset, written once for all tests of the reader."""

from pathlib import Path

import pytest

from tests.train.shards import small_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Seven character clips and three camera-only clips of 40 frames of 64 × 64; not to be changed."""
    root = tmp_path_factory.mktemp("dataset")
    small_dataset(root, characters=7, cameras=3, frames=40)
    return root
