"""The window that follows the character, on made scenes whose character's place is known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.decode import DecodeConfig, DecodeStage
from stages.video.follow import own_motion, place_window
from tests.stages.test_decode import X264, ingest
from tests.stages.video.media import encode, whole_clip
from tests.stages.video.test_cuts import stage_of


def scene(centre: float, *, pan: float, width: int = 256, height: int = 144, frames: int = 40) -> np.ndarray:
    """A dancer around `centre` (share of the width) before a textured stage, filmed by a panning camera (pixels)."""
    world = stage_of(7)
    pictures = []
    for i in range(frames):
        picture = world[150 : 150 + height, 100 + round(pan * i) : 100 + round(pan * i) + width].copy()
        x = round(centre * width + 8 * np.sin(0.8 * i))
        cv2.ellipse(picture, (x, height // 2 + 20), (12, 34), 5.0 * np.sin(i), 0, 360, (210, 60, 90), -1)
        cv2.circle(picture, (x, height // 2 - 24), 10, (240, 220, 200), -1)
        pictures.append(picture)
    return np.stack(pictures)


@pytest.mark.parametrize("centre", [0.15, 0.35, 0.5, 0.8])
@pytest.mark.parametrize("pan", [0.0, 2.0])
def test_the_window_holds_the_dancer(centre: float, pan: float) -> None:
    window, share = place_window(own_motion(scene(centre, pan=pan)), 1280, 720, (768, 768))
    assert (window.width, window.height, window.y) == (720.0, 720.0, 0.0)
    dancer = centre * 1280
    assert window.x + 90 <= dancer or window.x == 0.0
    assert dancer <= window.x + 630 or window.x == 560.0
    assert window.x <= dancer - 60
    assert dancer + 60 <= window.x + 720
    assert share > 0.9


def test_nothing_that_moves_gives_the_middle() -> None:
    still = np.repeat(scene(0.2, pan=0, frames=1), 20, axis=0)
    window, share = place_window(own_motion(still), 1280, 720, (768, 768))
    assert (window.x, window.y, share) == (280.0, 0.0, 1.0)


def test_a_camera_alone_gives_no_character() -> None:
    """A pan over a flat stage: the homography explains it all."""
    world = stage_of(3)
    pan = np.stack([world[100:244, 60 + 3 * i : 316 + 3 * i] for i in range(40)])
    dancing = own_motion(scene(0.3, pan=3.0))
    assert np.count_nonzero(own_motion(pan) > 0) < 0.02 * np.count_nonzero(dancing > 0)


def test_the_stage_records_the_window_it_took(tmp_path: Path) -> None:
    path = encode(tmp_path / "wide.mp4", list(scene(0.2, pan=1.0)), arguments=X264)
    clip = whole_clip(path, ingest(path))
    first, second = (DecodeStage(DecodeConfig(size=64, fit="follow")).run(clip, {}) for _ in range(2))
    assert first.equals(second, check_metadata=True)
    from schemas.artifacts.frames import FramesArtifact
    from schemas.artifacts.header import read_header

    x, y, width, height = FramesArtifact.from_table(first).crop
    assert (y, width, height) == (0.0, 144.0, 144.0)
    assert x < 0.2 * 256 - 12
    assert read_header(first).quality["followed_share"] > 0.9
