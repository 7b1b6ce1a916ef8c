"""A network and a dataset that several tests animate with."""

from pathlib import Path

import pytest

from tests.pipeline.animation.driven import SIZE
from tests.pipeline.made import Video, make, write_video
from tests.train.tiny import save_tiny


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("checkpoint"), size=SIZE)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("made")
    files = [write_video(root / "videos", name, Video(n)) for n, name in enumerate("ab")]
    make(root / "dataset", files, splits=("test", "train"))
    return str(root / "dataset")
