"""Artifacts: tables give back what went in, and refuse what does not fit."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import HEADER_KEY, ArtifactError, Header, npy_array, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact, StylePair

HEADER = Header("any", "clip", quality={"figure": 1.5})


@settings(max_examples=20)
@given(
    length=st.integers(1, 5), persons=st.integers(0, 3), width=st.integers(1, 19), height=st.integers(1, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_pose(length: int, persons: int, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(length, n, k, 3)).astype(np.float32) for n, k in ((persons, 17), (1, 68), (2, 21))]
    if persons:
        parts[0][0, 0, 0] = (np.nan, np.nan, 0)
    pose = PoseArtifact(parts[0], parts[1], parts[2], rng.random((length, height, width)) > 0.5)
    back = PoseArtifact.from_table(pose.to_table(HEADER))
    for name in ("face", "hand", "mask"):
        np.testing.assert_array_equal(getattr(back, name), getattr(pose, name))
    np.testing.assert_array_equal(back.body.reshape(pose.body.shape), pose.body)


def test_camera() -> None:
    rng = np.random.default_rng(0)
    sparse = tuple(
        SparseDepth(rng.random((n, 2)).astype(np.float32), rng.random(n).astype(np.float32)) for n in (0, 3, 1)
    )
    camera = CameraArtifact("moving", rng.random((3, 4, 4)), rng.random((3, 4)), sparse, "reconstruction")
    table = camera.to_table(HEADER)
    back = CameraArtifact.from_table(table)
    np.testing.assert_array_equal(back.cam_to_world, camera.cam_to_world)
    np.testing.assert_array_equal(back.intrinsics, camera.intrinsics)
    for a, b in zip(back.sparse, sparse, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)
        np.testing.assert_array_equal(a.inverse_depth, b.inverse_depth)
    assert (back.status, back.focal_source, back.metric) == ("moving", "reconstruction", False)
    assert read_header(table).quality == {"figure": 1.5}


def test_depth_scene_motion_frames_and_styles() -> None:
    rng = np.random.default_rng(0)
    depth = DepthArtifact((1, 4), rng.random((2, 6, 5)).astype(np.float32), rng.random((2, 6, 5)) > 0.5, "relative")
    back = DepthArtifact.from_table(depth.to_table(HEADER))
    np.testing.assert_array_equal(back.inverse_depth, depth.inverse_depth)
    np.testing.assert_array_equal(back.filled, depth.filled)
    assert (back.references, back.kind) == ((1, 4), "relative")
    motion = SceneMotionArtifact(
        (0, 3), 2, rng.normal(size=(2, 4, 2, 3, 5)).astype(np.float16), rng.random((2, 4, 3, 5)) > 0.5,
        rng.random((2, 3, 5)).astype(np.float16),
    )  # fmt: skip
    again = SceneMotionArtifact.from_table(motion.to_table(HEADER))
    for name in ("motion", "valid", "inverse_depth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(motion, name))
    assert (again.references, again.frame_step) == ((0, 3), 2)
    frames = FramesArtifact((b"a", b"bc"), np.array([0.5, 0.6]), np.array([False, True]), 29.97, (8, 16), (0, 1, 2, 3))
    read = FramesArtifact.from_table(frames.to_table(HEADER))
    assert (read.jpegs, read.fps, read.size, read.crop) == (frames.jpegs, 29.97, (8, 16), (0, 1, 2, 3))
    pair = StylePair(0, 5, "cel", 7, b"r", b"t")
    assert StyleArtifact.from_table(StyleArtifact((pair,)).to_table(HEADER)).pairs == (pair,)
    assert StyleArtifact.from_table(StyleArtifact(()).to_table(HEADER)).pairs == ()


def test_what_does_not_fit_is_refused() -> None:
    table = StyleArtifact(()).to_table(HEADER)
    with pytest.raises(ArtifactError, match="expected an artifact of stage 'pose'"):
        read_header(table, "pose")
    with pytest.raises(ArtifactError, match="no header"):
        read_header(pa.table({"x": [1]}))
    with pytest.raises(ArtifactError, match="the schema says"):
        PoseArtifact.from_table(table)
    with pytest.raises(ValueError, match="Object arrays"):
        npy_array(npy_object())
    assert "clock" not in json.dumps(read_header(table).extra)
    assert list(table.schema.metadata) == [HEADER_KEY]


def npy_object() -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()
