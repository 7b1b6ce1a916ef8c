import numpy as np
import pytest

from extractors.geometry.cameras import intrinsics_vector
from pipeline.demo.camera import orbit
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.ids import reference_indices
from stages.base import Inputs, StageError
from stages.depth import DepthConfig, DepthStage
from stages.jpeg import encode_jpeg

LENGTH = 16
CLIP = Clip(f"{'a' * 16}_000000_{LENGTH:04d}", "a" * 16, "camera", "train", 0, LENGTH, (30, 1), 0.0, "video.mp4")


def _inputs(*, cameras: int = LENGTH, masks: int = LENGTH) -> tuple[Inputs, np.ndarray]:
    camera = orbit(LENGTH, centre=(0, 0.9, 0), radius=2.8, height=1.3, degrees=20)
    frames, truth = render_shot(camera, hall(), size=(128, 96))
    header = Header("", CLIP.clip_id)
    decode = FramesArtifact(
        tuple(encode_jpeg(frame) for frame in frames),
        np.arange(LENGTH) / 30,
        np.zeros(LENGTH, bool),
        30.0,
        (128, 96),
        (0, 0, 128, 96),
    )
    empty = [np.zeros((masks, 1, k, 3), np.float32) for k in (17, 68, 21)]
    pose = PoseArtifact(*empty, mask=np.zeros((masks, 24, 32), bool))
    rows, columns = np.meshgrid(np.arange(12), np.arange(16), indexing="ij")
    xy = np.stack([columns.ravel() * 8 + 3.5, rows.ravel() * 8 + 3.5], -1)
    cams = CameraArtifact(
        "moving",
        (np.linalg.inv(truth.cam_to_world[0]) @ truth.cam_to_world)[:cameras],
        intrinsics_vector(truth.K)[:cameras],
        tuple(SparseDepth(xy, depth.ravel()) for depth in truth.inverse_depth[:cameras]),
        "reconstruction",
    )
    return {
        "decode": decode.to_table(header),
        "pose": pose.to_table(header),
        "camera": cams.to_table(header),
    }, truth.inverse_depth


def test_artifact_of_the_reference_frames() -> None:
    inputs, truth = _inputs()
    table = DepthStage(DepthConfig()).run(CLIP, inputs)
    depth = DepthArtifact.from_table(table)
    assert depth.references == reference_indices(CLIP.clip_id, LENGTH, 2)
    assert depth.kind == "camera"
    assert read_header(table, "depth").status == "ok"
    for number, frame in enumerate(depth.references):
        coarse = depth.inverse_depth[number].reshape(12, 4, 16, 4).mean((1, 3))
        assert np.median(np.abs(coarse / truth[frame] - 1)) < 0.03
    again = DepthStage(DepthConfig()).run(CLIP, inputs)
    assert again.equals(table, check_metadata=True)


def test_more_references() -> None:
    inputs, _ = _inputs()
    depth = DepthArtifact.from_table(DepthStage(DepthConfig(references=3)).run(CLIP, inputs))
    assert depth.references == reference_indices(CLIP.clip_id, LENGTH, 3)


def test_artifacts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(StageError, match="16 frames, but 12 cameras"):
        DepthStage(DepthConfig()).run(CLIP, _inputs(cameras=12)[0])
    with pytest.raises(StageError, match="16 frames, but 9 masks"):
        DepthStage(DepthConfig()).run(CLIP, _inputs(masks=9)[0])


def test_backend_is_chosen_by_name() -> None:
    config = DepthConfig.model_validate({"backend": {"backend": "reconstruction", "planes": 32}})
    assert config.backend.needs_camera
    assert not DepthConfig.model_validate({"backend": {"backend": "onnx", "path": "x.onnx"}}).backend.needs_camera
