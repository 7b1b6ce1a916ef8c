import cv2
import numpy as np
import pytest

from extractors.depth.plane_sweep import PosedView, best_planes, choose_sources, matching_costs, semi_global
from pipeline.demo.camera import keyed_path, pan
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot

SIZE = (128, 96)
SIDEWAYS = keyed_path(7, eye=[(-0.4, 1.3, 2.5), (0.4, 1.3, 2.5)], target=[(-0.4, 1.2, -3), (0.4, 1.2, -3)])


def _views() -> tuple[list[PosedView], np.ndarray, np.ndarray]:
    frames, truth = render_shot(SIDEWAYS, hall(), size=SIZE, full_depth_frames=(3,))
    views = [
        PosedView(
            cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32),
            K,
            np.linalg.inv(pose),
            np.ones(frame.shape[:2], np.float32),
        )
        for frame, K, pose in zip(frames, truth.K, truth.cam_to_world, strict=True)
    ]
    return views, truth.inverse_depth_full[0], truth.K


def test_stereo_finds_the_rendered_depth() -> None:
    views, truth, _ = _views()
    planes = np.linspace(0, 1.2 * truth.max(), 48)
    costs = matching_costs(views[3], [views[i] for i in (0, 1, 5, 6)], planes)
    raw = np.abs(best_planes(costs, planes) - truth) / truth
    smooth = np.abs(best_planes(semi_global(costs, views[3].grey, small=0.04, large=0.6), planes) - truth) / truth
    assert np.median(smooth) < 0.02
    assert (smooth > 0.1).mean() < 0.1
    assert (smooth > 0.1).mean() < (raw > 0.1).mean()


def test_cost_is_lowest_on_the_plane_of_the_truth() -> None:
    views, truth, _ = _views()
    wall = np.median(truth[20:50, 30:100])
    costs = matching_costs(views[3], [views[0], views[6]], wall * np.array([0.5, 0.8, 1.0, 1.25, 2.0]))
    assert np.median(costs[:, 20:50, 30:100], axis=(1, 2)).argmin() == 2


def test_what_no_neighbour_sees_gets_the_neutral_cost() -> None:
    views, _, _ = _views()
    blind = PosedView(views[0].grey, views[0].K, views[0].world_to_cam, np.zeros(SIZE[::-1], np.float32))
    assert np.all(matching_costs(views[3], [blind], np.array([0.1, 0.2])) == 0.5)


def test_sources_spread_over_the_parallax_and_exclude_the_reference() -> None:
    _, truth, K = _views()
    chosen = choose_sources(SIDEWAYS.cam_to_world, K, 3, float(np.median(truth)), SIZE, 4)
    assert len(set(chosen)) == 4
    assert 3 not in chosen
    focal, depth = K[3, 0, 0], 1 / np.median(truth)
    for frame in chosen:
        baseline = np.linalg.norm(SIDEWAYS.cam_to_world[frame, :3, 3] - SIDEWAYS.cam_to_world[3, :3, 3])
        assert 0.004 < focal * baseline / depth / SIZE[0] < 0.11


def test_rotation_offers_no_source() -> None:
    camera = pan(9, eye=(0, 1.2, 3), start=(-10, 0), end=(10, 0))
    assert choose_sources(camera.cam_to_world, camera.intrinsics(SIZE), 4, 0.2, SIZE, 8) == []


@pytest.mark.parametrize("place", [0.0, 3.3, 7.5, 12.0])
def test_parabola_between_planes(place: float) -> None:
    planes = np.linspace(0, 1.2, 13)
    costs = ((np.arange(13) - place) ** 2).astype(np.float32)[:, None, None]
    assert best_planes(costs, planes)[0, 0] == pytest.approx(place * 0.1, abs=0.011 if place % 1 else 1e-6)


def test_smoothness_carries_depth_over_a_gap_up_to_a_picture_edge() -> None:
    costs = np.full((8, 20, 20), 0.5, np.float32)
    costs[2, :, :4] = 0.0  # known to be on plane 2 at the left, on plane 6 at the right, nothing known between
    costs[6, :, 16:] = 0.0
    grey = np.zeros((20, 20), np.float32)
    grey[:, 7:] = 200.0
    planes = best_planes(semi_global(costs, grey, small=0.05, large=1.0), np.arange(8.0))
    assert np.allclose(planes[:, :6], 2, atol=0.5)
    assert np.allclose(planes[:, 8:], 6, atol=0.5)
