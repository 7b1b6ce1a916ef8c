"""Dense depth against the truth of rendered shots, with true cameras and sparse points taken from the truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from extractors.depth.reconstruction import ReconstructionDepthConfig
from extractors.geometry.cameras import intrinsics_vector
from extractors.protocols import DepthResult, ExtractionError
from pipeline.demo.camera import CameraPath, orbit, pan, static
from pipeline.demo.character import Character
from pipeline.demo.scene import hall, terrace
from pipeline.demo.shot import render_shot
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from tests.paths import test_data

CENTRE = (0.0, 0.95, 0.0)
ORBIT = orbit(14, centre=CENTRE, radius=3.0, height=1.3, degrees=24, start=-12)


def _camera(
    poses: np.ndarray,
    K: np.ndarray,
    inverse_depth: np.ndarray,
    size: tuple[int, int],
    *,
    status: str = "moving",
    points: int = 60,
) -> CameraArtifact:
    """The true cameras, with `points` cells of the truth (1 % noise, one in twenty wrong) as sparse points."""
    rng = np.random.default_rng(0)
    h, w = inverse_depth.shape[1:]
    sparse = []
    for depth in inverse_depth:
        rows, columns = (a[:points] for a in np.divmod(rng.permutation(h * w), w))
        values = depth[rows, columns] * (1 + 0.01 * rng.standard_normal(len(rows)))
        values[::20] *= 2
        xy = np.stack([(columns + 0.5) * size[0] / w - 0.5, (rows + 0.5) * size[1] / h - 0.5], -1)
        known = values > 0
        sparse.append(SparseDepth(xy[known].astype(np.float32), values[known].astype(np.float32)))
    relative = np.linalg.inv(poses[0]) @ poses
    return CameraArtifact(status, relative, intrinsics_vector(K), tuple(sparse), "reconstruction")


def _run(
    path: CameraPath, scene: object, character: Character | None, **settings: int
) -> tuple[DepthResult, np.ndarray, np.ndarray]:
    frames, truth = render_shot(path, scene, character, size=(160, 160))  # type: ignore[arg-type]
    camera = _camera(truth.cam_to_world, truth.K, truth.inverse_depth_background, (160, 160))
    mask = truth.mask[:, ::2, ::2]
    result = ReconstructionDepthConfig(**settings).build()(frames, (1, 12), mask, camera, seed=0)
    coarse = np.stack([cv2.resize(d, (20, 20), interpolation=cv2.INTER_AREA) for d in result.depth.inverse_depth])
    return result, coarse, truth.inverse_depth[[1, 12]]


def test_scene_without_a_character() -> None:
    result, estimated, truth = _run(ORBIT, hall(), None)
    error = np.abs(estimated - truth) / truth
    assert result.status == "ok"
    assert result.depth.kind == "camera"
    assert result.depth.inverse_depth.shape == (2, 80, 80)
    assert np.median(error) < 0.02
    assert (error > 0.1).mean() < 0.12
    assert result.quality["point_error"] < 0.05
    assert 0 < result.depth.filled.mean() < 0.6


def test_character_stands_on_the_floor_and_counts_as_filled() -> None:
    frames, truth = render_shot(ORBIT, hall(), Character(), size=(160, 160))
    camera = _camera(truth.cam_to_world, truth.K, truth.inverse_depth_background, (160, 160))
    result = ReconstructionDepthConfig().build()(frames, (1, 12), truth.mask, camera, seed=0)
    assert result.quality["character_on_ground"] == 1.0
    for number, frame in enumerate((1, 12)):
        inside = cv2.resize(truth.mask[frame].astype(np.float32), (20, 20), interpolation=cv2.INTER_AREA) == 1
        estimated = cv2.resize(result.depth.inverse_depth[number], (20, 20), interpolation=cv2.INTER_AREA)
        assert np.median(np.abs(estimated / truth.inverse_depth[frame] - 1)[inside]) < 0.12
        body = cv2.resize(truth.mask[frame].astype(np.uint8), (80, 80), interpolation=cv2.INTER_NEAREST) > 0
        assert result.depth.filled[number][body].all()


def test_sky_is_far() -> None:
    _, estimated, truth = _run(ORBIT, terrace(), None)
    assert (truth == 0).sum() > 40
    assert np.median(estimated[truth == 0]) < 0.1 * np.median(truth[truth > 0])


@pytest.mark.parametrize(("path", "status"), [
    (static(14, eye=(0, 1.2, 3), target=CENTRE), "static"),
    (pan(14, eye=(0, 1.2, 3), start=(-6, 0), end=(6, 0)), "rotation"),
    (static(14, eye=(0, 1.2, 3), target=CENTRE), "unsolved"),
])  # fmt: skip
def test_without_parallax_a_plane_that_says_so(path: CameraPath, status: str) -> None:
    frames, truth = render_shot(path, hall(), size=(64, 64), oversampling=1)
    camera = CameraArtifact(
        status,
        truth.cam_to_world,
        intrinsics_vector(truth.K),
        (SparseDepth(np.zeros((0, 2)), np.zeros(0)),) * 14,
        "assumed",
    )
    result = ReconstructionDepthConfig().build()(frames, (0, 13), np.zeros((14, 8, 8), bool), camera, seed=0)
    assert result.status == "plane"
    assert np.ptp(result.depth.inverse_depth) == 0
    assert result.depth.inverse_depth.min() > 0
    assert result.depth.filled.all()


def test_a_character_that_fills_the_picture_leaves_a_plane() -> None:
    frames, truth = render_shot(ORBIT, hall(), size=(64, 64), oversampling=1)
    camera = _camera(truth.cam_to_world, truth.K, truth.inverse_depth_background, (64, 64))
    result = ReconstructionDepthConfig().build()(frames, (0, 13), np.ones((14, 8, 8), bool), camera, seed=0)
    assert result.status == "plane"
    assert np.isfinite(result.depth.inverse_depth).all()


def test_twice_the_same_bits() -> None:
    first, _, _ = _run(ORBIT, hall(), Character(), planes=24, sources=3)
    second, _, _ = _run(ORBIT, hall(), Character(), planes=24, sources=3)
    assert np.array_equal(first.depth.inverse_depth, second.depth.inverse_depth)
    assert np.array_equal(first.depth.filled, second.depth.filled)


@pytest.mark.parametrize(
    ("size", "grid"),
    [((384, 384), (192, 192)), ((768, 768), (256, 256)), ((4096, 2048), (512, 256)), ((64, 128), (32, 64))],
)
def test_grid_is_half_the_frame_at_most_and_the_latent_grid_at_least(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert ReconstructionDepthConfig().build()._grid(size) == grid


def test_a_camera_of_another_clip_is_refused() -> None:
    with pytest.raises(ExtractionError, match="poses of the same frames"):
        ReconstructionDepthConfig().build()(
            np.zeros((3, 64, 64, 3), np.uint8), (0,), np.zeros((3, 8, 8), bool), None, seed=0
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix", "key"), [("truck_character", "camera", "bg"), ("orbit_background", "camera", "bg")]
)
def test_real_shots_with_repeated_walls(name: str, suffix: str, key: str) -> None:
    truth = np.load(test_data(f"mmd_shots/{name}.npz"))
    frames = _read(test_data(f"mmd_shots/{name}_{suffix}.mp4"))
    inverse_depth = truth[f"inverse_depth_96_{key}"].astype(np.float32)
    camera = _camera(truth["c2w"], truth["K"], inverse_depth, (512, 512), points=150)
    result = ReconstructionDepthConfig().build()(frames, (3, 80), np.zeros((85, 64, 64), bool), camera, seed=0)
    for number, frame in enumerate((3, 80)):
        estimated = cv2.resize(result.depth.inverse_depth[number], (96, 96), interpolation=cv2.INTER_AREA)
        assert np.median(np.abs(estimated / inverse_depth[frame] - 1)) < 0.03


def _read(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
