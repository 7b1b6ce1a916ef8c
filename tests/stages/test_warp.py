"""The warp check measures, and the audit site shows, one and the same comparison."""

import cv2
import numpy as np
import pytest

from pipeline.audit.pictures import warp_pictures
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.jpeg import encode_jpeg
from stages.warp import warp_check

SIZE, SHIFT, LENGTH = 256, 6, 5  # pixels; pixels a frame; frames


@pytest.fixture
def clip() -> tuple[FramesArtifact, PoseArtifact, CameraArtifact, SceneMotionArtifact]:
    """A wall, one unit away, that slides through the picture; somebody's mask in the last frame's left quarter."""
    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(0, 256, (40, 60, 3), np.uint8), (SIZE + 60, SIZE), interpolation=cv2.INTER_CUBIC)
    pictures = [np.ascontiguousarray(wall[:, SHIFT * i : SHIFT * i + SIZE]) for i in range(LENGTH)]
    frames = FramesArtifact(
        jpegs=tuple(encode_jpeg(picture, 98) for picture in pictures), timestamps=np.arange(LENGTH) / 30,
        repeated=np.zeros(LENGTH, bool), fps=30.0, size=(SIZE, SIZE), crop=(0.0, 0.0, SIZE, SIZE),
    )  # fmt: skip
    cams = np.tile(np.eye(4), (LENGTH, 1, 1))
    cams[:, 0, 3] = SHIFT * np.arange(LENGTH) / SIZE
    lens = np.tile([SIZE, SIZE, (SIZE - 1) / 2, (SIZE - 1) / 2], (LENGTH, 1)).astype(np.float64)
    none = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    camera = CameraArtifact("moving", cams, lens, (none,) * LENGTH, "manifest")
    mask = np.zeros((LENGTH, 32, 32), bool)
    mask[-1, :, :8] = True
    points = [np.full((LENGTH, 0, count, 3), np.nan, np.float32) for count in (17, 68, 21)]
    grid = (1, LENGTH, 32, 32)
    motion = SceneMotionArtifact(
        references=(1,), frame_step=3, motion=np.zeros((1, LENGTH, 2, 32, 32), np.float16),
        valid=np.ones(grid, bool), inverse_depth=np.ones((1, 32, 32), np.float16),
    )  # fmt: skip
    return frames, PoseArtifact(*points, mask=mask), camera, motion


def test_the_page_s_pictures_show_what_the_figures_measure(
    clip: tuple[FramesArtifact, PoseArtifact, CameraArtifact, SceneMotionArtifact],
) -> None:
    frames, pose, camera, motion = clip
    figures = warp_check(frames, pose.mask, camera, motion.references, motion.inverse_depth.astype(np.float32), 3)
    assert figures["warp_error"] < 0.1 * figures["still_error"]
    (shown,) = warp_pictures(frames, pose, camera, motion)
    assert (shown.first, shown.second) == (1, 4)
    compared = (shown.after != 110).any(-1)  # what is not compared is grey
    assert 0.5 < compared.mean() < 0.95
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(float) for p in (shown.reference, shown.other, shown.warped)]
    assert np.abs(grey[2] - grey[0])[compared].mean() == pytest.approx(figures["warp_error"], abs=0.5)
    assert np.abs(grey[1] - grey[0])[compared].mean() == pytest.approx(figures["still_error"], rel=0.05)
