"""The DROID-SLAM backend around a tracker that returns recorded arrays; upstream itself wants CUDA."""

import cv2
import numpy as np
import pytest
import torch

from extractors.camera.backend import SfmCameraConfig
from extractors.camera.droid import DroidCamera, DroidCameraConfig, blank
from extractors.camera.droid_output import CELL, Thresholds, TrackerRun, WorkingSize
from extractors.camera.droid_upstream import MaskedUpdate
from extractors.geometry.cameras import rescale_intrinsics
from extractors.geometry.trajectory import absolute_trajectory_error
from extractors.protocols import ExtractionError
from tests.extractors.camera.test_droid_output import layout
from tests.paths import test_data


def read_video(path: str, count: int) -> np.ndarray:
    video = cv2.VideoCapture(path)
    frames = [video.read()[1] for _ in range(count)]
    return np.stack([frame[..., ::-1] for frame in frames])


class Recorded:
    """Answers with true cameras and disparities in upstream's layout, `refusals` times only after having none."""

    def __init__(self, cameras: np.ndarray, inverse_depth: np.ndarray, refusals: int = 0) -> None:
        self.cameras, self.inverse_depth, self.refusals = cameras, inverse_depth, refusals
        self.asked: list[Thresholds] = []
        self.scale = 3.7  # monocular: any unit

    def __call__(
        self, pictures: np.ndarray, blanked: np.ndarray, intrinsics: np.ndarray, thresholds: Thresholds
    ) -> TrackerRun:
        self.pictures, self.blanked, self.intrinsics = pictures, blanked, intrinsics
        self.asked.append(thresholds)
        if len(self.asked) <= self.refusals:
            return TrackerRun(None, np.arange(2), np.zeros((2, 7)), np.zeros((2, *blanked.shape[1:])))
        numbers = np.arange(0, len(pictures), 6)
        height, width = blanked.shape[1:]
        # the truth's grid covers the frame; cell i of the tracker lies at picture pixel 8·i
        x, y = np.meshgrid(np.arange(width) * CELL, np.arange(height) * CELL)
        side = self.inverse_depth.shape[1] / pictures.shape[1]
        disparity = np.stack(
            [
                cv2.remap(
                    self.inverse_depth[i].astype(np.float32),
                    ((x + 0.5) * side - 0.5).astype(np.float32),
                    ((y + 0.5) * side - 0.5).astype(np.float32),
                    cv2.INTER_LINEAR,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for i in numbers
            ]
        )
        moved = self.cameras.copy()
        moved[:, :3, 3] *= self.scale
        return TrackerRun(layout(moved), numbers, layout(np.linalg.inv(moved[numbers])), disparity / self.scale)


@pytest.fixture(scope="module")
def shot() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A truck of 46.6 units with a 74° turn, no character."""
    frames = read_video(str(test_data("mmd_shots/truck_character_camera.mp4")), 40)
    with np.load(test_data("mmd_shots/truck_character.npz")) as truth:
        return frames, {name: truth[name] for name in truth.files}


def droid(tracker: Recorded, **changes: object) -> DroidCamera:
    config = DroidCameraConfig(pixels=512 * 512, classifier=SfmCameraConfig(max_side=512), **changes)  # type: ignore[arg-type]
    return DroidCamera(tracker=tracker, config=config)


def focal_of(truth: dict[str, np.ndarray]) -> float:
    return float(truth["K"][0][0, 0] / 512)


def test_moving_shot_gets_the_recorded_cameras(shot: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    frames, truth = shot
    cameras = truth["c2w"][:40]
    tracker = Recorded(cameras, truth["inverse_depth_96_bg"][:40])
    result = droid(tracker)(frames, np.zeros((40, 8, 8), bool), fps=30, focal=focal_of(truth), seed=0)
    assert result.camera.status == "moving"
    assert result.camera.focal_source == "manifest"
    assert tracker.pictures.shape == frames.shape
    assert result.quality["keyframe_disagreement_deg"] < 0.01
    assert result.quality["explained_share"] > 0.7
    error = absolute_trajectory_error(result.camera.cam_to_world, cameras, alignment="sim3")
    assert np.degrees(error.rotation).max() < 0.01
    assert error.translation.max() < 1e-3
    # disparities are 1/z in the unit of the translation
    sparse = result.camera.sparse[0]
    grid = truth["inverse_depth_96_bg"][0].astype(np.float32)
    at = ((sparse.xy + 0.5) * (96 / 512) - 0.5).astype(np.float32)
    expected = cv2.remap(grid, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR)[0] / tracker.scale
    assert np.median(np.abs(sparse.inverse_depth / expected - 1)) < 0.01


def test_wrong_poses_are_not_believed(shot: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    """The same run with its quaternions read scalar first, the published mistake: unsolved, and it shows why."""
    frames, truth = shot

    class Confused(Recorded):
        def __call__(self, *args: np.ndarray) -> TrackerRun:  # type: ignore[override]
            run = super().__call__(*args)  # type: ignore[arg-type]
            assert run.poses is not None
            run.poses[:, 3:] = run.poses[:, [6, 3, 4, 5]]
            return run

    tracker = Confused(truth["c2w"][:40], truth["inverse_depth_96_bg"][:40])
    result = droid(tracker)(frames, np.zeros((40, 8, 8), bool), fps=30, focal=focal_of(truth), seed=0)
    assert result.camera.status == "unsolved"
    assert result.quality["explained_share"] < 0.4
    assert result.quality["keyframe_disagreement_deg"] > 1
    np.testing.assert_array_equal(result.camera.cam_to_world, np.tile(np.eye(4), (40, 1, 1)))


def test_too_few_keyframes_ask_for_more_and_end_as_unsolved(shot: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    frames, truth = shot
    short, mask = frames[:12], np.zeros((12, 8, 8), bool)
    cameras, depth = truth["c2w"][:12], truth["inverse_depth_96_bg"][:12]
    tracker = Recorded(cameras, depth, refusals=2)
    assert droid(tracker)(short, mask, fps=30, focal=focal_of(truth), seed=0).camera.status == "moving"
    assert [asked.filter_thresh for asked in tracker.asked] == [2.4, 1.2, 0.6]
    tracker = Recorded(cameras, depth, refusals=9)
    result = droid(tracker)(short, mask, fps=30, focal=None, seed=0)
    assert result.camera.status == "unsolved"
    assert result.camera.focal_source == "assumed"
    assert len(tracker.asked) == 3


def test_still_camera_never_reaches_the_tracker() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    tracker = Recorded(np.zeros((0, 4, 4)), np.zeros((0, 1, 1)))
    result = droid(tracker)(np.stack([picture] * 20), np.zeros((20, 8, 8), bool), fps=30, focal=None, seed=0)
    assert result.camera.status == "static"
    assert not tracker.asked


def test_characters_are_black_and_their_cells_blanked() -> None:
    frames = np.full((2, 240, 320, 3), 200, np.uint8)
    mask = np.zeros((2, 24, 32), bool)
    mask[1, 8:16, 8:16] = True
    size = WorkingSize.of((320, 240), 160 * 120)
    pictures, blanked = blank(frames, mask, size)
    assert pictures.shape == (2, 120, 160, 3)
    assert (pictures[0] == 200).all()
    assert not blanked[0].any()
    assert (pictures[1, 40:80, 40:80] == 0).all()
    assert (pictures[1, :30] == 200).all()
    assert blanked[1, 5:10, 5:10].all()
    assert blanked[1].sum() < 0.3 * blanked[1].size


def test_masked_update_takes_weight_from_blanked_cells_only() -> None:
    class Update(torch.nn.Module):
        def forward(self, net, inp, corr, flow=None, ii=None, jj=None):  # type: ignore[no-untyped-def]
            ones = torch.ones(1, 3 if ii is None else len(ii), 4, 5, 2)
            return (net, ones, ones) if ii is None else (net, ones, ones, "eta", "upmask")

    keep = torch.ones(7, 4, 5)
    keep[6, :2] = 0
    frame_of_keyframe = torch.tensor([0, 3, 6])
    masked = MaskedUpdate(update=Update(), keep=keep, frame_of=lambda index: frame_of_keyframe[index])
    net = torch.zeros(1)
    _, delta, weight, eta, upmask = masked(net, net, net, net, torch.tensor([2, 0, 2, 1]), torch.tensor([0, 2, 1, 0]))
    assert (delta == 1).all()
    assert (eta, upmask) == ("eta", "upmask")
    assert weight[0, :, 0, 0, 0].tolist() == [0, 1, 0, 1]
    assert (weight[0, :, 2:] == 1).all()
    assert (masked(net, net, net)[2] == 1).all()  # the motion filter passes no indices


def test_problem_names_cuda_first_here() -> None:
    problem = DroidCameraConfig().problem()
    assert problem is not None
    if not torch.cuda.is_available():
        assert "CUDA" in problem.cause
    with pytest.raises(ExtractionError, match=problem.cause.split(" ")[0]):
        DroidCameraConfig().build()


def test_frames_are_seen_at_their_aspect_ratio() -> None:
    size = WorkingSize.of((512, 758), DroidCameraConfig().pixels)
    K = np.array([500.0, 500, 255.5, 378.5])
    np.testing.assert_allclose(size.intrinsics(K), rescale_intrinsics(K, (512, 758), size.scaled))
    assert abs(size.intrinsics(K)[0] / size.intrinsics(K)[1] - 1) < 0.003


def test_turning_camera_is_answered_without_the_tracker() -> None:
    """A camera that pans about its centre over a textured sphere: rotation, and translation exactly zero."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (1440, 960), interpolation=cv2.INTER_CUBIC)
    focal, size, clip = 400.0, (320, 240), []
    K = np.array([[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]])
    wide = np.array([[focal, 0, 719.5], [0, focal, 479.5], [0, 0, 1]])
    angles = np.radians(np.linspace(0, 12, 16))
    for angle in angles:
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        homography = K @ turn.T @ np.linalg.inv(wide)
        clip.append(cv2.warpPerspective(texture, homography, size))
    tracker = Recorded(np.zeros((0, 4, 4)), np.zeros((0, 1, 1)))
    result = droid(tracker)(np.stack(clip), np.zeros((16, 8, 8), bool), fps=30, focal=focal / 320, seed=0)
    assert result.camera.status == "rotation"
    assert not tracker.asked
    assert (result.camera.cam_to_world[:, :3, 3] == 0).all()
    last = result.camera.cam_to_world[-1, :3, :3]
    assert np.degrees(np.arctan2(last[0, 2], last[2, 2])) == pytest.approx(12, abs=0.1)
