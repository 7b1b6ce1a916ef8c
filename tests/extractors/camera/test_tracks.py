"""Tracks follow a picture that moves by a known map, keep off the mask, and are the same each time."""

import cv2
import numpy as np
import pytest

from extractors.camera.tracks import track_points, working_pictures


def texture(size: int, seed: int = 0) -> np.ndarray:
    """Blotches of several sizes, uint8 RGB [size, size, 3]."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.random((size // step, size // step)), (size, size)) for step in (6, 12, 30)]
    picture = np.sum(layers, axis=0)
    picture = (picture - picture.min()) / np.ptp(picture)
    return np.repeat((255 * picture).astype(np.uint8)[..., None], 3, axis=2)


def clip(maps: list[np.ndarray], size: int = 240) -> np.ndarray:
    """The texture seen through homographies [3, 3] from its pixels to each frame's."""
    source = texture(size)
    return np.stack(
        [
            cv2.warpPerspective(source, h, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            for h in maps
        ]
    )


def moves(length: int) -> list[np.ndarray]:
    """A turn about the middle with a slow zoom and shift."""
    maps = []
    for n in range(length):
        turn = cv2.getRotationMatrix2D((120, 120), 0.7 * n, 1 + 0.004 * n)
        maps.append(np.vstack([turn, [0, 0, 1]]) @ np.array([[1, 0, 1.3 * n], [0, 1, -0.6 * n], [0, 0, 1.0]]))
    return maps


def test_tracks_follow_the_map() -> None:
    maps = moves(24)
    frames = clip(maps)
    greys, masks, scale = working_pictures(frames, np.zeros((24, 30, 30), bool), 640)
    assert scale == 1.0
    tracks = track_points(greys, masks, live=150)
    errors = []
    for column in np.flatnonzero(tracks.seen.sum(axis=0) >= 10):
        rows = np.flatnonzero(tracks.seen[:, column])
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))
        start = np.linalg.inv(maps[rows[0]]) @ [*tracks.xy[rows[0], column], 1.0]
        end = maps[rows[-1]] @ start
        point = start[:2] / start[2]
        if (point > 8).all() and (point < 231).all():  # beyond lies the mirrored border
            errors.append(np.linalg.norm(end[:2] / end[2] - tracks.xy[rows[-1], column]))
    assert len(errors) > 80
    assert np.median(errors) < 0.2
    assert np.quantile(errors, 0.9) < 0.6


def test_no_point_on_the_mask() -> None:
    mask = np.zeros((12, 60, 60), bool)
    mask[:, 20:40, 20:40] = True
    greys, masks, _ = working_pictures(clip(moves(12)), mask, 640)
    assert masks[0, 80:160, 80:160].all()
    tracks = track_points(greys, masks, live=150)
    x, y = np.rint(tracks.xy[tracks.seen]).astype(int).T
    frame = np.nonzero(tracks.seen)[0]
    assert len(x) > 500
    assert not masks[frame, y, x].any()


def test_large_pictures_are_scaled_down() -> None:
    greys, masks, scale = working_pictures(np.zeros((2, 300, 600, 3), np.uint8), np.ones((2, 10, 20), bool), 150)
    assert greys[0].shape == (75, 150)
    assert masks.shape == (2, 75, 150)
    assert masks.all()
    assert scale == pytest.approx(0.25)


def test_same_frames_same_tracks() -> None:
    greys, masks, _ = working_pictures(clip(moves(8)), np.zeros((8, 30, 30), bool), 640)
    first, second = (track_points(greys, masks, live=100).xy for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_flat_pictures_have_no_tracks() -> None:
    greys, masks, _ = working_pictures(np.full((4, 64, 64, 3), 90, np.uint8), np.zeros((4, 8, 8), bool), 640)
    assert track_points(greys, masks, live=50).xy.shape == (4, 0, 2)
