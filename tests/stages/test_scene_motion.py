"""The scene motion stage on real MMD shots with true cameras, and on the cases that have no camera."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from extractors.geometry.cameras import cell_centres, intrinsics_vector, project, rescale_intrinsics, unproject
from extractors.geometry.published import published_scene_motion
from extractors.geometry.rigid import relative_to_first, transform_points
from extractors.geometry.scene_motion import scene_motion
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.clip import Clip
from stages.base import StageError
from stages.jpeg import encode_jpeg
from stages.scene_motion import SceneMotionConfig, SceneMotionStage
from stages.warp import resize_map
from tests.paths import test_data

LENGTH = 85
SCALES = (500.0, 300.0)  # of the foreign maps: a network's scale holds for one picture


def make_clip(length=LENGTH):
    return Clip(
        clip_id=f"0123456789abcdef_000000_{length:04d}", source_id="0123456789abcdef", kind="character", split="train",
        first_frame=0, frame_count=length, fps=(30, 1), start_s=0.0, video="shot.mp4",
    )  # fmt: skip


def make_inputs(pictures, camera, depth, mask=None):
    length, height, width = pictures.shape[:3]
    frames = FramesArtifact(
        tuple(encode_jpeg(p) for p in pictures), np.arange(length) / 30, np.zeros(length, bool), 30.0, (width, height),
        (0.0, 0.0, float(width), float(height)),
    )  # fmt: skip
    mask = np.zeros((length, 32, 32), bool) if mask is None else mask
    none = [np.zeros((length, 0, k, 3), np.float32) for k in (17, 68, 21)]
    header = Header("any", make_clip(length).clip_id)
    return {
        "decode": frames.to_table(header),
        "pose": PoseArtifact(*none, mask).to_table(header),
        "camera": camera.to_table(header),
        "depth": depth.to_table(header),
    }


def run(inputs, length=LENGTH, **settings):
    table = SceneMotionStage(SceneMotionConfig(**settings)).run(make_clip(length), inputs)
    return SceneMotionArtifact.from_table(table), read_header(table, "scene_motion")


def still_camera(length, size, status="static", cams=None):
    lens = np.array([size[0], size[0], (size[0] - 1) / 2, (size[1] - 1) / 2], float)
    cams = np.tile(np.eye(4), (length, 1, 1)) if cams is None else cams
    empty = tuple(SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32)) for _ in range(length))
    return CameraArtifact(status, cams, np.tile(lens, (length, 1)), empty, "manifest")


def some_depth(references, shape=(24, 40), kind="relative"):
    values = np.random.default_rng(0).uniform(0.1, 1, (len(references), *shape)).astype(np.float32)
    return DepthArtifact(references, values, np.zeros(values.shape, bool), kind)


def grey(length, width=160, height=96):
    return np.full((length, height, width, 3), 128, np.uint8)


@pytest.fixture(scope="module", params=["truck_character", "orbit_background"])
def shot(request):
    """A real MMD shot: pictures without the character, true cameras, noisy sparse points, a map in a foreign scale."""
    truth = np.load(test_data(f"mmd_shots/{request.param}.npz"))
    video = cv2.VideoCapture(str(test_data(f"mmd_shots/{request.param}_camera.mp4")))
    pictures = np.stack([cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB) for _ in range(LENGTH)])
    inverse, rng, size = truth["inverse_depth_96_bg"].astype(np.float32), np.random.default_rng(0), (512, 512)
    sparse = []
    for frame in range(LENGTH):
        cells = rng.choice(np.flatnonzero(inverse[frame] > 0), 240, replace=False)
        xy = cell_centres((96, 96), size).reshape(-1, 2)[cells]
        near = inverse[frame].ravel()[cells] * np.exp(0.02 * rng.normal(size=240))
        near[:40] = rng.uniform(0.001, 0.2, 40)  # wrong points
        sparse.append(SparseDepth(xy.astype(np.float32), near.astype(np.float32)))
    camera = CameraArtifact(
        "moving", relative_to_first(truth["c2w"]), intrinsics_vector(truth["K"]), tuple(sparse), "reconstruction"
    )
    references = (4, 80)
    foreign = np.stack([inverse[r] * s + 7 for r, s in zip(references, SCALES, strict=True)])
    depth = DepthArtifact(references, foreign, np.zeros(foreign.shape, bool), "relative")
    return request.param, pictures, camera, depth, inverse, truth


def end_point_error(artifact, truth, inverse):
    """Median over the maps of the median end-point error in latent cells, by points in the world, one map at a time."""
    h, w = artifact.motion.shape[-2:]
    centres = cell_centres((w, h), (512, 512))
    lenses, errors, sizes = intrinsics_vector(truth["K"]), [], []
    for r, reference in enumerate(artifact.references):
        near = resize_map(inverse[reference], (w, h))
        for to in range(artifact.frame_step, artifact.motion.shape[1]):
            start = to - artifact.frame_step
            with np.errstate(divide="ignore"):
                points = unproject(centres, np.where(near > 0, 1 / near, 1e9), lenses[start])
            moved = transform_points(truth["w2c"][to] @ truth["c2w"][start], points.reshape(-1, 3))
            want = project(moved, lenses[to])[0].reshape(h, w, 2) - centres
            use = (near > 0) & artifact.valid[r, to] & np.isfinite(want).all(-1)
            got = np.moveaxis(artifact.motion[r, to].astype(float), 0, -1)
            errors.append(np.median(np.linalg.norm(want - got, axis=-1)[use]) / 8)
            sizes.append(np.median(np.linalg.norm(want, axis=-1)[use]) / 8)
    return np.median(errors), np.median(sizes)


def test_alignment_brings_the_end_point_error_down(shot):
    """True cameras, depth of unknown scale and shift: the error with alignment, and without it."""
    name, pictures, camera, depth, inverse, truth = shot
    aligned, header = run(make_inputs(pictures, camera, depth))
    assert (header.status, header.extra["alignment"]) == ("ok", ["fitted", "fitted"])
    for number, scale in enumerate(SCALES):
        assert header.quality[f"alignment_scale_{number}"] == pytest.approx(1 / scale, rel=0.06)
    assert header.quality["alignment_residual"] < 0.05
    assert header.quality["alignment_inliers"] > 0.7
    assert header.quality["warp_error"] < 0.6 * header.quality["still_error"]
    blind = replace(camera, sparse=tuple(SparseDepth(s.xy[:0], s.inverse_depth[:0]) for s in camera.sparse))
    raw, raw_header = run(make_inputs(pictures, blind, depth))
    assert raw_header.status == "unaligned"
    (error, size), (raw_error, _) = end_point_error(aligned, truth, inverse), end_point_error(raw, truth, inverse)
    print(
        f"{name}: {error:.4f} of {size:.2f} cells aligned, {raw_error:.2f} unaligned; warp "
        f"{header.quality['warp_error']:.2f} of {header.quality['still_error']:.2f} grey levels"
        f" ({raw_header.quality['warp_error']:.2f} unaligned)"
    )
    assert error < 0.03 * size
    assert raw_error > 5 * error
    assert raw_header.quality["warp_error"] > 1.2 * header.quality["warp_error"]
    assert aligned.motion.dtype == np.float16
    assert aligned.motion.shape == (2, LENGTH, 2, 64, 64)
    assert (aligned.motion[:, :3] == 0).all()
    assert np.isfinite(aligned.motion).all()


def test_a_trainer_computes_the_stored_maps_again(shot):
    """From the sample's float16 depth and its cameras, at the stored step."""
    _, pictures, camera, depth, *_ = shot
    artifact, _ = run(make_inputs(pictures, camera, depth))
    again, valid = scene_motion(
        torch.from_numpy(artifact.inverse_depth), torch.from_numpy(camera.cam_to_world),
        torch.from_numpy(camera.intrinsics), (512, 512), artifact.frame_step,
    )  # fmt: skip
    np.testing.assert_array_equal(np.clip(again.numpy(), -65504, 65504).astype(np.float16), artifact.motion)
    np.testing.assert_array_equal(valid.numpy() & (np.abs(again.numpy()).max(2) <= 65504), artifact.valid)


def test_points_on_the_character_do_not_count(shot):
    _, pictures, camera, depth, *_ = shot
    mask = np.zeros((LENGTH, 64, 64), bool)
    mask[:, :, :32] = True
    sparse = list(camera.sparse)
    for frame in depth.references:  # points on the left half are all wrong
        left = sparse[frame].xy[:, 0] < 260
        sparse[frame] = SparseDepth(sparse[frame].xy, np.where(left, 5.0, sparse[frame].inverse_depth))
    spoilt = CameraArtifact(camera.status, camera.cam_to_world, camera.intrinsics, tuple(sparse), camera.focal_source)
    _, header = run(make_inputs(pictures, spoilt, depth, mask))
    assert header.quality["alignment_points"] < 200
    assert header.quality["alignment_scale_0"] == pytest.approx(1 / SCALES[0], rel=0.1)


def test_a_static_camera_is_exactly_zero():
    artifact, header = run(make_inputs(grey(30), still_camera(30, (160, 96)), some_depth((1, 28))), 30)
    assert header.status == "static"
    assert (artifact.motion == 0).all()
    assert artifact.valid.all()
    assert artifact.frame_step == 1  # 30 frames leave room for no more
    assert artifact.inverse_depth.shape == (2, 12, 20)


def test_an_unsolved_camera_is_zero_and_nowhere_valid():
    artifact, header = run(make_inputs(grey(30), still_camera(30, (160, 96), "unsolved"), some_depth((1, 28))), 30)
    assert header.status == "no_camera"
    assert (artifact.motion == 0).all()
    assert not artifact.valid.any()


def test_rotation_does_not_read_the_depth():
    cams = np.tile(np.eye(4), (80, 1, 1))
    angle = np.linspace(0, 0.3, 80)
    cams[:, 0, 0] = cams[:, 2, 2] = np.cos(angle)
    cams[:, 0, 2], cams[:, 2, 0] = np.sin(angle), -np.sin(angle)
    camera = still_camera(80, (160, 96), "rotation", cams)
    first, header = run(make_inputs(grey(80), camera, some_depth((2, 75))), 80)
    plane = DepthArtifact((2, 75), np.full((2, 24, 40), 0.3, np.float32), np.zeros((2, 24, 40), bool), "relative")
    second, _ = run(make_inputs(grey(80), camera, plane), 80)
    assert header.status == "rotation"
    np.testing.assert_array_equal(first.motion, second.motion)
    expected = -160 * np.tan(angle[3] - angle[0])  # a pan to the right moves the middle of the picture to the left
    assert np.median(first.motion[0, 10, 0, 5:7, 9:11]) == pytest.approx(expected, rel=0.02)


def test_a_moving_camera_without_points_says_unaligned():
    cams = np.tile(np.eye(4), (80, 1, 1))
    cams[:, 0, 3] = np.linspace(0, 1, 80)
    artifact, header = run(make_inputs(grey(80), still_camera(80, (160, 96), "moving", cams), some_depth((2, 75))), 80)
    assert (header.status, header.extra["alignment"]) == ("unaligned", ["guessed", "guessed"])
    assert np.isfinite(artifact.motion).all()
    assert artifact.motion[:, 3:, 0].max() < 0


def test_published_mode_stores_the_published_maps():
    cams = np.tile(np.eye(4), (80, 1, 1))
    cams[:, 0, 3] = np.linspace(0, 1, 80)
    depth = some_depth((2, 75), (12, 20))
    inputs = make_inputs(grey(80), still_camera(80, (160, 96), "moving", cams), depth)
    artifact, header = run(inputs, 80, compat="published")
    want = published_scene_motion(torch.from_numpy(depth.inverse_depth), torch.from_numpy(cams), 3)
    np.testing.assert_allclose(artifact.motion, want, atol=1e-5, rtol=2e-3)
    assert header.extra["compat"] == "published"
    assert "motion_median_px" not in header.quality


def test_motion_beyond_float16_is_clamped_and_not_valid():
    cams = np.tile(np.eye(4), (30, 1, 1))
    cams[1:, 2, 3] = 1 - 1e-4  # 0.0001 before the points
    lens = still_camera(30, (160, 96), "moving", cams)
    depth = DepthArtifact((1, 28), np.ones((2, 12, 20), np.float32), np.zeros((2, 12, 20), bool), "camera")
    artifact, header = run(make_inputs(grey(30), lens, depth), 30)
    assert np.isfinite(artifact.motion).all()
    assert np.abs(artifact.motion).max() == 65504
    assert not artifact.valid[:, 1][np.abs(artifact.motion[:, 1]).max(1) == 65504].any()
    assert header.quality["overflow_share"] > 0


def test_inputs_that_do_not_belong_together_are_refused():
    inputs = make_inputs(grey(30), still_camera(29, (160, 96)), some_depth((1, 28)))
    with pytest.raises(StageError, match="30 frames, but 29 cameras"):
        run(inputs, 30)


def test_maps_change_grids_about_their_cells_centres():
    ramp = cell_centres((40, 24), (160, 96))[..., 0].astype(np.float32)
    np.testing.assert_allclose(resize_map(ramp, (20, 12)), cell_centres((20, 12), (160, 96))[..., 0], atol=1e-4)
    larger = resize_map(ramp, (80, 48))
    np.testing.assert_allclose(larger[:, 1:-1], cell_centres((80, 48), (160, 96))[:, 1:-1, 0], atol=1e-4)


def test_rescaled_frames_scale_the_motion(shot):
    """The same maps, in pixels of a frame of 768²: 1.5 times the motion."""
    _, pictures, camera, depth, *_ = shot
    large = np.stack([cv2.resize(p, (768, 768)) for p in pictures[:30]])
    lenses = rescale_intrinsics(camera.intrinsics[:30], (512, 512), (768, 768))
    near = DepthArtifact((2, 28), depth.inverse_depth / 500, depth.filled, "camera")
    small_camera = CameraArtifact("moving", camera.cam_to_world[:30], camera.intrinsics[:30], camera.sparse[:30], "x")
    large_camera = CameraArtifact("moving", camera.cam_to_world[:30], lenses, camera.sparse[:30], "x")
    small, _ = run(make_inputs(pictures[:30], small_camera, near), 30)
    big, _ = run(make_inputs(large, large_camera, near), 30)
    assert big.motion.shape[-2:] == (96, 96)
    resized = np.stack([resize_map(m, (64, 64)) for m in big.motion[0, :, 0].astype(np.float32)])
    difference = np.abs(resized - 1.5 * small.motion[0, :, 0].astype(np.float32))
    assert np.median(difference[1:]) < 0.02 * np.median(np.abs(resized[1:]))
