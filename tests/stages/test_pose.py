"""The pose stage: artifact and header by the schema, nobody where nobody is, clear errors."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from extractors.pose.mediapipe import empty
from extractors.pose.mediapipe_files import ensure_files
from extractors.protocols import ExtractionError, PoseResult
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from stages.base import StageError
from stages.jpeg import encode_jpeg
from stages.pose import PoseConfig, PoseStage, masked_by_motion
from tests.extractors.camera.test_independent import SLIDE, with_figure
from tests.extractors.pose.truth import read_frames


@pytest.fixture(scope="module")
def stage():
    try:
        ensure_files()
    except ExtractionError as error:
        pytest.skip(str(error))
    return PoseStage(PoseConfig())


def run(stage, pictures, kind="character"):
    name = clip_id("0123456789abcdef", 0, len(pictures))
    clip = Clip(name, "0123456789abcdef", kind, "train", 0, len(pictures), (16, 1), 0.0, "unused.mp4")
    size = (pictures.shape[2], pictures.shape[1])
    frames = FramesArtifact(
        jpegs=tuple(encode_jpeg(picture) for picture in pictures),
        timestamps=np.arange(len(pictures)) / 16,
        repeated=np.zeros(len(pictures), bool),
        fps=16.0,
        size=size,
        crop=(0.0, 0.0, *map(float, size)),
    )
    return clip, frames, {"decode": frames.to_table(Header("decode", name))}


def test_a_walker_is_found(stage):
    clip, _, inputs = run(stage, read_frames("dance/walking_16fps_1280x720.mp4", 0, 6))
    table = stage.run(clip, inputs)
    pose, header = PoseArtifact.from_table(table), read_header(table, "pose")
    assert header.status == "ok"
    assert header.clip_id == clip.clip_id
    assert pose.body.shape == (6, 1, 17, 3)
    assert pose.mask.shape == (6, 144, 256)
    nose, ankle = pose.body[:, 0, 0], pose.body[:, 0, 15]
    assert (nose[:, 1] < ankle[:, 1]).all()
    assert 0.02 < pose.mask.mean() < 0.3
    assert header.quality["person_frames"] == 1.0
    assert 0 < header.quality["blur"] <= header.quality["blur_worst"] < 1
    assert "mask_from_motion" not in header.quality


def test_an_empty_camera_clip_has_nobody(stage):
    noise = np.random.default_rng(0).integers(0, 255, (1, 12, 16, 3), dtype=np.uint8)
    pictures = np.repeat(noise.repeat(16, 1).repeat(16, 2), 3, axis=0)
    clip, _, inputs = run(stage, pictures, "camera")
    table = stage.run(clip, inputs)
    assert read_header(table).status == "no_person"
    assert read_header(table).quality["mask_from_motion"] == 0
    assert not PoseArtifact.from_table(table).mask.any()


def test_where_nobody_is_found_what_moves_by_itself_is_masked():
    pictures, figure = with_figure(SLIDE)
    rows = np.arange(2 * len(pictures)) // 2  # a video at half the rate of its file
    found = PoseResult(empty(len(rows), (64, 64)), "no_person", {"persons": 0.0})
    made = masked_by_motion(found, pictures[rows], np.r_[False, rows[1:] == rows[:-1]])
    small = np.stack([cv2.resize(f.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA) > 0.5 for f in figure])
    assert made.status == "no_keypoints"
    assert (made.pose.mask & small[rows]).sum() > 0.5 * small[rows].sum()
    assert np.array_equal(made.pose.mask[::2], made.pose.mask[1::2])
    assert made.quality["mask_from_motion"] == made.pose.mask.any(axis=(1, 2)).mean() > 0.5
    assert np.isnan(made.pose.body[..., :2]).all()
    assert not found.pose.mask.any()
    alone = masked_by_motion(found, SLIDE[rows], np.zeros(len(rows), bool))
    assert not alone.pose.mask.any()
    assert alone.status == "no_person"


def test_errors_name_the_cause(stage):
    clip, frames, _ = run(stage, np.zeros((2, 32, 48, 3), np.uint8))
    broken = replace(frames, jpegs=(frames.jpegs[0], b"no picture"))
    with pytest.raises(StageError, match="frame 1"):
        stage.run(clip, {"decode": broken.to_table(Header("decode", clip.clip_id))})
    none = replace(frames, jpegs=(), timestamps=np.zeros(0), repeated=np.zeros(0, bool))
    with pytest.raises(StageError, match="no frames"):
        stage.run(clip, {"decode": none.to_table(Header("decode", clip.clip_id))})


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="joint_scor"):
        PoseConfig.model_validate({"backend": {"backend": "mediapipe", "joint_scor": 0.2}})
