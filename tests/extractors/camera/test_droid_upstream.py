"""The driver of DROID-SLAM against a package with upstream's interface: what it is fed, patched and asked; and
upstream's own code on a CPU with random weights, where MIKUDANCE_DROID_SOURCE names a checkout. None of it is in this
repository.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from extractors.camera.droid import DroidCameraConfig
from extractors.camera.droid_cpu import install
from extractors.camera.droid_output import Thresholds
from extractors.camera.droid_upstream import MaskedUpdate, UpstreamTracker
from extractors.protocols import ExtractionError
from tests.paths import test_data

PACKAGE = '''
"""The names of upstream's droid.py that the driver touches; records its calls. Starts at `warmup` keyframes."""
from types import SimpleNamespace
import numpy as np
import torch
from torch import nn

class Update(nn.Module):
    def forward(self, net, inp, corr, flow=None, ii=None, jj=None):
        weight = torch.ones(1, len(ii), 6, 8, 2)
        return net, weight, weight, "eta", "mask"

class Droid:
    def __init__(self, args):
        self.args, self.seen, Droid.last = args, [], self
        if args.weights.endswith("broken.pth"):
            raise RuntimeError("size mismatch for fnet")
        self.net = SimpleNamespace(update=Update())
        self.video = SimpleNamespace(
            counter=SimpleNamespace(value=0),
            tstamp=torch.zeros(args.buffer),
            poses=torch.zeros(args.buffer, 7),
            disps=torch.ones(args.buffer, args.image_size[0] // 8, args.image_size[1] // 8),
        )
        self.frontend = SimpleNamespace(
            is_initialized=False, update_op=self.net.update, graph=SimpleNamespace(update_op=self.net.update)
        )
        self.backend = SimpleNamespace(update_op=self.net.update)
        self.traj_filler = SimpleNamespace(update=self.net.update)

    def track(self, tstamp, image, depth=None, intrinsics=None):
        assert not torch.is_grad_enabled()
        self.seen.append((tstamp, image, intrinsics))
        if tstamp % 2 == 0:
            number = self.video.counter.value
            self.video.tstamp[number] = tstamp
            self.video.poses[number] = torch.tensor([-tstamp, 0, 0, 0, 0, 0, 1.0])
            self.video.disps[number] = 0.5 + number
            self.video.counter.value += 1
        self.frontend.is_initialized = self.video.counter.value >= self.args.warmup

    def terminate(self, stream=None):
        del self.frontend
        self.stream = list(stream)
        return np.array([[t, 0, 0, 0, 0, 0, 1] for t, _, _ in self.stream], np.float32)
'''


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "droid_slam").mkdir()
    (tmp_path / "droid_slam" / "droid.py").write_text(PACKAGE)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("droid", None)


def pictures(length: int) -> np.ndarray:
    """Red frames whose level tells their number."""
    out = np.zeros((length, 48, 64, 3), np.uint8)
    out[..., 0] = 100 + np.arange(length)[:, None, None]
    return out


def run(source: Path, length: int, blanked: np.ndarray | None = None, **changes: float):  # type: ignore[no-untyped-def]
    tracker = UpstreamTracker(source=source, checkpoint=source / "droid.pth", device="cpu")
    if blanked is None:
        blanked = np.zeros((length, 6, 8), bool)
    K = np.array([50.0, 51, 31, 23])
    result = tracker(pictures(length), blanked, K, Thresholds(**changes))  # type: ignore[arg-type]
    return result, sys.modules["droid"].Droid.last


def test_every_frame_goes_in_as_upstreams_demo_feeds_it(source: Path) -> None:
    result, droid = run(source, 20, filter_thresh=1.2)
    assert [t for t, _, _ in droid.seen] == list(range(20)) == [t for t, _, _ in droid.stream]
    for number, image, intrinsics in [*droid.seen, *droid.stream]:
        assert image.shape == (1, 3, 48, 64)
        assert image.dtype == torch.uint8
        assert image[0, 2].unique().tolist() == [100 + number]  # red is the last of BGR
        assert not image[0, :2].any()
        assert intrinsics.tolist() == [50, 51, 31, 23]
    options = droid.args
    assert (options.image_size, options.filter_thresh, options.warmup) == ([48, 64], 1.2, 8)
    assert options.disable_vis
    assert not options.stereo
    assert options.buffer >= 20 + 16
    assert result.poses.shape == (20, 7)
    assert result.keyframes.tolist() == list(range(0, 20, 2))
    assert result.keyframe_poses[:, 0].tolist() == [-t for t in range(0, 20, 2)]
    assert result.disparity.shape == (10, 6, 8)
    assert result.disparity[:, 0, 0].tolist() == [0.5 + i for i in range(10)]


def test_too_few_keyframes_never_reach_terminate(source: Path) -> None:
    result, droid = run(source, 10)
    assert result.poses is None
    assert not hasattr(droid, "stream")
    assert len(result.keyframes) == 5


def test_mask_reaches_every_user_of_the_update_operator(source: Path) -> None:
    blanked = np.zeros((20, 6, 8), bool)
    blanked[4, :, 2] = True
    _, droid = run(source, 20, blanked)
    users = [droid.backend.update_op, droid.traj_filler.update]
    assert all(isinstance(user, MaskedUpdate) for user in users)
    net = torch.zeros(1)
    keyframes = torch.tensor([1, 2])  # frames 2 and 4
    weight = users[0](net, net, net, net, keyframes, keyframes)[2]
    assert (weight[0, 0] == 1).all()
    assert (weight[0, 1, :, 2] == 0).all()
    assert weight[0, 1].sum() == 2 * (48 - 6)


def test_failures_inside_and_absent_code_are_named(source: Path, tmp_path: Path) -> None:
    tracker = UpstreamTracker(source=source, checkpoint=source / "broken.pth", device="cpu")
    with pytest.raises(ExtractionError, match="RuntimeError: size mismatch for fnet"):
        tracker(pictures(3), np.zeros((3, 6, 8), bool), np.ones(4), Thresholds())
    sys.modules.pop("droid")
    (source / "droid_slam" / "droid.py").write_text("import lietorch_of_nowhere\n")
    with pytest.raises(ExtractionError, match="lietorch_of_nowhere"):
        UpstreamTracker(source=source, checkpoint=source / "droid.pth")


def save_random_checkpoint(source: Path, path: Path) -> int:
    """A checkpoint of upstream's layout with random weights; returns the number of parameters that inference uses."""
    install()
    sys.path.insert(0, str(source / "droid_slam"))
    try:
        from droid_net import DroidNet  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(source / "droid_slam"))
    torch.manual_seed(0)
    network = DroidNet()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    for head in ("weight", "delta"):  # upstream trains with one output more
        for part in ("weight", "bias"):
            name = f"module.update.{head}.2.{part}"
            state[name] = torch.cat([state[name], state[name][:1]])
    torch.save(state, path)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def checkout() -> Path:
    folder = os.environ.get("MIKUDANCE_DROID_SOURCE")
    if not folder:
        pytest.skip("MIKUDANCE_DROID_SOURCE does not name a checkout of DROID-SLAM")
    return Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_upstream_runs_on_a_cpu_with_random_weights(checkout: Path, tmp_path: Path) -> None:
    """The whole backend on a real truck shot: every frame gets a pose, and what random weights say is not believed."""
    for name in ("droid", "droid_net"):
        sys.modules.pop(name, None)
    assert save_random_checkpoint(checkout, tmp_path / "random.pth") == 4_002_565
    config = DroidCameraConfig(
        device="cpu", source=checkout, checkpoint=tmp_path / "random.pth", pixels=128 * 128, filter_thresh=1e-6,
        keyframe_thresh=1e-6, retries=0,
    )  # fmt: skip
    assert config.problem() is None
    backend = config.build()
    runs = []
    inner = backend._tracker
    backend._tracker = lambda *given: runs.append(inner(*given)) or runs[-1]  # type: ignore[assignment, func-returns-value]
    video = cv2.VideoCapture(str(test_data("mmd_shots/truck_character_camera.mp4")))
    frames = np.stack([video.read()[1][..., ::-1] for _ in range(24)])[::2]
    result = backend(frames, np.zeros((12, 8, 8), bool), fps=15, focal=None, seed=0)
    (run,) = runs
    assert run.poses.shape == (12, 7)
    np.testing.assert_allclose(np.linalg.norm(run.poses[:, 3:], axis=1), 1, atol=1e-4)
    assert run.keyframes.tolist() == list(range(12))
    assert run.disparity.shape == (12, 16, 16)
    assert np.isfinite(run.disparity).all()
    # The trajectory is camera-to-world, the keyframes' poses world-to-camera: inverted they agree (the filler has
    # moved them a little, by what random weights say), as they are they do not.
    turned, keyed = (Rotation.from_quat(poses[:, 3:]) for poses in (run.poses, run.keyframe_poses))
    apart, wrong = (
        (Rotation.concatenate([turned[0].inv() * t for t in turned]).inv() * relative).magnitude().max()
        for relative in (
            Rotation.concatenate([keyed[0] * k.inv() for k in keyed]),
            Rotation.concatenate([keyed[0].inv() * k for k in keyed]),
        )
    )
    assert apart < 0.3 * wrong
    assert result.camera.status == "unsolved"
