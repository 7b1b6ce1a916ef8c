"""A network and a dataset that several tests animate with."""

from pathlib import Path

import pytest
import torch

from tests.pipeline.animation.driven import SIZE
from tests.pipeline.made import Video, make, write_video
from tests.train.tiny import tiny_encoders, tiny_model
from train.model.saving import SavedModel, save_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model = tiny_model(2)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.reference.unet.conv_in.weight, std=0.1)  # an untrained one does not see the poses
    save_model(
        folder,
        saved=SavedModel(stage=2, model=model.config, frames=4, size=SIZE),
        model=model,
        encoders=tiny_encoders(),
    )
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("made")
    files = [write_video(root / "videos", name, Video(n)) for n, name in enumerate("ab")]
    make(root / "dataset", files, splits=("test", "train"))
    return str(root / "dataset")
