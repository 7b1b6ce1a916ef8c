"""The stages with the reference backends, true classes with small random networks: artifacts as of the real ones."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from extractors.camera.droid import DroidCameraConfig
from extractors.camera.imported import ImportedCameraConfig
from extractors.depth.depth_anything import DepthAnythingClipConfig, DepthAnythingConfig
from extractors.depth.imported import ImportedDepthConfig
from extractors.geometry.trajectory import absolute_trajectory_error
from extractors.style.sdxl import SdxlConfig
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact
from schemas.clip import Clip
from schemas.ids import clip_id, reference_indices
from stages.base import Inputs
from stages.camera import CameraConfig, CameraStage
from stages.depth import DepthConfig, DepthStage
from stages.jpeg import encode_jpeg
from stages.scene_motion import SceneMotionConfig, SceneMotionStage
from stages.stylize import StylizeConfig, StylizeStage
from tests.extractors.depth.test_imported import save_archive
from tests.extractors.style import tiny_sdxl
from tests.paths import test_data

LENGTH, SIZE = 30, (256, 256)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(
        clip_id=clip_id("fedcba9876543210", 0, LENGTH),
        source_id="fedcba9876543210",
        kind="character",
        split="train",
        first_frame=0,
        frame_count=LENGTH,
        fps=(30, 1),
        start_s=0.0,
        video="/videos/truck.mp4",
    )


@pytest.fixture(scope="module")
def inputs(clip: Clip) -> dict:
    """Decode and pose (nobody) of the first frames of a real truck shot at 256 pixels."""
    video = cv2.VideoCapture(str(test_data("mmd_shots/truck_character_camera.mp4")))
    pictures = [cv2.resize(video.read()[1][..., ::-1], SIZE, interpolation=cv2.INTER_AREA) for _ in range(LENGTH)]
    frames = FramesArtifact(
        jpegs=tuple(encode_jpeg(picture) for picture in pictures),
        timestamps=np.arange(LENGTH) / 30,
        repeated=np.zeros(LENGTH, bool),
        fps=30.0,
        size=SIZE,
        crop=(0, 0, 512, 512),
    )
    nobody = np.full((LENGTH, 1, 17, 3), np.nan, np.float32)
    pose = PoseArtifact(
        body=nobody,
        face=np.full((LENGTH, 1, 68, 3), np.nan, np.float32),
        hand=np.full((LENGTH, 2, 21, 3), np.nan, np.float32),
        mask=np.zeros((LENGTH, 32, 32), bool),
    )
    header = Header("decode", clip.clip_id, extra={"source_size": [512, 512]})
    return {"decode": frames.to_table(header), "pose": pose.to_table(Header("pose", clip.clip_id))}


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(test_data("mmd_shots/truck_character.npz")) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def vipe(tmp_path_factory: pytest.TempPathFactory, truth: dict[str, np.ndarray]) -> CameraConfig:
    """The true cameras as ViPE would have written them."""
    folder = tmp_path_factory.mktemp("vipe")
    K = np.stack([np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]) for k in truth["K"]])
    for name, data in (("pose", truth["c2w"]), ("intrinsics", K)):
        (folder / name).mkdir()
        np.savez(folder / name / "truck.npz", data=data, inds=np.arange(len(data)))
    # the template names the source, as it must; here all sources share one results folder
    (folder / "fedcba9876543210").symlink_to(folder)
    return CameraConfig(backend=ImportedCameraConfig(template=str(folder / "{source_id}")))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return tiny_sdxl.save(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="module")
def camera_table(clip: Clip, inputs: dict, vipe: CameraConfig):  # type: ignore[no-untyped-def]
    return CameraStage(vipe).run(clip, inputs)


def test_imported_cameras_are_the_truth_in_frame_pixels(camera_table, truth: dict[str, np.ndarray]) -> None:  # type: ignore[no-untyped-def]
    camera = CameraArtifact.from_table(camera_table)
    assert camera.status == "moving"
    error = absolute_trajectory_error(camera.cam_to_world, truth["c2w"][:LENGTH], alignment="se3")
    assert error.translation.max() < 1e-6
    assert np.degrees(error.rotation).max() < 1e-4
    np.testing.assert_allclose(camera.intrinsics[:, 0], [k[0, 0] / 2 for k in truth["K"][:LENGTH]])


def test_tum_trajectory_through_the_stage(
    clip: Clip, inputs: Inputs, truth: dict[str, np.ndarray], tmp_path: Path
) -> None:
    poses = truth["c2w"]
    rows = np.concatenate(
        [np.arange(len(poses))[:, None] / 30, poses[:, :3, 3], Rotation.from_matrix(poses[:, :3, :3]).as_quat()], -1
    )
    np.savetxt(tmp_path / "truck.txt", rows, fmt="%.12g")
    backend = ImportedCameraConfig(format="tum", template=str(tmp_path / "{stem}.txt"))
    camera = CameraArtifact.from_table(CameraStage(CameraConfig(backend=backend)).run(clip, inputs))
    assert camera.focal_source == "assumed"
    error = absolute_trajectory_error(camera.cam_to_world, poses[:LENGTH], alignment="se3")
    assert error.translation.max() < 1e-6


@pytest.mark.parametrize("config", [DepthAnythingConfig, DepthAnythingClipConfig])
def test_depth_anything_feeds_scene_motion(  # type: ignore[no-untyped-def]
    clip: Clip, inputs: dict, camera_table, networks: tuple[Path, Path, Path], config
) -> None:
    table = DepthStage(DepthConfig(backend=config(folder=networks[2]))).run(clip, inputs | {"camera": camera_table})
    depth = DepthArtifact.from_table(table)
    assert depth.references == reference_indices(clip.clip_id, LENGTH, 2)
    assert depth.inverse_depth.shape == (2, 64, 64)
    assert depth.inverse_depth.dtype == np.float32
    assert np.isfinite(depth.inverse_depth).all()
    given = inputs | {"camera": camera_table, "depth": table}
    motion = SceneMotionArtifact.from_table(SceneMotionStage(SceneMotionConfig()).run(clip, given))
    assert motion.motion.shape == (2, LENGTH, 2, 32, 32)
    assert motion.motion.dtype == np.float16
    assert np.isfinite(motion.motion).all()


def test_imported_depth_and_cameras_give_the_true_scene_motion(  # type: ignore[no-untyped-def]
    clip: Clip, inputs: dict, camera_table, truth: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """ViPE's layout filled with the truth: scene motion against projection of the truth, in pixels of the frame."""
    inverse = truth["inverse_depth_96_bg"].astype(np.float32)
    references = reference_indices(clip.clip_id, LENGTH, 2)
    maps = {n: np.where(inverse[n] > 0, 1 / np.maximum(inverse[n], 1e-6), np.nan) for n in references}
    save_archive(tmp_path / "truck", maps)
    backend = ImportedDepthConfig(template=str(tmp_path / "{stem}"))
    depth = DepthStage(DepthConfig(backend=backend)).run(clip, inputs)
    table = SceneMotionStage(SceneMotionConfig()).run(clip, inputs | {"camera": camera_table, "depth": depth})
    found = SceneMotionArtifact.from_table(table)
    step, n = found.frame_step, LENGTH - 1
    u, v = np.meshgrid(*[(np.arange(96) + 0.5) * 512 / 96 - 0.5] * 2)
    for r, reference in enumerate(references):
        z = maps[reference]
        K0, K1 = truth["K"][n - step], truth["K"][n]
        point = np.stack([(u - K0[0, 2]) / K0[0, 0] * z, (v - K0[1, 2]) / K0[1, 1] * z, z], -1)
        move = truth["w2c"][n] @ truth["c2w"][n - step]
        seen = point @ move[:3, :3].T + move[:3, 3]
        moved = np.stack([K1[0, 0] * seen[..., 0], K1[1, 1] * seen[..., 1]]) / seen[..., 2]
        want = (moved + K1[:2, 2, None, None] - np.stack([u, v])) / 2  # the frame is half as large as the video
        centre = want[:, 1::3, 1::3]  # the middle one of three cells of the truth lies on the middle of one of ours
        ours = found.motion[r, n].astype(np.float32)
        error = np.linalg.norm(ours - centre, axis=0)[np.isfinite(centre).all(0)]
        assert np.median(error) < 0.02 * np.nanmedian(np.linalg.norm(centre, axis=0))


def test_sdxl_pairs_are_recorded(clip: Clip, inputs: Inputs, networks: tuple[Path, Path, Path]) -> None:
    checkpoint, controlnet, depth = networks
    backend = SdxlConfig(
        checkpoint=checkpoint,
        controlnet=controlnet,
        depth=DepthAnythingConfig(folder=depth),
        steps=3,
        precision="float32",
        device="cpu",
        max_pixels=256 * 128,
    )
    table = StylizeStage(StylizeConfig(backend=backend)).run(clip, inputs)
    (pair,) = StyleArtifact.from_table(table).pairs
    assert pair.style in backend.prompts
    assert pair.seed == clip.seed("stylize", 0)
    for data in (pair.reference_jpeg, pair.target_jpeg):
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (*SIZE, 3)
    settings = read_header(table, "stylize").extra["settings"]
    assert (settings["strength"], settings["steps"], settings["backend"]) == (0.6, 3, "sdxl")
    assert str(checkpoint) not in json.dumps(settings)


def test_configurations_of_all_backends_load_from_plain_data() -> None:
    """What a YAML file holds; the discriminator chooses the class, and unknown keys are errors."""
    assert isinstance(CameraConfig.model_validate({"backend": {"backend": "droid"}}).backend, DroidCameraConfig)
    assert isinstance(StylizeConfig.model_validate({"backend": {"backend": "sdxl"}}).backend, SdxlConfig)
    clip_fit = DepthConfig.model_validate({"backend": {"backend": "depth-anything-clip", "precision": "bfloat16"}})
    assert isinstance(clip_fit.backend, DepthAnythingClipConfig)
    with pytest.raises(ValueError, match="strenght"):
        StylizeConfig.model_validate({"backend": {"backend": "sdxl", "strenght": 0.5}})
