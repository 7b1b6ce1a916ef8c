"""FID of the same frames by the same network, against a published implementation: torchmetrics."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from tests.train.evaluation.media_files import pictures, write_frames
from tests.train.evaluation.network_files import script
from train.evaluation.config import EvaluationConfig, Networks
from train.evaluation.evaluate import evaluate

FRAMES = 40


class SmallInception(nn.Module):
    """Pictures [N, 3, H, W] in [0, 1] to 24 features, by a convolution with fixed weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 24, 5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x)).mean(dim=[2, 3])


@pytest.mark.parametrize("count", [FRAMES, 12])
def test_fid_is_that_of_torchmetrics(tmp_path: Path, count: int) -> None:
    """More frames than features, and fewer, where the covariance has no full rank; several videos, batches and sides
    of unequal spread.
    """
    network = SmallInception().eval()
    peer = FrechetInceptionDistance(feature=network, input_img_size=(3, 32, 32), normalize=True)
    for name in ("a", "b"):
        real = pictures(count // 2, seed=ord(name))
        made = (pictures(count // 2, seed=ord(name)) * 0.7 + 30).astype(np.uint8)
        write_frames(tmp_path / "real" / name, real)
        write_frames(tmp_path / "made" / name, made)
        for frames, is_real in ((real, True), (made, False)):
            peer.update(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255, real=is_real)
    files = Networks(fid=script(tmp_path / "network.pt", SmallInception().eval()))
    config = EvaluationConfig(networks=files, resamples=0, frechet_resamples=0, batch=7)
    ours = evaluate(tmp_path / "real", {"made": tmp_path / "made"}, config).methods[0].scores["fid"]
    assert ours.samples == count
    assert ours.value > 1e-4
    assert ours.value == pytest.approx(float(peer.compute()), rel=1e-4)
