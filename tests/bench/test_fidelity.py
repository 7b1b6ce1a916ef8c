"""The measures of the fidelity report on cases whose error is known by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.fidelity_measures import (
    camera_errors,
    depth_error,
    mask_figures,
    motion_errors,
    pck,
    true_lenses,
    true_motion,
)
from bench.fidelity_report import meets_goal, report
from bench.fidelity_shots import Truth
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact

SIZE = (64, 64)
FOCAL, STEP_M, DEPTH = 50.0, 0.1, 4.0
LENGTH = 5


def _truth() -> Truth:
    """A camera that moves 0.1 to the right a frame before a wall at distance 4; the top row of cells is sky."""
    poses = np.tile(np.eye(4), (LENGTH, 1, 1))
    poses[:, 0, 3] = STEP_M * np.arange(LENGTH)
    K = np.tile(np.array([[FOCAL, 0, 31.5], [0, FOCAL, 31.5], [0, 0, 1.0]]), (LENGTH, 1, 1))
    depth = np.full((LENGTH, 8, 8), 1 / DEPTH, np.float32)
    depth[:, 0] = 0
    limbs = np.tile(np.array([[20, 10], [30, 10], [18, 20], [32, 20], [18, 28], [32, 28], [22, 30], [28, 30], [22, 42],
                              [28, 42], [22, 55], [28, 70]], float), (LENGTH, 1, 1))  # fmt: skip
    return Truth(poses, K, depth, limbs, SIZE)


def _camera(poses: np.ndarray, focal: float = FOCAL) -> CameraArtifact:
    lenses = np.tile([focal, focal, 31.5, 31.5], (len(poses), 1))
    empty = (SparseDepth(np.zeros((0, 2)), np.zeros(0)),) * len(poses)
    return CameraArtifact("moving", poses, lenses, empty, "reconstruction")


def _scene(motion: np.ndarray, valid: np.ndarray) -> SceneMotionArtifact:
    return SceneMotionArtifact((0,), 1, motion[None], valid[None], np.full((1, 8, 8), 0.25))


def test_sideways_motion_is_focal_times_baseline_over_depth() -> None:
    motion = true_motion(_truth(), 0, 1, 1, SIZE)
    assert np.isnan(motion[:, 0]).all()
    np.testing.assert_allclose(motion[0, 1:], -FOCAL * STEP_M / DEPTH, atol=1e-9)
    np.testing.assert_allclose(motion[1, 1:], 0, atol=1e-9)
    np.testing.assert_allclose(true_motion(_truth(), 0, 4, 3, SIZE)[0, 1:], -3 * FOCAL * STEP_M / DEPTH, atol=1e-9)


def test_lenses_of_a_resized_picture() -> None:
    K = true_lenses(_truth(), (128, 128))[0]
    np.testing.assert_allclose([K[0, 0], K[0, 2], K[1, 2]], [100, 63.5, 63.5])


def test_motion_error_is_counted_in_cells_where_the_map_is_valid() -> None:
    truth = _truth()
    exact = np.nan_to_num(
        np.stack([np.zeros((2, 8, 8))] + [true_motion(truth, 0, i, 1, SIZE) for i in range(1, LENGTH)])
    )
    valid = np.ones((LENGTH, 8, 8), bool)
    errors = motion_errors(_scene(exact, valid), truth, SIZE)
    assert errors["epe"] == errors["epe_max"] == 0
    assert errors["motion"] == pytest.approx(FOCAL * STEP_M / DEPTH / 8)
    off = exact + np.array([3.0, 4.0])[:, None, None]
    assert motion_errors(_scene(off, valid), truth, SIZE)["epe"] == pytest.approx(5 / 8)
    assert motion_errors(_scene(off, ~valid), truth, SIZE)["epe"] == np.inf


def test_camera_errors_do_not_see_scale_and_see_turns() -> None:
    truth = _truth()
    scaled = truth.cam_to_world.copy()
    scaled[:, :3, 3] *= 7
    exact = camera_errors(_camera(scaled), truth, SIZE)
    assert exact["rotation"] == pytest.approx(0, abs=1e-4)
    assert exact["position"] == pytest.approx(0, abs=1e-6)
    angle = np.radians(2.0)
    turned = truth.cam_to_world.copy()
    turned[3, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    errors = camera_errors(_camera(turned, focal=55.0), truth, SIZE)
    assert errors["rotation"] == pytest.approx(2.0, abs=1e-6)
    assert errors["focal"] == pytest.approx(10.0)
    still = np.tile(np.eye(4), (LENGTH, 1, 1))
    spread = STEP_M * np.sqrt(2.0)  # standard deviation of 0 … 4 is √2
    assert camera_errors(_camera(still), truth, SIZE)["position"] == pytest.approx(100 * spread / (4 * STEP_M))
    assert "position" not in camera_errors(_camera(still), replace(truth, cam_to_world=still), SIZE)


def test_depth_error_allows_what_the_kind_leaves_open() -> None:
    truth = replace(_truth(), inverse_depth=np.random.default_rng(0).uniform(0.1, 1, (LENGTH, 8, 8)).astype(np.float32))
    values = truth.inverse_depth[:1]
    no = np.zeros(values.shape, bool)
    assert depth_error(DepthArtifact((0,), 3 * values, no, "camera"), truth) < 1e-3
    assert depth_error(DepthArtifact((0,), 3 * values + 2, no, "camera"), truth) > 10
    assert depth_error(DepthArtifact((0,), 3 * values + 2, no, "relative"), truth) < 1e-3


def test_pck_counts_missing_joints_as_wrong_and_ignores_those_outside() -> None:
    truth = _truth()
    assert truth.limbs is not None
    body = np.full((LENGTH, 1, 17, 3), np.nan, np.float32)
    body[:, 0, 5:, :2], body[..., 2] = truth.limbs, 1.0
    empty = [np.zeros((LENGTH, 1, k, 3), np.float32) for k in (68, 21)]
    pose = PoseArtifact(body, *empty, mask=np.zeros((LENGTH, 4, 4), bool))
    assert pck(pose, truth, SIZE) == {"pck": 1.0, "found": 1.0, "joints_in_view": pytest.approx(11 / 12)}
    moved = body.copy()
    moved[:, 0, 5, 0] += 0.19 * 20  # torso: from y = 10 to y = 30
    moved[:, 0, 6, 0] += 0.21 * 20
    moved[:, 0, 7] = np.nan, np.nan, 0
    assert pck(replace(pose, body=moved), truth, SIZE)["pck"] == pytest.approx(9 / 11)
    assert pck(pose, replace(truth, limbs=None), SIZE) == {}


def _row(**changes: Any) -> dict[str, Any]:
    figures = {"epe": 0.1, "epe_p90": 0.2, "epe_max": 0.3, "motion": 1.0, "depth_error": 2.0, "seconds": 1.0}
    return {
        "shot": "a", "frames": 5, "seconds": {"pose": 1.0, "camera": 2.0}, "camera_status": "moving", "rotation": 0.5,
        "focal_source": "reconstruction", "position": 1.0, "focal": 2.0, "pck": 0.9,
        "mask_area": 0.1, "mask_recall": 0.8, "mask_precision": 0.7, "mask_from_motion": True,
        "depth": {"reconstruction": figures | changes},
        "exact": {"epe": 0.0, "motion": changes.get("motion", 1.0)}, "given": {"epe": 0.01},
        "date": "2026-01-02", "commit": "abc",
    }  # fmt: skip


@pytest.mark.parametrize(("changes", "met"), [
    ({"epe": 0.49}, True), ({"epe": 0.51}, False), ({"epe": 1.4, "motion": 10.0}, True),
    ({"epe": 1.6, "motion": 10.0}, False),
    ({"epe": 0.0, "epe_max": 1e-8, "motion": 1e-15}, False), ({"epe": 1e-15, "epe_max": 1e-14, "motion": 1e-15}, True),
    ({"epe": float("inf")}, False),
])  # fmt: skip
def test_goal(changes: dict[str, float], met: bool) -> None:
    row = _row(**changes)
    assert meets_goal(row, "reconstruction") == met
    text = report([row], "machine")
    assert ("1 of 1 shots meet" in text) == met
    assert "run 2026-01-02 at commit abc (machine)" in text


def test_what_the_goal_hides_is_named() -> None:
    """Half a cell may be more than all of the motion, and a camera that travels may have been taken for another."""
    small = _row(epe=0.2, motion=0.4) | {"shot": "b", "camera_status": "rotation", "rotation": 2.4, "focal": 18.0}
    text = report([_row(), small], "machine")
    assert "2 of 2 shots meet the goal" in text
    assert "1 of the 2 shots that are not static have an error of at most 15 % of it" in text
    assert "- b: 50 % of the motion." in text
    assert "- b: the true camera travels, and was taken for rotation (2.40° off, focal length 18 %)." in text
    assert "- a:" not in text


def test_mask_figures_are_counted_on_the_silhouettes_grid() -> None:
    silhouette = np.zeros((LENGTH, 4, 4), bool)
    silhouette[:, :2, :2] = True
    mask = np.zeros((LENGTH, 8, 8), bool)
    mask[:, :4, 2:6] = True  # covers half of the silhouette, and as much beside it
    found = mask_figures(mask, replace(_truth(), silhouette=silhouette))
    assert found == {"mask_area": 0.25, "mask_recall": 0.5, "mask_precision": 0.5}
    assert mask_figures(mask, _truth()) == {"mask_area": 0.25}


def test_a_real_clip_has_a_table_of_its_own() -> None:
    figures = {"tracks_live": 49.0, "moving_background": 0.25, "parallax_deg": None, "rivals_apart_deg": 3.0}
    real = {"real": "real_x", "frames": 16, "camera_status": "unsolved", "mask_area": 0.0, "figures": figures,
            "rotation": 1.5, "turn": 20.0, "position": 9.0, "date": "2026-01-02", "commit": "abc"}  # fmt: skip
    text = report([_row(), real], "machine")
    assert "1 of 1 shots meet" in text
    assert "| x | unsolved | 1.50 | 20.0 | 9.0 | 49 | 25 | – | 3.0 | none |" in text
    assert "0.80 / 0.70 (motion)" in text


def test_a_failed_shot_is_named() -> None:
    text = report(
        [_row(), {"shot": "b", "frames": 5, "failed": "no features", "date": "2026-01-03", "commit": "abc"}], "machine"
    )
    assert "b: failed, no features" in text
    assert "2026-01-02 to 2026-01-03" in text
