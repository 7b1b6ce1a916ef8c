"""Evidence about reconstructions, against values worked out another way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from extractors.camera.choose import disagreement, focal_deviation, parallax, weigh
from extractors.camera.search import mirror, smooth_focal, without_zoom
from extractors.camera.sfm import Solution
from extractors.geometry.rigid import invert, rotation_from_vector
from tests.extractors.camera.scenes import observe, path, room


def exact(cameras: np.ndarray, points: np.ndarray, focal: float, noise: float = 0.0) -> Solution:
    """The true solution of tracks with noise (pixels); only points seen in three frames or more."""
    marked = observe(points, cameras, np.full(len(cameras), focal), noise=noise, seed=5)
    clean = observe(points, cameras, np.full(len(cameras), focal))
    world = invert(cameras)
    centre = (np.array(clean.size) - 1) / 2
    found = np.full((clean.xy.shape[1], 3), np.nan)
    for column in range(len(found)):
        frame = int(clean.seen[:, column].argmax())
        local = np.einsum("ij,nj->ni", world[frame, :3, :3], points) + world[frame, :3, 3]
        projected = focal * local[:, :2] / local[:, 2:] + centre
        found[column] = points[np.linalg.norm(projected - clean.xy[frame, column], axis=1).argmin()]
    tracks = marked if noise and marked.xy.shape == clean.xy.shape else clean
    return Solution("exact", tracks, world, np.full(len(cameras), focal), found, tracks.seen, 1.0)


def test_exact_solution_is_convincing() -> None:
    solution = exact(path(20, np.array([2.0, 0, 0]), np.array([0, -0.3, 0])), room(200, 1), 400.0)
    evidence = weigh(solution)
    assert evidence.convincing
    assert evidence.explained == 1.0
    assert evidence.loss == pytest.approx(0, abs=1e-9)


def test_parallax_of_a_point_seen_from_two_sides() -> None:
    cameras = np.tile(np.eye(4), (3, 1, 1))
    cameras[:, 0, 3] = -1, 0, 1
    solution = exact(cameras, np.array([[0, 0, 4.0]]), 300.0)
    assert parallax(solution) == pytest.approx(2 * np.degrees(np.arctan2(1, 4)))


def test_solution_that_explains_half_is_not_believed() -> None:
    solution = exact(path(20, np.array([2.0, 0, 0]), np.zeros(3)), room(200, 2), 400.0)
    half = solution.used.copy()
    half[:, ::2] = False
    half[:, :9] = False
    assert not weigh(replace(solution, used=half)).believable


def test_solution_with_frames_that_the_mapper_left_out_is_not_believed() -> None:
    solution = exact(path(20, np.array([2.0, 0, 0]), np.array([0, -0.3, 0])), room(200, 2), 400.0)
    assert weigh(solution).believable
    assert not weigh(replace(solution, registered=0.85)).believable


def test_trembling_path_is_not_believed() -> None:
    solution = exact(path(20, np.array([1.0, 0, 0]), np.zeros(3)), room(200, 3), 400.0)
    shaken = solution.world_to_cam.copy()
    shaken[::2, 1, 3] += 0.2
    assert weigh(replace(solution, world_to_cam=shaken)).roughness > 1


def test_disagreement_ignores_the_world_and_sees_the_turn() -> None:
    cameras = path(15, np.array([1.0, 0.5, 0]), np.array([0, 0.2, 0]))
    solution = exact(cameras, room(60, 4), 400.0)
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = rotation_from_vector(np.array([0.3, -1.0, 0.5])), (4, 5, 6)
    elsewhere = moved @ cameras
    elsewhere[:, :3, 3] *= 7
    assert disagreement(replace(solution, world_to_cam=invert(elsewhere)), solution) == pytest.approx((0, 0), abs=1e-6)
    other = path(15, np.array([1.0, 0.5, 0]), np.array([0, 0.3, 0]))
    turn, shift = disagreement(replace(solution, world_to_cam=invert(other)), solution)
    assert turn == pytest.approx(np.degrees(0.1), rel=1e-6)
    assert shift == pytest.approx(0, abs=1e-6)


def test_focal_deviation_against_the_full_normal_equations() -> None:
    cameras = path(6, np.array([1.5, -0.3, 0.4]), np.array([0.1, -0.3, 0.05]))
    solution = exact(cameras, room(24, 5), 400.0, noise=0.3)
    frame, column = np.nonzero(solution.used & (solution.used.sum(axis=0) >= 5))
    kept = np.unique(column)
    place = np.searchsorted(kept, column)
    length, count = len(cameras), len(kept)

    def predict(x: np.ndarray) -> np.ndarray:
        small, points = x[1 : 1 + 6 * length].reshape(length, 6), x[1 + 6 * length :].reshape(count, 3)
        rotation = rotation_from_vector(small[:, :3]) @ solution.world_to_cam[:, :3, :3]
        local = np.einsum("pij,pj->pi", rotation[frame], points[place])
        local = local + solution.world_to_cam[frame, :3, 3] + small[frame, 3:]
        return (np.exp(x[0]) * local[:, :2] / local[:, 2:]).ravel()

    x = np.concatenate([[np.log(400.0)], np.zeros(6 * length), solution.points[kept].ravel()])
    jacobian = approx_fprime(x, predict, 1e-7)
    covariance = np.linalg.pinv(jacobian.T @ jacobian, rcond=1e-10)
    sigma = np.median(solution.errors()[frame, column]) / np.sqrt(2 * np.log(2))
    correlated = max(1.0, len(frame) / count / 2)
    assert focal_deviation(solution) == pytest.approx(np.sqrt(covariance[0, 0] * correlated) * sigma, rel=0.02)


def test_focal_length_of_a_dolly_is_not_observed() -> None:
    solution = exact(path(20, np.array([0.3, 0, 1.5]), np.zeros(3)), room(200, 6), 400.0, noise=0.2)
    assert focal_deviation(solution) > 0.2
    turning = exact(path(20, np.array([2.0, 0, 0.5]), np.array([0, -0.5, 0])), room(200, 6), 400.0, noise=0.2)
    assert focal_deviation(turning) < 0.02


def test_mirrored_scene_gives_the_same_pictures_from_far_away() -> None:
    far = room(80, 7) * [1, 1, 0.3] + [0, 0, 800.0]
    turn = path(12, np.zeros(3), np.array([0.1, 0.4, 0]))[:, :3, :3]
    middle = far.mean(axis=0)
    cameras = np.tile(np.eye(4), (12, 1, 1))
    cameras[:, :3, :3], cameras[:, :3, 3] = turn, middle - turn @ [0, 0, 800.0]
    solution = exact(cameras, far, 40_000.0)
    twin = mirror(solution)
    points = solution.in_cameras()[0]  # the twin's world has the axes of the first camera
    centre = np.nanmedian(points, axis=0)
    flipped = replace(twin, points=(points - centre) * [1, 1, -1] + centre)
    assert np.nanmax(flipped.errors()) < 4  # pixels, of a motion of hundreds
    assert disagreement(solution, twin)[0] > 20


def test_zoom_undone_is_as_if_it_had_not_been() -> None:
    cameras, zoom = path(20, np.array([1.0, 0, 0]), np.array([0, -0.2, 0])), np.linspace(1, 1.2, 20)
    zoomed = observe(room(150, 8), cameras, 400 * zoom)
    plain = exact(cameras, room(150, 8), 400.0)
    for undone in without_zoom(zoomed, zoom).xy.transpose(1, 0, 2)[:20]:
        gap = np.abs(plain.tracks.xy - undone[:, None]).max(axis=2)
        assert np.nanmin(gap[np.isfinite(undone[:, 0])], axis=1).max() < 1e-9


def test_smoothing_keeps_a_zoom_and_drops_noise() -> None:
    true = 800 * np.exp(0.15 * np.sin(np.linspace(0, 1.5, 85)))
    noisy = true * np.exp(np.random.default_rng(0).normal(0, 0.004, 85))
    assert smooth_focal(noisy) == pytest.approx(true, rel=0.005)
    assert smooth_focal(np.array([3.0, 4.0, 5.0])) == pytest.approx([4, 4, 4])
