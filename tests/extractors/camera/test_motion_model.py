"""A still camera is one whatever moves before it; captions do not make a moving one still."""

import numpy as np

from extractors.camera.motion_model import stillness
from extractors.camera.tracks import Tracks
from tests.extractors.camera.scenes import SIZE, dancer, observe, path, room, together


def still_scene(length: int, count: int) -> Tracks:
    return observe(room(count, 1), path(length, np.zeros(3), np.zeros(3)), np.full(length, 500.0), noise=0.05)


def test_still_camera() -> None:
    found = stillness(still_scene(60, 300))
    assert found.static
    assert found.share == 1.0
    assert found.coverage == 1.0


def test_still_camera_with_more_moving_than_still_points() -> None:
    assert stillness(together(still_scene(60, 150), dancer(60, 180, 2))).static


def test_caption_over_a_moving_camera() -> None:
    moving = observe(room(400, 3), path(60, np.array([1.0, 0, 0]), np.zeros(3)), np.full(60, 500.0))
    caption = np.random.default_rng(0).uniform((150, 320), (330, 350), (60, 2))
    logo = Tracks(np.repeat(caption[None], 60, axis=0), SIZE)
    found = stillness(together(moving, logo))
    assert found.linked
    assert not found.static


def test_slow_zoom_is_not_still() -> None:
    cameras = path(80, np.zeros(3), np.zeros(3))
    assert not stillness(observe(room(400, 4), cameras, 500 * np.linspace(1, 1.02, 80))).static


def test_nothing_tracked_is_not_still() -> None:
    assert not stillness(Tracks(np.full((20, 5, 2), np.nan), SIZE)).static
