"""The rendered truth against independent arithmetic: spheres and planes in closed form, and the pictures themselves."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.demo.camera import CameraPath, cut, keyed_path, orbit, pan, static
from pipeline.demo.character import Character, Solid
from pipeline.demo.raster import Body, View, cast
from pipeline.demo.scene import hall, terrace
from pipeline.demo.shot import ShotTruth, render_shot

CENTRE = (0.0, 0.95, 0.0)


def _view(size: int = 64, focal: float = 60.0) -> View:
    pose = np.diag([1.0, -1.0, -1.0, 1.0])  # at the origin, looks along −z, up is up
    K = np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1.0]])
    return View(pose, K, np.arange(size, dtype=float), np.arange(size, dtype=float))


def _solid(to_world: np.ndarray, quadric: tuple[float, float, float], low: float, high: float) -> Solid:
    return Solid(to_world, quadric, low, high, np.array([[-1.0] * 3, [1.0] * 3]), (200, 200, 200), 1)


def test_sphere_depth_is_the_closed_form() -> None:
    view, radius, centre = _view(), 0.3, np.array([0.2, 0.1, -2.0])
    to_world = np.diag([radius, radius, radius, 1.0])
    to_world[:3, 3] = centre
    scene = hall()
    hits = cast(view, scene, Body([_solid(to_world, (1.0, 0.0, -1.0), -2.0, 2.0)]))
    u, v = np.meshgrid(view.us, view.vs)
    ray = np.stack([(u - 31.5) / 60, -(v - 31.5) / 60, -np.ones_like(u)], -1)
    unit = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    along = unit @ centre
    inside = along**2 - centre @ centre + radius**2
    on_ball = hits.surface == len(scene.origin)
    assert np.array_equal(on_ball, inside > 0)
    distance = along - np.sqrt(np.maximum(inside, 0))
    np.testing.assert_allclose(hits.inverse_depth[on_ball], (1 / (distance * -unit[..., 2]))[on_ball], rtol=1e-5)


def test_open_cylinder_shows_its_inner_side_through_the_opening() -> None:
    to_world = np.diag([0.5, 1.0, 0.5, 1.0])
    to_world[:3, 3] = 0, -1.4, -2.0  # from y = −1.4 to −0.4: the camera, at y = 0, looks over its rim
    view = _view()
    scene = hall()
    hits = cast(view, scene, Body([_solid(to_world, (0.0, 0.0, -1.0), 0.0, 1.0)]))
    shown = hits.surface == len(scene.origin)
    rows, columns = np.nonzero(shown)
    depth = 1 / hits.inverse_depth[shown]
    points = np.stack([(columns - 31.5) / 60 * depth, -(rows - 31.5) / 60 * depth, -depth], -1)
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 2] + 2), 0.5, atol=1e-4)
    assert (points[:, 2] < -2).any()
    assert (points[:, 2] > -2).any()
    assert points[:, 1].max() <= -0.4 + 1e-6
    assert points[:, 1].min() >= -1.4 - 1e-6


def test_hall_is_as_large_as_it_says() -> None:
    _, truth = render_shot(static(1, eye=(0.3, 1.4, 3.0), target=CENTRE), hall(), size=(96, 64))
    K, pose = truth.K[0], truth.cam_to_world[0]
    u, v = np.meshgrid((np.arange(12) + 0.5) * 8 - 0.5, (np.arange(8) + 0.5) * 8 - 0.5)
    z = 1 / truth.inverse_depth[0]
    camera = np.stack([(u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z], -1)
    world = camera @ pose[:3, :3].T + pose[:3, 3]
    assert np.abs(world[..., 0]).max() <= 5.5 + 1e-3
    assert world[..., 1].min() == pytest.approx(0, abs=1e-4)
    assert world[..., 2].min() == pytest.approx(-5, abs=0.05)
    assert world[..., 1].max() <= 4.2 + 1e-3


@pytest.mark.parametrize("camera", [
    orbit(5, centre=CENTRE, radius=3.0, height=1.3, degrees=8),
    keyed_path(5, eye=[(0, 1.2, 3), (0.3, 1.3, 2.5)], target=[CENTRE], roll=(0, 0.1), focal=(1.0, 1.15)),
    pan(5, eye=(0, 1.2, 3), start=(-3, 0), end=(3, -2), roll=(0, 0.1)),
])  # fmt: skip
def test_the_next_picture_is_this_one_moved_by_depth_and_cameras(camera: CameraPath) -> None:
    frames, truth = render_shot(camera, hall(), size=(256, 192), full_depth_frames=(4,))
    depth = 1 / truth.inverse_depth_full[0].astype(float)
    height, width = depth.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    points = (np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(truth.K[4]).T) * depth[..., None]
    move = np.linalg.inv(truth.cam_to_world[0]) @ truth.cam_to_world[4]
    seen = (points @ move[:3, :3].T + move[:3, 3]) @ truth.K[0].T
    x, y = (seen[..., i] / seen[..., 2] for i in (0, 1))
    inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
    warped = cv2.remap(frames[0], x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR).astype(float)
    error = np.abs(warped - frames[4]).mean(-1)[inside]
    unmoved = np.abs(frames[0].astype(float) - frames[4]).mean(-1)[inside]
    assert inside.mean() > 0.7
    assert np.median(error) < 6
    assert np.median(error) < 0.35 * np.median(unmoved)


def test_keypoints_are_projections_and_seen_ones_lie_on_the_character() -> None:
    camera = orbit(6, centre=CENTRE, radius=2.6, height=1.2, degrees=90, start=-45)
    _, truth = render_shot(camera, hall(), Character(seed=3), size=(192, 192))
    for index in range(6):
        world = np.concatenate([truth.keypoints_world[index], np.ones((17, 1))], 1)
        image = (world @ np.linalg.inv(truth.cam_to_world[index]).T)[:, :3] @ truth.K[index].T
        np.testing.assert_allclose(image[:, :2] / image[:, 2:], truth.keypoints[index, :, :2], atol=1e-6)
        x, y = np.rint(truth.keypoints[index, :, :2]).astype(int).T
        seen = truth.keypoints[index, :, 2] == 2
        assert truth.mask[index, y[seen], x[seen]].mean() > 0.9
        assert seen.sum() >= 10
    covers = np.abs(truth.inverse_depth - truth.inverse_depth_background) > 0
    cells = truth.mask.reshape(6, 24, 8, 24, 8).mean((2, 4))
    assert (covers[cells == 1]).all()
    assert not (covers[cells == 0]).any()


def test_bones_keep_their_lengths_while_dancing() -> None:
    points = np.stack([Character(seed=2).at(t).keypoints() for t in np.linspace(0, 8, 60)])
    for first, second, length in (
        (5, 7, 0.27),
        (7, 9, 0.25),
        (11, 13, 0.43),
        (13, 15, 0.42),
        (6, 8, 0.27),
        (14, 16, 0.42),
    ):
        np.testing.assert_allclose(np.linalg.norm(points[:, first] - points[:, second], axis=1), length, rtol=1e-6)
    assert np.linalg.norm(np.diff(points, axis=0), axis=2).max() < 0.5
    assert np.ptp(points[:, 9], axis=0).max() > 0.3


def test_sky_has_no_nearness_and_a_static_camera_repeats_itself() -> None:
    camera = cut(static(2, eye=(0, 1.5, 3), target=(0, 2.6, 0)), pan(2, eye=(0, 1.5, 3), start=(0, 0), end=(5, 0)))
    frames, truth = render_shot(camera, terrace(), size=(128, 96))
    assert truth.shot_starts.tolist() == [0, 2]
    assert (truth.inverse_depth[0, 0] == 0).all()
    assert (truth.inverse_depth[0] > 0).any()
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(truth.cam_to_world[0], truth.cam_to_world[1])
    assert not np.array_equal(frames[2], frames[3])


def test_same_arguments_same_bits_and_truth_survives_its_file(tmp_path: Path) -> None:
    camera = orbit(3, centre=CENTRE, radius=2.6, height=1.2, degrees=20)
    once, truth = render_shot(camera, terrace(), Character(), size=(96, 96), full_depth_frames=(1,))
    again, _ = render_shot(camera, terrace(), Character(), size=(96, 96), full_depth_frames=(1,))
    assert np.array_equal(once, again)
    truth.save(tmp_path / "truth.npz")
    loaded = ShotTruth.load(tmp_path / "truth.npz")
    for name, value in vars(truth).items():
        np.testing.assert_array_equal(getattr(loaded, name), value, err_msg=name)


def test_a_small_shot_renders_in_well_under_a_second() -> None:
    scene = hall()
    start = time.process_time()
    frames, _ = render_shot(
        orbit(10, centre=CENTRE, radius=2.6, height=1.2, degrees=20), scene, Character(), size=(128, 128)
    )
    assert frames.shape == (10, 128, 128, 3)
    assert time.process_time() - start < 2


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="100 × 64 pixels; both sides must be multiples of 8"):
        render_shot(static(1, eye=(0, 1, 3), target=CENTRE), hall(), size=(100, 64))
