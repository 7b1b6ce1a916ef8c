import numpy as np
import pytest

from extractors.geometry.drawing import draw_pose
from pipeline.animation.driving import DrivingClip
from pipeline.animation.frames import DrivenFrames, body_drawing
from tests.pipeline.animation.driven import FOCAL, NEAR, SIZE, SLIDE, clip, driving


def plane(_: DrivingClip) -> np.ndarray:
    return np.full((16, 16), NEAR, np.float32)


@pytest.mark.parametrize("step", [1, 3])
def test_motion_of_a_plane_past_a_sliding_camera(step: int) -> None:
    """A point of inverse depth d moves by −f · t · d pixels for each t that the camera slides."""
    frames = DrivenFrames(driving(clip(0, 10)), depth=plane, step=step)
    assert len(frames) == -(-10 // step)
    assert frames.fps == 30 / step
    still, valid = frames.motion(0)
    assert valid.all()
    assert not still.any()
    for number in range(1, len(frames)):
        motion, _ = frames.motion(number)
        np.testing.assert_allclose(motion[0], -FOCAL * SLIDE * step * NEAR, rtol=1e-5)
        np.testing.assert_allclose(motion[1], 0, atol=1e-6)


def test_clips_overlap_so_that_motion_goes_on_but_not_over_cuts() -> None:
    """Frames 0–9 and 9–18 share frame 9; a cut lies before frame 19."""
    frames = DrivenFrames(driving(clip(0, 10), clip(9, 10), clip(19, 5)), depth=plane)
    moving = [bool(frames.motion(n)[0].any()) for n in range(len(frames))]
    assert [n for n, moves in enumerate(moving) if not moves] == [0, 19]


def test_each_clip_has_its_own_unit_of_depth() -> None:
    far = clip(9, 10, inverse_depth=np.full((2, 16, 16), NEAR / 4, np.float32))
    frames = DrivenFrames(driving(clip(0, 10), far), depth=lambda c: c.inverse_depth[0])
    np.testing.assert_allclose(frames.motion(5)[0][0] / frames.motion(12)[0][0], 4, rtol=1e-5)


@pytest.mark.parametrize("status", ["static", "unsolved"])
def test_an_unknown_or_resting_camera_moves_nothing(status: str) -> None:
    assert not DrivenFrames(driving(clip(0, 5, camera=status)), depth=plane).motion(3)[0].any()


def test_switches() -> None:
    signals = driving(clip(0, 5))
    assert not DrivenFrames(signals, depth=plane, motion=False).motion(3)[0].any()
    assert not np.any(DrivenFrames(signals, depth=plane, poses=False).drawings(3))
    drawn = DrivenFrames(signals, depth=plane).drawings(3)
    wanted = draw_pose(signals.clips[0].body[3], np.zeros((0, 68, 3)), np.zeros((0, 21, 3)), SIZE)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, wanted, strict=True))
    assert drawn[0].any()


def test_frames_that_no_clip_covers_are_black_and_still() -> None:
    frames = DrivenFrames(driving(clip(0, 3), clip(4, 3)), depth=plane)
    assert not np.any(frames.drawings(3))
    assert not frames.motion(3)[0].any()
    assert frames.picture(3) is None


def test_the_reference_pose() -> None:
    assert not body_drawing(None, SIZE).any()
    assert body_drawing(clip(0, 1).body[0], SIZE).any()
