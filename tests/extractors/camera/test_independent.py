"""What moves by itself is found with the camera still, turning and moving; a camera's own motion never is."""

import cv2
import numpy as np
import pytest

from extractors.camera.independent import independent_motion
from extractors.geometry.rigid import invert, pose
from tests.extractors.camera.test_backend import noisy, turning
from tests.extractors.camera.test_tracks import texture
from tests.extractors.pose.truth import read_frames
from tests.paths import test_data

SIDE, LENGTH, FOCAL = 256, 24, 300.0
WALK = np.stack([np.linspace(-110, 60, LENGTH), 6 * np.cos(np.arange(LENGTH) / 3)], -1)
STILL = np.zeros((LENGTH, 3))
TURN = np.linspace(0, 1, LENGTH)[:, None] * np.array([0.05, 0.3, 0.02])


def walls(centres: np.ndarray) -> np.ndarray:
    """Frames of a camera at `centres` [L, 3] before a far wall and a near pillar that stands before its left third."""
    frames = []
    middle = (SIDE - 1) / 2
    K = np.array([[FOCAL, 0, middle], [0, FOCAL, middle], [0, 0, 1]])
    for centre in centres:
        look = invert(pose(np.eye(3), centre))
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        for depth, left, right, seed in ((8.0, -10.0, 10.0, 1), (4.0, -1.6, -0.8, 2)):
            paint = texture(900, seed)
            to_world = np.array(
                [[(right - left) / 899, 0, left], [0, (right - left) / 899, -(right - left) / 2], [0, 0, 1]]
            )
            project = K @ (look[:3, [0, 1, 3]] + np.outer(look[:3, 2], [0, 0, depth])) @ to_world
            size = (SIDE, SIDE)
            drawn = cv2.warpPerspective(paint, project, size, flags=cv2.INTER_AREA)
            there = cv2.warpPerspective(np.full(paint.shape[:2], 255, np.uint8), project, size) > 127
            picture[there] = drawn[there]
        frames.append(picture)
    return np.stack(frames)


SLIDE = walls(np.linspace(0, 1, LENGTH)[:, None] * np.array([1.2, 0.2, 0.3]))


def with_figure(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A green figure that walks through the picture, and its silhouette bool [L, SIDE, SIDE]."""
    paint, silhouette = texture(SIDE, 5) // 4, np.zeros((SIDE, SIDE), np.uint8)
    paint[..., 1] += 120
    cv2.ellipse(silhouette, (150, 130), (24, 60), 0, 0, 360, 1, -1)
    drawn, masks = frames.copy(), []
    for frame, (x, y) in zip(drawn, WALK, strict=True):
        shift = np.array([[1, 0, x], [0, 1, y]])
        there = cv2.warpAffine(silhouette, shift, (SIDE, SIDE)) > 0
        frame[there] = cv2.warpAffine(paint, shift, (SIDE, SIDE))[there]
        masks.append(there)
    return drawn, np.stack(masks)


SCENES = {
    "still": turning(STILL, np.full(LENGTH, 280.0)),
    "turning": turning(TURN, np.full(LENGTH, 280.0)),
    "moving": SLIDE,
}


@pytest.mark.parametrize("camera", SCENES)
def test_a_figure_is_found(camera: str) -> None:
    frames, truth = with_figure(SCENES[camera])
    found = independent_motion(noisy(frames), (SIDE, SIDE))
    assert (found & truth).sum() > 0.6 * truth.sum()
    assert (found & truth).sum() > 0.7 * found.sum()


@pytest.mark.parametrize("camera", SCENES)
def test_without_a_figure_there_is_none(camera: str) -> None:
    assert not independent_motion(noisy(SCENES[camera]), (64, 64)).any()


def test_pictures_that_cannot_be_tracked_have_none() -> None:
    rng = np.random.default_rng(0)
    assert not independent_motion(np.full((20, 64, 64, 3), 90, np.uint8), (32, 32)).any()
    assert not independent_motion(rng.integers(0, 255, (20, 64, 64, 3), dtype=np.uint8), (32, 32)).any()
    assert independent_motion(SLIDE[:2], (20, 10)).shape == (2, 10, 20)


def test_it_is_the_same_each_time() -> None:
    frames, _ = with_figure(SLIDE)
    assert np.array_equal(independent_motion(frames, (64, 64)), independent_motion(frames, (64, 64)))


@pytest.mark.slow
def test_the_twin_tail_of_an_orbit() -> None:
    """The shot in which the pose network finds no one: only hair is in view."""
    with np.load(test_data("mmd_shots/orbit_background.npz"), allow_pickle=False) as depth:
        difference = depth["inverse_depth_96_mmd"].astype(float) - depth["inverse_depth_96_bg"].astype(float)
    truth = np.abs(difference) > 1e-3
    found = independent_motion(read_frames("mmd_shots/orbit_background_character.mp4"), (96, 96))
    assert (found & truth).sum() > 0.3 * truth.sum()
    assert (found & truth).sum() > 0.9 * found.sum()


EMPTY = (
    *(f"camera_only/{n}.mp4" for n in ("0bf152ef84195293", "0c11dbe781b1c11c", "0c9b371cc6225682", "0f47577ab3441480")),
    "camera_only/0f68374b76390082.mp4",
    "mmd_shots/orbit_background_camera.mp4",
    "mmd_shots/truck_character_camera.mp4",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", EMPTY)
def test_no_figure_in_a_scene_without_one(name: str) -> None:
    assert not independent_motion(read_frames(name), (96, 96)).any()


@pytest.mark.slow
@pytest.mark.parametrize(("start", "stop"), [(0, 84), (84, 169), (169, 225)])
def test_no_figure_in_an_empty_stage(start: int, stop: int) -> None:
    assert not independent_motion(read_frames("mmd_shots/mmd_shots_camera_only.mp4", start, stop), (96, 96)).any()
