"""Imported cameras in a clip's frames: times, crops, statuses, points."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from extractors.camera.imported import ImportedCamera, ImportedCameraConfig, Picture
from extractors.protocols import ExtractionError
from schemas.artifacts.frames import FramesArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from tests.extractors.camera.test_foreign_files import synthetic

SOURCE = (1280, 720)


def clip(first: int = 10, count: int = 8, focal: float | None = None) -> Clip:
    return Clip(
        clip_id=clip_id("0123456789abcdef", first, count),
        source_id="0123456789abcdef",
        kind="camera",
        split="train",
        first_frame=first,
        frame_count=count,
        fps=(30, 1),
        start_s=2.0,
        video="/videos/dance.01.mp4",
        focal=focal,
    )


def frames(of: Clip, crop: tuple[float, float, float, float] = (0, 0, *SOURCE)) -> FramesArtifact:
    size = (round(crop[2] * 0.5), round(crop[3] * 0.5))
    times = of.start_s + (of.first_frame + np.arange(of.frame_count)) / 30
    return FramesArtifact((b"",) * of.frame_count, times, np.zeros(of.frame_count, bool), 30.0, size, crop)


def camera_path(times: np.ndarray) -> np.ndarray:
    """Constant speed and turn: exactly what interpolation between two of its poses gives."""
    out = np.tile(np.eye(4), (len(times), 1, 1))
    out[:, :3, :3] = Rotation.from_rotvec(np.outer(times, [0, 0.3, 0.1])).as_matrix()
    out[:, :3, 3] = np.outer(times, [1.0, 0.5, -0.2])
    return out


def write_vipe(folder: Path, frame_numbers: np.ndarray, rate: float, focal: float = 900.0) -> None:
    for name, data in (
        ("pose", camera_path(frame_numbers / rate)),
        ("intrinsics", np.tile([focal, focal, 639.5, 359.5], (len(frame_numbers), 1))),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.savez(folder / name / "dance.01.npz", data=data, inds=frame_numbers)


def imported(folder: Path, **changes: object) -> ImportedCamera:
    return ImportedCameraConfig.model_validate({"template": f"{folder}/{{stem}}"} | changes).build()


def relative(cameras: np.ndarray) -> np.ndarray:
    return np.linalg.inv(cameras[0]) @ cameras


@pytest.mark.parametrize("rate", [30.0, 15.0])
def test_vipe_cameras_come_at_the_frames_times(tmp_path: Path, rate: float) -> None:
    """At the clip's own rate each frame has its camera; at half of it every other one is interpolated."""
    write_vipe(tmp_path / "dance.01", np.arange(40), rate)
    of = clip()
    result = imported(tmp_path, frame_rate=rate).for_clip(of, frames(of), SOURCE)
    wanted = (of.first_frame + np.arange(8)) / 30
    np.testing.assert_allclose(result.camera.cam_to_world, relative(camera_path(wanted)), atol=1e-6)
    assert result.camera.status == "moving"
    assert result.camera.focal_source == "imported"
    np.testing.assert_allclose(result.camera.intrinsics[0], [450, 450, 319.5, 179.5])
    assert result.quality["imported_share"] == (1 if rate == 30 else 0.5)


def test_crop_moves_the_principal_point() -> None:
    picture = Picture(source=(1280, 720), frame=(360, 360), crop=(280.0, 0.0, 720.0, 720.0))
    K = picture.intrinsics(np.array([900.0, 900, 639.5, 359.5]), (1280, 720))
    np.testing.assert_allclose(K, [450, 450, 179.5, 179.5])
    point = np.array([0.1, -0.2, 1.0])
    in_source = point[:2] * 900 + [639.5, 359.5]
    in_frame = (in_source - [280, 0] + 0.5) * 0.5 - 0.5
    np.testing.assert_allclose(point[:2] * K[:2] + K[2:], in_frame)


def test_intrinsics_of_a_smaller_picture_are_scaled(tmp_path: Path) -> None:
    truth = synthetic(tmp_path, "PINHOLE", [1200.0, 1200.0, 512.0, 384.0])
    width, height = (int(v) for v in truth["size"])
    picture = Picture(source=(2 * width, 2 * height), frame=(width, height), crop=(0, 0, 2 * width, 2 * height))
    K = np.array([1200.0, 1200, 511.5, 383.5])
    np.testing.assert_allclose(picture.intrinsics(K, (width, height)), K)


def test_colmap_points_project_into_every_frame(tmp_path: Path) -> None:
    truth = synthetic(tmp_path, "PINHOLE", [1200.0, 1200.0, 512.0, 384.0])
    size = (int(truth["size"][0]), int(truth["size"][1]))
    numbers = np.array([int("".join(c for c in Path(n).stem if c.isdigit())[-6:]) for n in truth["names"]])
    of = clip(first=int(numbers.min()), count=len(numbers))
    whole = FramesArtifact(
        jpegs=(b"",) * len(numbers),
        timestamps=of.start_s + np.sort(numbers) / 30,
        repeated=np.zeros(len(numbers), bool),
        fps=30.0,
        size=size,
        crop=(0, 0, *size),
    )
    (tmp_path / "dance.01").symlink_to(tmp_path / "binary")
    result = imported(tmp_path, format="colmap", max_gap_s=5.0).for_clip(of, whole, size)
    order = np.argsort(numbers)
    expected = relative(np.linalg.inv(truth["world_to_cam"][order]))
    np.testing.assert_allclose(result.camera.cam_to_world, expected, atol=1e-9)
    for i, sparse in enumerate(result.camera.sparse):
        assert len(sparse.xy) >= 5
        depth = 1 / sparse.inverse_depth[:, None]
        assert np.abs(depth / truth["depths"][order][i] - 1).min(0).max() < 1e-5


def test_tum_takes_the_focal_length_from_the_manifest(tmp_path: Path) -> None:
    times = 2.0 + np.arange(0, 60) / 30
    poses = camera_path(times)
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    rows = np.concatenate([times[:, None], poses[:, :3, 3], quaternions], -1)
    np.savetxt(tmp_path / "dance.01", rows, fmt="%.12g")
    of = clip(focal=0.75)
    result = imported(tmp_path, format="tum").for_clip(of, frames(of), SOURCE)
    assert result.camera.focal_source == "manifest"
    np.testing.assert_allclose(result.camera.intrinsics[0], [480, 480, 319.5, 179.5])
    np.testing.assert_allclose(result.camera.cam_to_world, relative(poses[10:18]), atol=1e-6)
    assert imported(tmp_path, format="tum").for_clip(clip(), frames(of), SOURCE).camera.focal_source == "assumed"


def test_statuses_are_exact(tmp_path: Path) -> None:
    of, at = clip(), np.arange(40)
    for name, poses, status in (
        ("still", np.tile(camera_path(np.array([1.0])), (40, 1, 1)), "static"),
        ("turn", camera_path(at / 30) * np.where(np.arange(4) == 3, np.eye(4)[:, [3]], 1), "rotation"),
    ):
        folder = tmp_path / name / "dance.01"
        write_vipe(folder, at, 30)
        np.savez(folder / "pose" / "dance.01.npz", data=poses, inds=at)
        camera = imported(tmp_path / name).for_clip(of, frames(of), SOURCE).camera
        assert camera.status == status
        assert (camera.cam_to_world[:, :3, 3] == 0).all()
        if status == "static":
            np.testing.assert_array_equal(camera.cam_to_world, np.tile(np.eye(4), (8, 1, 1)))


def test_file_that_does_not_cover_the_clip_is_refused(tmp_path: Path) -> None:
    write_vipe(tmp_path / "dance.01", np.arange(12), 30)
    of = clip(first=10, count=40)
    with pytest.raises(ExtractionError, match="uncovered"):
        imported(tmp_path).for_clip(of, frames(of), SOURCE)
    holes = np.array([*range(12), *range(40, 80)])
    write_vipe(tmp_path / "dance.01", holes, 30)
    with pytest.raises(ExtractionError, match=r"0\.97 s"):
        imported(tmp_path).for_clip(of, frames(of), SOURCE)
    with pytest.raises(ExtractionError, match="absent"):
        imported(tmp_path / "absent").for_clip(of, frames(of), SOURCE)


def test_template_must_name_the_source() -> None:
    with pytest.raises(ValueError, match="same result"):
        ImportedCameraConfig(template="/results/all")
    problem = ImportedCameraConfig().problem()
    assert problem is not None
    assert "template" in problem.remedy
    moved = ImportedCameraConfig(template="/a/{stem}"), ImportedCameraConfig(template="/b/{stem}")
    assert moved[0].key_params() == moved[1].key_params()
    assert moved[0].key_params() != ImportedCameraConfig(template="/a/{stem}", revision=1).key_params()
