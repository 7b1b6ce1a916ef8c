from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train.evaluation.media_files import pictures
from tests.train.evaluation.network_files import MeanColour, MeanDifference, onnx_mean_colour, script
from train.evaluation.config import NetworkFile
from train.evaluation.networks import FeatureNetwork, FeatureStream, NetworkError
from train.evaluation.protocol import DISCO, KINETICS_MEAN, Sampling

CPU = torch.device("cpu")


def network(file: NetworkFile, sampling: Sampling, batch: int = 3) -> FeatureNetwork:
    return FeatureNetwork(file=file, sampling=sampling, device=CPU, batch=batch)


def features(file: NetworkFile, sampling: Sampling, frames: np.ndarray) -> np.ndarray:
    stream = FeatureStream(network(file, sampling))
    for frame in frames:
        stream.push(frame)
    return stream.finish()


def test_torchscript_and_onnx_agree_with_the_mean_colour(tmp_path: Path) -> None:
    frames = pictures(7)
    wanted = frames.mean((1, 2)) / 255
    for file in (script(tmp_path / "a.pt", MeanColour()), onnx_mean_colour(tmp_path / "a.onnx")):
        np.testing.assert_allclose(features(file, Sampling("unit", 0), frames), wanted, rtol=1e-5)
    doubled = script(tmp_path / "b.pt", MeanColour(), options={"doubled": True}, values="byte")
    np.testing.assert_allclose(features(doubled, Sampling("unit", 0), frames), 2 * 255 * wanted, rtol=1e-5)


def test_value_ranges(tmp_path: Path) -> None:
    file = script(tmp_path / "a.pt", MeanColour())
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    for values, wanted in (("unit", 1), ("signed", 1), ("byte", 255), ("kinetics", 255 - np.array(KINETICS_MEAN))):
        np.testing.assert_allclose(features(file, Sampling(values, 0), white)[0], np.broadcast_to(wanted, 3), rtol=1e-5)
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert (features(file, Sampling("signed", 0), black) == -1).all()


@pytest.mark.parametrize("side", [12, 80])
def test_pictures_are_resized_as_pil_resizes_floats(tmp_path: Path, side: int) -> None:
    picture = pictures(1, side=48)[0]
    made = network(script(tmp_path / "a.pt", MeanColour()), Sampling("byte", side)).prepare(picture)
    for channel in range(3):
        plane = Image.fromarray(picture[..., channel].astype(np.float32), mode="F")
        wanted = np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255)
        np.testing.assert_allclose(made[channel].numpy(), wanted, atol=0.02)


def test_clips_of_both_protocols(tmp_path: Path) -> None:
    """Twenty frames of rising grey: FVD's clips start at every frame, FID-VID's last one is filled up."""
    file = script(tmp_path / "a.pt", MeanColour(), values="byte", size=0)
    frames = np.stack([np.full((16, 16, 3), 10 * n, np.uint8) for n in range(20)])
    grey = 10.0 * np.arange(20)
    fvd = features(file, DISCO.fvd, frames)
    np.testing.assert_allclose(fvd[:, 0], [grey[i : i + 16].mean() for i in range(5)])
    fid_vid = features(file, DISCO.fid_vid, frames)
    np.testing.assert_allclose(fid_vid[:, 0], [grey[:16].mean(), (grey[16:].sum() + 12 * grey[-1]) / 16])
    assert len(features(file, Sampling("byte", 0, frames=16, stride=16), frames)) == 1
    assert len(features(file, DISCO.fvd, frames[:15])) == 0
    assert len(features(file, Sampling("byte", 0, frames=2, stride=5), frames)) == 4


def test_a_network_of_logits_over_time_is_averaged(tmp_path: Path) -> None:
    class OverTime(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=[3, 4])

    file = script(tmp_path / "a.pt", OverTime(), values="byte", size=0)
    frames = np.stack([np.full((16, 16, 3), 10 * n, np.uint8) for n in range(4)])
    np.testing.assert_allclose(features(file, Sampling("byte", 0, frames=4), frames), [[15.0, 15.0, 15.0]])


def test_pairs(tmp_path: Path) -> None:
    a, b = pictures(2)
    lpips = network(script(tmp_path / "a.pt", MeanDifference()), DISCO.lpips)
    got = lpips.distances([lpips.prepare(a)], [lpips.prepare(b)])
    assert got[0] == pytest.approx(np.abs(a.astype(float) - b).mean() / 255, rel=1e-5)


def test_refusals(tmp_path: Path) -> None:
    file = script(tmp_path / "a.pt", MeanColour())
    sampling = Sampling("unit", 0)
    with pytest.raises(NetworkError, match="does not exist"):
        network(file.model_copy(update={"path": tmp_path / "b.pt"}), sampling)
    with pytest.raises(NetworkError, match="another file, or damaged"):
        network(file.model_copy(update={"sha256": "0" * 64}), sampling)
    (tmp_path / "c.pt").write_bytes(b"nothing")
    with pytest.raises(NetworkError, match="no TorchScript archive"):
        network(NetworkFile(path=tmp_path / "c.pt", sha256=sha("nothing")), sampling)
    (tmp_path / "c.bin").write_bytes(b"nothing")
    with pytest.raises(NetworkError, match=r"TorchScript .* is expected"):
        network(NetworkFile(path=tmp_path / "c.bin", sha256=sha("nothing")), sampling)
    (tmp_path / "c.onnx").write_bytes(b"nothing")
    with pytest.raises(NetworkError, match="no ONNX model"):
        network(NetworkFile(path=tmp_path / "c.onnx", sha256=sha("nothing")), sampling)
    with pytest.raises(NetworkError, match="does not take"):
        network(script(tmp_path / "d.pt", MeanDifference()), sampling).features([torch.zeros(3, 16, 16)])
    pair = network(onnx_mean_colour(tmp_path / "e.onnx"), sampling)
    with pytest.raises(NetworkError, match="takes 1 inputs, the metric gives 2"):
        pair.distances([torch.zeros(3, 16, 16)], [torch.zeros(3, 16, 16)])
    with pytest.raises(NetworkError, match="not finite"):
        network(file, sampling).features([torch.full((3, 16, 16), torch.nan)])


def sha(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
