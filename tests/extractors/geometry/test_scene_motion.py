"""Scene motion against true depth and cameras, and against a plain float64 reference."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.geometry.cameras import crop_intrinsics, intrinsics_vector, rescale_intrinsics
from extractors.geometry.rigid import pose, rotation_from_vector, rotation_from_xyzw
from extractors.geometry.scene_motion import scene_motion
from tests.paths import test_data

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def run(inverse_depth, cams, lenses, size, frame_step=1, device="cpu"):
    arrays = (torch.from_numpy(np.asarray(a, np.float64)).to(device) for a in (inverse_depth, cams, lenses))
    motion, valid = scene_motion(*arrays, size, frame_step)
    return motion.cpu().numpy(), valid.cpu().numpy()


def reference(inverse_depth, cams, lenses, size, frame_step):
    """The definition, point by point: unproject, to the world, into the next camera, project, subtract."""
    R, h, w = inverse_depth.shape
    motion, valid = np.zeros((R, len(cams), 2, h, w)), np.ones((R, len(cams), h, w), bool)
    for r in range(R):
        for frame in range(frame_step, len(cams)):
            fx, fy, cx, cy = lenses[frame - frame_step]
            to_next = np.linalg.inv(cams[frame]) @ cams[frame - frame_step]
            for row in range(h):
                for column in range(w):
                    u, v = (column + 0.5) * size[0] / w - 0.5, (row + 0.5) * size[1] / h - 0.5
                    z = 1e9 if inverse_depth[r, row, column] == 0 else 1 / inverse_depth[r, row, column]
                    x, y, z, _ = to_next @ [(u - cx) / fx * z, (v - cy) / fy * z, z, 1]
                    fx2, fy2, cx2, cy2 = lenses[frame]
                    if z <= 0:
                        valid[r, frame, row, column] = False
                        continue
                    u2, v2 = fx2 * x / z + cx2, fy2 * y / z + cy2
                    motion[r, frame, :, row, column] = u2 - u, v2 - v
                    valid[r, frame, row, column] = -0.5 <= u2 <= size[0] - 0.5 and -0.5 <= v2 <= size[1] - 0.5
    return motion, valid


def some_cameras(rng, length=5, turn=0.4, shift=1.5):
    start = rng.normal(size=3)
    turns = np.cumsum(rng.normal(size=(length, 3)) * turn / 3, 0) + rng.normal(size=3)
    return pose(rotation_from_vector(turns), start + np.cumsum(rng.normal(size=(length, 3)) * shift / 3, 0))


def some_lenses(rng, size, length=5):
    focal = max(size) * rng.uniform(0.7, 2.5, length)
    centre = (np.array(size) - 1) / 2 + rng.normal(size=(length, 2)) * 5
    return np.column_stack([focal, focal * rng.choice([1, 1.05, -1], length), centre])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(96, 64), (72, 120)])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_reference(seed, size, device):
    """Zoom, roll, non-square frames, sky, and (seeds that shift a lot) points behind the camera."""
    rng = np.random.default_rng(seed)
    inverse_depth = rng.uniform(0.02, 1.5, (2, size[1] // 8, size[0] // 8))
    inverse_depth[:, :3] = 0
    cams, lenses = some_cameras(rng, shift=2.5), some_lenses(rng, size)
    lenses[:, 1] = np.abs(lenses[:, 1]) * (-1 if seed % 2 else 1)
    want, want_valid = reference(inverse_depth, cams, lenses, size, 2)
    motion, valid = run(inverse_depth, cams, lenses, size, 2, device)
    # next to the plane of the camera's centre the projection itself loses digits, in the reference too
    far = np.abs(want).max(2, keepdims=True) < 1e5
    np.testing.assert_allclose(np.where(far, motion, 0), np.where(far, want, 0), atol=1e-3, rtol=1e-6)
    np.testing.assert_array_equal(valid, want_valid)
    assert not want_valid.all()
    assert want_valid[:, 2:].any()


def test_behind_the_camera_is_zero_and_out_of_frame_is_true():
    cams = np.tile(np.eye(4), (3, 1, 1))
    cams[1, 2, 3] = 2.0  # past the point at depth 1
    cams[2, :3, 3] = [5, 0, 2]  # then 5 to the right, where a point at depth 10 leaves the frame
    lenses = np.tile([100.0, 100, 39.5, 39.5], (3, 1))
    motion, valid = run(np.full((1, 10, 10), 1.0), cams, lenses, (80, 80))
    assert not valid[:, 1].any()
    assert (motion[:, 1] == 0).all()
    motion, valid = run(np.full((1, 10, 10), 0.1), cams, lenses, (80, 80))
    np.testing.assert_allclose(motion[0, 2, 0], -100 * 5 / 10, atol=1e-4)
    assert not valid[0, 2, :, :6].any()
    assert valid[0, 2, :, 7:].all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_a_static_camera_gives_exactly_zero(seed, step):
    rng = np.random.default_rng(seed)
    cams = np.repeat(some_cameras(rng, 1), 5, axis=0)
    lenses = np.repeat(some_lenses(rng, (80, 48), 1), 5, axis=0)
    motion, valid = run(rng.uniform(0, 3, (2, 6, 10)), cams, lenses, (80, 48), step)
    assert (motion == 0).all()
    assert valid.all()


@settings(max_examples=30)
@given(st.integers(0, 2**31))
def test_rotation_and_zoom_do_not_depend_on_depth(seed):
    rng = np.random.default_rng(seed)
    cams = some_cameras(rng)
    cams[:, :3, 3] = cams[0, :3, 3]
    lenses = some_lenses(rng, (80, 48))
    motion, _ = run(np.stack([rng.uniform(0, 3, (6, 10)), np.zeros((6, 10))]), cams, lenses, (80, 48))
    np.testing.assert_array_equal(motion[0], motion[1])
    assert np.abs(motion[:, 1:]).max() > 0.1


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_the_unit_and_the_world_axes_do_not_matter(seed, unit):
    rng = np.random.default_rng(seed)
    cams, lenses, inverse_depth = some_cameras(rng), some_lenses(rng, (80, 48)), rng.uniform(0, 0.3, (1, 6, 10))
    motion, _ = run(inverse_depth, cams, lenses, (80, 48))
    moved = pose(rotation_from_vector(rng.normal(size=3)), rng.normal(size=3)) @ cams
    moved[:, :3, 3] *= unit
    again, _ = run(inverse_depth / unit, moved, lenses, (80, 48))
    near = np.abs(motion) < 1e3
    np.testing.assert_allclose(again[near], motion[near], atol=1e-3, rtol=1e-5)


def test_zoom_scales_about_the_principal_point():
    lenses = np.array([[100.0, 100, 39.5, 23.5], [150.0, 150, 39.5, 23.5]])
    motion, _ = run(np.ones((1, 6, 10)), np.tile(np.eye(4), (2, 1, 1)), lenses, (80, 48))
    u, v = np.arange(10) * 8 + 3.5, np.arange(6) * 8 + 3.5
    np.testing.assert_allclose(motion[0, 1, 0], np.tile((u - 39.5) * 0.5, (6, 1)), atol=1e-5)
    np.testing.assert_allclose(motion[0, 1, 1], np.tile((v - 23.5) * 0.5, (10, 1)).T, atol=1e-5)


def test_roll_turns_about_the_principal_point():
    """A camera that rolls clockwise by a right angle sees what was on its right above the centre."""
    cams = np.tile(np.eye(4), (2, 1, 1))
    cams[1, :3, :3] = rotation_from_vector([0, 0, np.pi / 2])  # x to y, clockwise on screen as y points down
    motion, _ = run(np.ones((1, 8, 8)), cams, np.tile([100.0, 100, 31.5, 31.5], (2, 1)), (64, 64))
    u, v = np.meshgrid(np.arange(8) * 8 + 3.5, np.arange(8) * 8 + 3.5)
    np.testing.assert_allclose(u + motion[0, 1, 0], 31.5 + (v - 31.5), atol=1e-4)
    np.testing.assert_allclose(v + motion[0, 1, 1], 31.5 - (u - 31.5), atol=1e-4)


def test_a_crop_of_grid_and_lens_gives_the_crop_of_the_map():
    rng = np.random.default_rng(3)
    cams, lenses, inverse_depth = some_cameras(rng, 4), some_lenses(rng, (96, 64), 4), rng.uniform(0, 0.3, (1, 8, 12))
    whole, _ = run(inverse_depth, cams, lenses, (96, 64))
    part, _ = run(inverse_depth[:, 2:7, 3:11], cams, crop_intrinsics(lenses, 24, 16), (64, 40))
    np.testing.assert_allclose(part, whole[..., 2:7, 3:11], atol=1e-3, rtol=1e-5)


def test_a_window_of_stepped_frames_equals_the_stepped_maps():
    rng = np.random.default_rng(4)
    cams, lenses, inverse_depth = some_cameras(rng, 40), some_lenses(rng, (96, 64), 40), rng.uniform(0, 1, (2, 8, 12))
    stored, valid = run(inverse_depth, cams, lenses, (96, 64), 3)
    window = np.arange(2, 40, 3)
    picked, picked_valid = run(inverse_depth, cams[window], lenses[window], (96, 64))
    np.testing.assert_array_equal(picked[:, 1:], stored[:, window[1:]])
    np.testing.assert_array_equal(picked_valid[:, 1:], valid[:, window[1:]])
    assert (picked[:, 0] == 0).all()


def test_refuses_shapes_that_do_not_fit():
    eye, lens = torch.eye(4).repeat(3, 1, 1), torch.ones(3, 4)
    with pytest.raises(ValueError, match=r"inverse_depth \[R, h, w\]"):
        scene_motion(torch.ones(4, 4), eye, lens, (32, 32))
    with pytest.raises(ValueError, match="at least 1"):
        scene_motion(torch.ones(1, 4, 4), eye, lens, (32, 32), 0)


def warp_back(picture, motion, grid_size):
    """The picture of frame l + 1 seen from frame l: sampled where a map on l's own pixels says its points have gone."""
    h, w = grid_size
    u, v = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return cv2.remap(picture, u + motion[0], v + motion[1], cv2.INTER_LINEAR)


def mmd_frames(name, numbers):
    video = cv2.VideoCapture(str(test_data(f"mmd_shots/{name}")))
    frames = {}
    for i in range(max(numbers) + 1):
        good, frame = video.read()
        assert good
        if i in numbers:
            frames[i] = frame.astype(np.float32)
    return [frames[i] for i in numbers]


def test_own_depth_warps_the_mmd_render_onto_another_frame():
    """Full-resolution true depth of frame 100: photometric error and depth consistency with frame 150."""
    truth = np.load(test_data("mmd_shots/ground_truth.npz"))
    depth = [
        cv2.imread(str(test_data(f"mmd_shots/depth/bg_{n:05d}.png")), cv2.IMREAD_UNCHANGED) / 500.0 for n in (100, 150)
    ]
    inverse = np.where(depth[0] > 0, 1 / np.maximum(depth[0], 1e-3), 0)
    pair = [100, 150]
    cams, lenses = truth["c2w"][pair], intrinsics_vector(truth["K"][pair])
    motion, valid = run(inverse[None], cams, lenses, (512, 512))
    first, second = mmd_frames("mmd_shots_camera_only.mp4", [100, 150])
    seen = valid[0, 1] & (inverse > 0)
    still = np.abs(second - first)[seen].mean()
    warped = np.abs(warp_back(second, motion[0, 1], (512, 512)) - first)[seen].mean()
    z = (np.linalg.inv(cams[1]) @ cams[0])[2]
    u, v = np.meshgrid(np.arange(512), np.arange(512))
    fx, fy, cx, cy = lenses[0]
    predicted = depth[0] * (z[0] * (u - cx) / fx + z[1] * (v - cy) / fy + z[2]) + z[3]
    looked_up = warp_back(depth[1].astype(np.float32), motion[0, 1], (512, 512))
    consistency = np.median(np.abs(looked_up - predicted)[seen] / predicted[seen])
    print(f"MMD 100→150: photometric {still:.2f} unwarped, {warped:.2f} warped; depth {consistency:.1e} relative")
    assert warped < 0.5 * still
    assert consistency < 1e-3


@pytest.mark.parametrize("shot", ["truck_character", "orbit_background"])
def test_own_depth_is_needed_on_the_moving_mmd_shots(shot):
    """On the latent grid, three frames apart: the depth of the frame itself lands on the next frame's depth; with the
    depth of a distant reference it does not, because φ then belongs to another picture.
    """
    truth = np.load(test_data(f"mmd_shots/{shot}.npz"))
    inverse = truth["inverse_depth_96_bg"].astype(np.float64)
    lenses = rescale_intrinsics(intrinsics_vector(truth["K"]), (512, 512), (768, 768))
    own, other = [], []
    for frame in range(0, 80, 10):
        pair = [frame, frame + 3]
        for name, reference_frame in ((own, frame), (other, (frame + 45) % 80)):
            depth = inverse[reference_frame]
            motion, valid = run(depth[None], truth["c2w"][pair], lenses[pair], (768, 768))
            cells = motion[0, 1] / 8
            column = np.clip(np.round(np.arange(96)[None] + cells[0]).astype(int), 0, 95)
            row = np.clip(np.round(np.arange(96)[:, None] + cells[1]).astype(int), 0, 95)
            fx, fy, cx, cy = lenses[frame]
            z = (truth["w2c"][frame + 3] @ truth["c2w"][frame])[2]
            u, v = np.meshgrid(np.arange(96) * 8 + 3.5, np.arange(96) * 8 + 3.5)
            seen = valid[0, 1] & (depth > 0) & (inverse[frame + 3][row, column] > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                predicted = (z[0] * (u - cx) / fx + z[1] * (v - cy) / fy + z[2]) / depth + z[3]
                name.append(np.median(np.abs(predicted * inverse[frame + 3][row, column] - 1)[seen]))
    print(f"{shot}: relative depth error with own depth {np.median(own):.4f}, another's {np.median(other):.4f}")
    assert np.median(own) < 0.02
    assert np.median(other) > 3 * np.median(own)


def test_own_depth_warps_icl_nuim():
    folder = test_data("rgbd/icl_nuim")
    rows = np.loadtxt(folder / "pose.txt")[[0, 2]]
    cams = pose(rotation_from_xyzw(rows[:, 3:]), rows[:, :3])
    depth = [cv2.imread(str(folder / f"depth/{n}.png"), cv2.IMREAD_UNCHANGED) / 5000.0 for n in (1, 3)]
    colour = [cv2.imread(str(folder / f"color/{n}.png")).astype(np.float32) for n in (1, 3)]
    lenses = np.tile([481.2, -480.0, 319.5, 239.5], (2, 1))
    errors = []
    for phi in (depth[0], depth[1]):
        inverse = np.where(phi > 0, 1 / np.maximum(phi, 1e-3), 0)
        motion, valid = run(inverse[None], cams, lenses, (640, 480))
        seen = valid[0, 1] & (phi > 0)
        warped = warp_back(colour[1], motion[0, 1], (480, 640))
        errors.append(np.median(np.abs(warped - colour[0]).mean(-1)[seen]))
    still = np.median(np.abs(colour[1] - colour[0]).mean(-1))
    print(
        f"ICL-NUIM 1→3: median photometric error {still:.1f} unwarped, {errors[0]:.1f} own, {errors[1]:.1f} other depth"
    )
    assert errors[0] < 0.5 * still
    assert errors[1] > 1.3 * errors[0]  # the two cameras differ mostly by rotation, where depth matters little
