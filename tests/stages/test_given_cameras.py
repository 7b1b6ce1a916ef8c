"""Cameras that come with the video: from an MMD camera track to the scene motion, against a render's exact truth."""

from dataclasses import replace

import numpy as np
import pytest

from extractors.geometry.cameras import intrinsics_vector
from pipeline.demo.camera import orbit
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from stages.camera import CameraConfig, CameraStage
from stages.depth import DepthConfig, DepthStage
from stages.jpeg import encode_jpeg
from stages.scene_motion import SceneMotionConfig, SceneMotionStage
from tests.extractors.camera.test_vmd import key, motion_file
from tests.extractors.geometry.test_scene_motion import reference as by_definition

LENGTH, SIDE, FOV_DEG = 30, 256, 40
ROOM = Clip(clip_id("a" * 16, 0, LENGTH), "a" * 16, "camera", "train", 0, LENGTH, (30, 1), 0.0, "unused.mp4")


def track_bytes(cam_to_world: np.ndarray) -> bytes:
    """A .vmd with a key a frame: the eye at the centre (distance 0), angles from R = Ry·Rx·Rz in MMD's axes."""
    flip = np.diag([1.0, -1.0, 1.0])
    keys = []
    for number, pose in enumerate(cam_to_world):
        R, eye = flip @ pose[:3, :3] @ flip, flip @ pose[:3, 3]
        x, y, z = np.arcsin(-R[1, 2]), np.arctan2(R[0, 2], R[2, 2]), np.arctan2(R[1, 0], R[1, 1])
        keys.append(key(number, distance=0.0, centre=eye, rotation=(-x, -y, -z), fov=FOV_DEG))
    return motion_file(*keys)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, object]:
    focal = 0.5 / np.tan(np.radians(FOV_DEG / 2))
    camera = orbit(LENGTH, centre=(0, 1, -1.5), radius=3.6, height=1.6, degrees=-30, start=15, focal=focal)
    pictures, truth = render_shot(camera, hall(0), size=(SIDE, SIDE))
    path = tmp_path_factory.mktemp("track") / "room.vmd"
    path.write_bytes(track_bytes(truth.cam_to_world))
    frames = FramesArtifact(
        jpegs=tuple(encode_jpeg(p) for p in pictures),
        timestamps=np.arange(LENGTH) / 30,
        repeated=np.zeros(LENGTH, bool),
        fps=30.0,
        size=(SIDE, SIDE),
        crop=(0, 0, SIDE, SIDE),
    )
    empty = [np.zeros((LENGTH, 0, points, 3), np.float32) for points in (17, 68, 21)]
    tables = {
        "decode": frames.to_table(Header("decode", ROOM.clip_id, extra={"source_size": [SIDE, SIDE]})),
        "pose": PoseArtifact(*empty, np.zeros((LENGTH, 32, 32), bool)).to_table(Header("pose", ROOM.clip_id)),
    }
    clip = replace(ROOM, camera_track=str(path))
    tables["camera"] = CameraStage(CameraConfig()).run(clip, tables)
    tables["depth"] = DepthStage(DepthConfig()).run(clip, tables)
    tables["scene_motion"] = SceneMotionStage(SceneMotionConfig()).run(clip, tables)
    return tables, truth


def test_points_of_known_depth_come_with_the_cameras(made: tuple) -> None:
    tables, truth = made
    camera = CameraArtifact.from_table(tables["camera"])
    assert (camera.status, camera.focal_source) == ("moving", "track")
    for frame in (0, LENGTH // 2, LENGTH - 1):
        sparse = camera.sparse[frame]
        assert len(sparse.xy) > 50
        column, row = np.rint((sparse.xy + 0.5) / 8 - 0.5).astype(int).clip(0, SIDE // 8 - 1).T
        seen = truth.inverse_depth[frame][row, column]
        assert np.median(np.abs(sparse.inverse_depth - seen) / seen) < 0.03  # the cell's centre is up to 6 px away


def test_depth_is_measured_and_the_motion_is_that_of_the_truth(made: tuple) -> None:
    tables, truth = made
    assert read_header(tables["depth"]).status == "ok"
    header = read_header(tables["scene_motion"])
    assert (header.status, header.extra["alignment"]) == ("ok", ["known", "known"])
    assert header.quality["warp_error"] < 0.5 * header.quality["still_error"]
    motion = SceneMotionArtifact.from_table(tables["scene_motion"])
    step = motion.frame_step
    for number, index in enumerate(motion.references):
        for frame in (step, LENGTH - 1):
            pair = [frame - step, frame]
            lenses = intrinsics_vector(truth.K[pair])
            maps, _ = by_definition(truth.inverse_depth[index][None], truth.cam_to_world[pair], lenses, (SIDE, SIDE), 1)
            wanted = maps[0, 1]
            error = np.linalg.norm(motion.motion[number, frame].astype(float) - wanted, axis=0)
            assert np.median(error) < 0.05 * np.median(np.linalg.norm(wanted, axis=0))


def test_a_depth_that_nothing_was_measured_of_is_no_aligned_one(made: tuple) -> None:
    """Cameras without a single point: the depth is a constant, and the clip says so instead of passing for good."""
    tables, _ = made
    camera = CameraArtifact.from_table(tables["camera"])
    none = replace(camera.sparse[0], xy=np.zeros((0, 2), np.float32), inverse_depth=np.zeros(0, np.float32))
    for blind in (range(LENGTH), (DepthArtifact.from_table(tables["depth"]).references[1],)):
        sparse = tuple(none if frame in blind else points for frame, points in enumerate(camera.sparse))
        given = tables | {"camera": replace(camera, sparse=sparse).to_table(Header("camera", ROOM.clip_id))}
        given["depth"] = DepthStage(DepthConfig()).run(ROOM, given)
        header = read_header(SceneMotionStage(SceneMotionConfig()).run(ROOM, given))
        assert header.status == "unaligned"
        assert header.extra["alignment"][1] == "plane"
