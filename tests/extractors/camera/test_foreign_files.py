"""Readers of other programs' camera files: against what those programs write, and against broken files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.camera.foreign_files import ForeignFileError, read_colmap, read_tum, read_vipe
from tests.paths import test_data

WRITE = """
import sys, pycolmap, numpy as np
options = pycolmap.SyntheticDatasetOptions()
options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 6, 40
options.camera_model_id = pycolmap.CameraModelId.{model}
options.camera_params = {params}
pycolmap.set_random_seed(0)
model = pycolmap.synthesize_dataset(options)
for folder, write in (("text", model.write_text), ("binary", model.write_binary)):
    import os
    os.makedirs(sys.argv[1] + "/" + folder)
    write(sys.argv[1] + "/" + folder)
names, poses, depths = [], [], []
for image in sorted(model.images.values(), key=lambda image: image.name):
    names.append(image.name)
    matrix = np.eye(4)
    matrix[:3] = image.cam_from_world().matrix()
    poses.append(matrix)
    seen = [p.point3D_id for p in image.points2D if p.has_point3D()]
    depths.append(np.sort([(matrix[:3, :3] @ model.points3D[i].xyz + matrix[:3, 3])[2] for i in seen]))
camera = next(iter(model.cameras.values()))
np.savez(sys.argv[1] + "/truth.npz", names=names, world_to_cam=poses, depths=np.stack([d[:5] for d in depths]),
         params=camera.params, size=[camera.width, camera.height])
"""


def synthetic(folder: Path, model: str, params: list[float]) -> dict[str, np.ndarray]:
    """A model that pycolmap makes and writes as text and binary, in a process of its own; and its truth."""
    code = WRITE.format(model=model, params=params)
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, timeout=120)
    with np.load(folder / "truth.npz") as truth:
        return {name: truth[name] for name in truth.files}


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_colmap_model_reads_as_pycolmap_wrote_it(tmp_path: Path, kind: str) -> None:
    truth = synthetic(tmp_path, "PINHOLE", [1200.0, 1210.0, 511.0, 380.0])
    found = read_colmap(tmp_path / kind, 0.0)
    order = np.argsort([int("".join(c for c in Path(n).stem if c.isdigit())[-6:]) for n in truth["names"]])
    np.testing.assert_allclose(found.cam_to_world, np.linalg.inv(truth["world_to_cam"][order]), atol=1e-9)
    assert found.intrinsics is not None
    # half a pixel less: pixel (0, 0) is the centre of the first one here, its corner in COLMAP
    np.testing.assert_allclose(found.intrinsics[0], truth["params"] - [0, 0, 0.5, 0.5])
    assert found.size == tuple(truth["size"])
    for i, points in enumerate(found.points):
        world_to_cam = truth["world_to_cam"][order][i]
        depth = np.sort((points @ world_to_cam[:3, :3].T + world_to_cam[:3, 3])[:, 2])
        np.testing.assert_allclose(depth[:5], truth["depths"][order][i], rtol=1e-9)


def test_distorted_cameras_are_refused_with_the_remedy(tmp_path: Path) -> None:
    synthetic(tmp_path, "SIMPLE_RADIAL", [1200.0, 512.0, 384.0, 0.1])
    with pytest.raises(ForeignFileError, match="image_undistorter"):
        read_colmap(tmp_path / "binary", 0.02)
    assert read_colmap(tmp_path / "binary", 0.2).intrinsics is not None
    (tmp_path / "text" / "cameras.txt").write_text("1 OPENCV 100 100 90 90 50 50 0 0 0 0\n")
    with pytest.raises(ForeignFileError, match="OPENCV"):
        read_colmap(tmp_path / "text", 0.02)


def test_truncated_binary_models_end_in_a_sentence(tmp_path: Path) -> None:
    synthetic(tmp_path, "SIMPLE_PINHOLE", [1200.0, 512.0, 384.0])
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        path = tmp_path / "binary" / name
        whole = path.read_bytes()
        for length in (0, 5, len(whole) // 3, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(ForeignFileError, match=name):
                read_colmap(tmp_path / "binary", 0.0)
        path.write_bytes(b"\xff" * 64)
        with pytest.raises(ForeignFileError):
            read_colmap(tmp_path / "binary", 0.0)
        path.write_bytes(whole)


def test_tum_file_of_a_published_trajectory() -> None:
    found = read_tum(test_data("trajectories/evo/freiburg1_xyz-rgbdslam.txt"))
    rows = [
        [float(v) for v in line.split()]
        for line in test_data("trajectories/evo/freiburg1_xyz-rgbdslam.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(found.at) == len(rows)
    np.testing.assert_allclose(found.cam_to_world[:, :3, 3], np.array(rows)[:, 1:4])
    x, y, z, w = np.array(rows)[10, 4:]
    np.testing.assert_allclose(found.cam_to_world[10, 0, 1], 2 * (x * y - z * w), atol=1e-3)
    assert found.intrinsics is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 2 3 0 0 0\n", "line 1: 7 numbers"),
        ("# t x\n0 1 2 a 0 0 0 1\n", "line 2"),
        ("0 1 2 3 0 0 0 0\n", "quaternion is zero"),
        ("0 1 2 nan 0 0 0 1\n", "not finite"),
        ("0 0 0 0 0 0 0 1\n0 1 0 0 0 0 0 1\n", "same time"),
        ("# nothing\n", "holds 0 cameras"),
    ],
)
def test_broken_tum_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trajectory.txt"
    path.write_text(text)
    with pytest.raises(ForeignFileError, match=message) as error:
        read_tum(path)
    assert str(path) in str(error.value)


def write_vipe(folder: Path, poses: np.ndarray, intrinsics: np.ndarray, frames: np.ndarray) -> tuple[Path, Path]:
    paths = folder / "pose.npz", folder / "intrinsics.npz"
    np.savez(paths[0], data=poses, inds=frames)
    np.savez(paths[1], data=intrinsics, inds=frames)
    return paths


def test_vipe_files_are_camera_to_world(tmp_path: Path) -> None:
    poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
    poses[:, 0, 3] = [0, 5, 3]
    found = read_vipe(*write_vipe(tmp_path, poses, np.tile([500.0, 500, 320, 240], (3, 1)), np.array([0, 4, 2])))
    assert found.at.tolist() == [0, 2, 4]
    assert found.cam_to_world[:, 0, 3].tolist() == [0, 3, 5]


def test_vipe_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    poses, K, at = np.tile(np.eye(4), (3, 1, 1)), np.ones((3, 4)), np.arange(3)
    with pytest.raises(ForeignFileError, match=r"not \[N"):
        read_vipe(*write_vipe(tmp_path, poses[:, :3], K, at))
    with pytest.raises(ForeignFileError, match="0 0 0 1"):
        read_vipe(*write_vipe(tmp_path, poses + 1, K, at))
    pose_path, intrinsics_path = write_vipe(tmp_path, poses, K, at)
    np.savez(intrinsics_path, data=K[:2], inds=at[:2])
    with pytest.raises(ForeignFileError, match="frames are not those"):
        read_vipe(pose_path, intrinsics_path)
    np.savez(pose_path, data=np.array([{"a": 1}], dtype=object), inds=np.arange(1))
    with pytest.raises(ForeignFileError, match=r"not an \.npz"):
        read_vipe(pose_path, intrinsics_path)
    with pytest.raises(ForeignFileError, match="absent"):
        read_vipe(tmp_path / "absent.npz", intrinsics_path)


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("cameras.bin", "images.bin", "points3D.bin", "a.npz", "a.txt"):
        (folder / name).write_bytes(data)
    for read in (
        lambda: read_colmap(folder, 0.0),
        lambda: read_vipe(folder / "a.npz", folder / "a.npz"),
        lambda: read_tum(folder / "a.txt"),
    ):
        with pytest.raises(ForeignFileError):
            read()
