"""Cameras that are those of the picture contradict nothing; others do."""

import numpy as np
import pytest

from extractors.camera.contradiction import contradiction
from extractors.camera.result import NOTHING
from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import rotation_from_vector
from schemas.artifacts.camera import CameraArtifact
from tests.extractors.camera.scenes import SIZE, dancer, observe, path, room, together

LENGTH = 30
MOVE = path(LENGTH, np.array([1.5, 0.2, 0.4]), np.array([0.1, -0.3, 0]))
TURN = path(LENGTH, np.zeros(3), np.array([0.1, -0.3, 0.05]))


def cameras(status: str, cam_to_world: np.ndarray, focal: np.ndarray | float = 430.0) -> CameraArtifact:
    lens = np.stack(np.broadcast_arrays(focal, focal, 479.5, 359.5), axis=-1) * [2, 2, 1, 1]
    return CameraArtifact(
        status, cam_to_world, np.broadcast_to(lens, (LENGTH, 4)), (NOTHING,) * LENGTH, focal_source="track"
    )


def seen(cam_to_world: np.ndarray, focal: np.ndarray | float = 430.0) -> Tracks:
    return observe(room(300, 1), cam_to_world, np.broadcast_to(np.asarray(focal), (LENGTH,)), noise=0.1)


FRAME = (2 * SIZE[0], 2 * SIZE[1])


@pytest.mark.parametrize(("status", "truth"), [("moving", MOVE), ("rotation", TURN)])
def test_true_cameras(status: str, truth: np.ndarray) -> None:
    assert contradiction(seen(truth), cameras(status, truth), FRAME) < 0.01


def test_zoom_belongs_to_the_cameras() -> None:
    zoom = 430 * np.linspace(1, 1.4, LENGTH)
    tracks = seen(TURN, zoom)
    assert contradiction(tracks, cameras("rotation", TURN, zoom), FRAME) < 0.01
    assert contradiction(tracks, cameras("rotation", TURN), FRAME) > 0.5


def test_wrong_cameras() -> None:
    still = np.tile(np.eye(4), (LENGTH, 1, 1))
    assert contradiction(seen(MOVE), cameras("static", still), FRAME) > 0.8
    assert contradiction(seen(TURN), cameras("rotation", TURN[::-1]), FRAME) > 0.8
    other = MOVE.copy()
    other[:, :3, :3] = rotation_from_vector(np.linspace(0, 1, LENGTH)[:, None] * np.array([-0.1, 0.3, 0.2]))
    assert contradiction(seen(MOVE), cameras("moving", other), FRAME) > 0.5


def test_a_camera_that_is_said_to_rest_for_a_while() -> None:
    """Between two frames in the same place no point may move, whatever the camera does later."""
    late = MOVE.copy()
    late[:20] = MOVE[0]
    late[20:] = MOVE[:10]
    assert contradiction(seen(late), cameras("moving", late), FRAME) < 0.01
    assert contradiction(seen(MOVE), cameras("moving", late), FRAME) > 0.6


def test_share_of_what_moves_by_itself() -> None:
    tracks = together(seen(TURN), dancer(LENGTH, 100, 1))
    found = contradiction(tracks, cameras("rotation", TURN), FRAME)
    assert 0.15 < found < 0.5


def test_nothing_tracked() -> None:
    empty = Tracks(np.full((LENGTH, 3, 2), np.nan), SIZE)
    assert contradiction(empty, cameras("rotation", TURN), FRAME) == 0.0
