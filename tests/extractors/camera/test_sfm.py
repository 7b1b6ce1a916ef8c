"""The solver in its process: exact scenes come back, failures stay outside."""

import numpy as np
import pytest

from extractors.camera.choose import weigh
from extractors.camera.search import Search
from extractors.camera.sfm import Mapper, Solver, SolverError
from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import rotation_angle
from extractors.geometry.trajectory import absolute_trajectory_error, path_length
from extractors.protocols import ExtractionError
from tests.extractors.camera.scenes import SIZE, dancer, observe, path, room, together

LENGTH = 24
KEYS = np.r_[np.arange(0, LENGTH, 3), LENGTH - 1]
CAMERAS = path(LENGTH, np.array([2.0, -0.4, 0.6]), np.array([0.05, -0.35, 0.02]))


def solver(**changes: float) -> Solver:
    return Solver(**({"noise": 0.5, "cpu_s": 60, "hang_s": 300.0} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("mapper", ["global", "incremental"])
def test_camera_and_focal_length_are_recovered(mapper: Mapper) -> None:
    scene = observe(room(360, 1), CAMERAS, np.full(LENGTH, 430.0), noise=0.1)
    found = solver().map(together(scene, dancer(LENGTH, 40, 1)), KEYS, mapper, 350.0, fix_focal=False)
    error = absolute_trajectory_error(found.cam_to_world, CAMERAS)
    assert error.rmse < 0.005 * path_length(CAMERAS)
    turned = np.swapaxes(found.cam_to_world[0, :3, :3].T @ found.cam_to_world[:, :3, :3], -1, -2) @ CAMERAS[:, :3, :3]
    assert np.degrees(rotation_angle(turned).max()) < 0.2
    assert found.focal == pytest.approx(np.full(LENGTH, 430.0), rel=0.01)
    assert found.registered == 1.0
    assert weigh(found).believable
    count = scene.xy.shape[1]
    assert found.used[:, :count].sum() > 0.99 * scene.seen.sum()
    assert found.used[:, count:].mean() < 0.5  # the dancer is not part of the scene


def test_zoom_is_followed_frame_by_frame() -> None:
    zoom = np.linspace(1.0, 1.15, LENGTH)
    scene = observe(room(360, 2), CAMERAS, 430 * zoom, noise=0.05)
    first = solver().map(scene, KEYS, "global", 430.0, fix_focal=False)
    found = solver().refine(first, "free", free_zoom=True, rounds=2)
    assert weigh(first).error > 0.1
    assert weigh(found).error == pytest.approx(0.05 * np.sqrt(2) * 512 / SIZE[0], rel=0.1)  # the noise alone
    assert found.focal / found.focal[0] == pytest.approx(zoom, rel=0.01)


def test_same_job_same_bytes() -> None:
    scene = observe(room(200, 3), CAMERAS, np.full(LENGTH, 430.0), noise=0.2)
    first, second = (solver().map(scene, KEYS, "global", 430.0, fix_focal=False) for _ in range(2))
    for name in ("world_to_cam", "focal", "points", "used"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_no_model_is_an_error_with_the_reason() -> None:
    noise = Tracks(np.random.default_rng(0).uniform(0, 300, (LENGTH, 60, 2)), SIZE)
    with pytest.raises(SolverError, match=r"no model|not finite|ended with code"):
        solver().map(noise, KEYS, "incremental", 430.0, fix_focal=False)


def test_dead_process_is_an_error_with_its_code() -> None:
    scene = observe(room(4000, 4), CAMERAS, np.full(LENGTH, 430.0))
    with pytest.raises(SolverError, match="ended with code -9"):
        solver(cpu_s=1).map(scene, np.arange(LENGTH), "incremental", 430.0, fix_focal=False)


def test_search_without_a_living_solver_says_so() -> None:
    scene = observe(room(100, 4), CAMERAS, np.full(LENGTH, 430.0))
    search = Search(solver(hang_s=0.01), focal=430.0, known=True, key_step=3, zoom=None)
    with pytest.raises(ExtractionError, match=r"could not run in any of 2 attempts .*no answer within"):
        search.run(scene)


def test_tracks_of_noise_are_no_scene() -> None:
    noise = Tracks(np.random.default_rng(0).uniform(0, 300, (LENGTH, 60, 2)), SIZE)
    assert Search(solver(), focal=430.0, known=True, key_step=3, zoom=None).run(noise).best is None


def test_hanging_process_is_ended() -> None:
    scene = observe(room(100, 5), CAMERAS, np.full(LENGTH, 430.0))
    with pytest.raises(SolverError, match="no answer within"):
        solver(hang_s=0.01).map(scene, KEYS, "global", 430.0, fix_focal=False)
