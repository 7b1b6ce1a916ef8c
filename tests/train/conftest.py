import multiprocessing
from pathlib import Path

import pytest

from tests.train.shards import small_dataset

# Ranks and the reader's workers are forked from a server that has imported everything once: a start costs 0.1 s.
multiprocessing.get_context("forkserver").set_forkserver_preload(["train.loop", "tests.train.ranks"])


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six character clips and two camera-only clips of 30 frames of 64² pixels; read only."""
    root = tmp_path_factory.mktemp("small_shards")
    small_dataset(root)
    return root
