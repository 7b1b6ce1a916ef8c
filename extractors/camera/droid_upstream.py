"""Running DROID-SLAM's own code (github.com/princeton-vl/DROID-SLAM, BSD-3-Clause) from a checkout.

Nothing of it is part of this project. On a CUDA GPU it has to be built where it runs: its extensions `droid_backends`
and `lietorch` and the package `torch_scatter` are compiled (docs/backends.md). On a CPU this project's stand-ins take
their place (droid_cpu).
"""

import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from extractors.camera.droid_cpu import OnCpu, install
from extractors.camera.droid_output import Thresholds, TrackerRun
from extractors.protocols import ExtractionError


class MaskedUpdate(nn.Module):
    """Upstream's update operator with no weight on blanked cells of the source frame, so that bundle adjustment does
    not see them (as TRAM does, arXiv 2403.17346).
    """

    def __init__(self, *, update: nn.Module, keep: torch.Tensor, frame_of: Any) -> None:
        """keep: float [L, h, w], 0 on blanked cells. frame_of: frame numbers of keyframe indices (tensors)."""
        super().__init__()
        self.update, self.frame_of, self._keep = update, frame_of, keep

    def forward(
        self,
        net: torch.Tensor,
        inp: torch.Tensor,
        corr: torch.Tensor,
        flow: torch.Tensor | None = None,
        ii: torch.Tensor | None = None,
        jj: torch.Tensor | None = None,
    ) -> Any:
        if ii is None:
            return self.update(net, inp, corr, flow, ii, jj)
        hidden, delta, weight, *rest = self.update(net, inp, corr, flow, ii, jj)
        keep = self._keep[self.frame_of(ii)].to(weight.dtype)
        return hidden, delta, weight * keep[None, ..., None], *rest


class UpstreamTracker:
    """Fits `Tracker`: one run of upstream's `Droid` a call. source: the checkout; checkpoint: droid.pth; device: where
    the mask lies, which is where upstream's network does.
    """

    def __init__(self, *, source: Path, checkpoint: Path, device: str = "cuda") -> None:
        self._checkpoint, self._device = checkpoint, device
        if device == "cpu":
            install()
        code = str(source / "droid_slam")
        if code not in sys.path:
            sys.path.insert(0, code)  # upstream's modules import each other by bare names, some while it runs
        try:
            self._droid = _loading(importlib.import_module("droid").Droid, device)
        except ImportError as error:
            raise ExtractionError(
                f"DROID-SLAM in {source} does not import ({error}): build it in this environment (docs/backends.md)"
            ) from error

    def __call__(
        self, pictures: np.ndarray, blanked: np.ndarray, intrinsics: np.ndarray, thresholds: Thresholds
    ) -> TrackerRun:
        """Raises ExtractionError where upstream fails inside."""
        images = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2)))  # BGR, as upstream
        focal = torch.as_tensor(intrinsics, dtype=torch.float32)
        try:
            with torch.no_grad(), OnCpu() if self._device == "cpu" else nullcontext():
                return self._run(images, blanked, focal, thresholds)
        except torch.OutOfMemoryError as error:
            raise ExtractionError(
                "droid: out of GPU memory: lower `pixels`, or give its worker a larger share of the GPU"
            ) from error
        except (RuntimeError, IndexError, AssertionError) as error:
            raise ExtractionError(f"DROID-SLAM failed inside ({type(error).__name__}: {error})") from error

    def _run(
        self, images: torch.Tensor, blanked: np.ndarray, focal: torch.Tensor, thresholds: Thresholds
    ) -> TrackerRun:
        length = len(images)
        options = SimpleNamespace(
            **vars(thresholds),
            weights=str(self._checkpoint),
            image_size=list(images.shape[-2:]),
            buffer=length + 32,  # the trajectory filler writes 16 frames behind the keyframes
            stereo=False,
            disable_vis=True,
            upsample=False,
        )
        droid = self._droid(options)
        masked = MaskedUpdate(
            update=droid.net.update,
            keep=torch.from_numpy(~blanked).float().to(self._device),
            frame_of=lambda index: droid.video.tstamp[index].long(),
        )
        for part in (droid.frontend, droid.backend):
            part.update_op = masked
        droid.frontend.graph.update_op = masked
        droid.traj_filler.update = masked
        for number in range(length):
            droid.track(number, images[number][None], intrinsics=focal)
        if not droid.frontend.is_initialized:
            return _collect(droid, None)
        poses = droid.terminate((number, images[number][None], focal) for number in range(length))
        return _collect(droid, np.asarray(poses, np.float64))


def _loading(droid: Any, device: str) -> Any:
    """Upstream's class, loading its checkpoint without unpickling anything but tensors, to where it runs."""

    class Loading(droid):
        def load_weights(self, weights: str) -> None:
            state = torch.load(weights, map_location=device, weights_only=True)
            state = {name.removeprefix("module."): value for name, value in state.items()}
            for head in ("weight", "delta"):  # trained with more outputs than inference has
                for part in ("weight", "bias"):
                    name = f"update.{head}.2.{part}"
                    state[name] = state[name][:2]
            self.net = importlib.import_module("droid_net").DroidNet()
            self.net.load_state_dict(state)
            self.net.to(device).eval()

    return Loading


def _collect(droid: Any, poses: np.ndarray | None) -> TrackerRun:
    video = droid.video
    count = int(video.counter.value)
    return TrackerRun(
        poses=poses,
        keyframes=video.tstamp[:count].round().long().cpu().numpy(),
        keyframe_poses=video.poses[:count].double().cpu().numpy(),
        disparity=video.disps[:count].float().cpu().numpy(),
    )
