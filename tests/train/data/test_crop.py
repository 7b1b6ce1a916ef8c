"""One crop for all signals, checked against projection and against pictures."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extractors.geometry.scene_motion import scene_motion
from train.data.crop import Crop, draw_crop

SIZES = st.tuples(st.integers(2, 12), st.integers(2, 12)).map(lambda s: (8 * s[0], 8 * s[1]))


@given(SIZES, SIZES, st.floats(0.3, 1.0), st.integers(0, 1000))
def test_drawn_crops_fit_and_keep_the_aspect(frame, size, least, seed):
    crop = draw_crop(frame, size, least, np.random.default_rng(seed))
    assert 0 <= crop.left <= frame[0] - crop.width
    assert 0 <= crop.top <= frame[1] - crop.height
    # Whole pixels: each side is off by half a pixel at most, unless it is one pixel.
    ideal = crop.width * size[1] / size[0]
    assert abs(crop.height - ideal) <= 0.5 + 0.5 * size[1] / size[0] + 1e-9 or crop.width == 1


def test_without_a_random_crop_the_largest_centred_one():
    assert draw_crop((640, 360), (64, 64), 1.0, np.random.default_rng(0)) == Crop(
        (640, 360), 140, 0, 360, 360, (64, 64)
    )


@given(st.integers(0, 10_000))
def test_keypoints_and_cameras_agree(seed):
    rng = np.random.default_rng(seed)
    crop = draw_crop((160, 96), (64, 48), 0.4, rng)
    lens = np.array([150.0, 140.0, 80.2, 44.1])
    point = rng.uniform([-1, -1, 2], [1, 1, 5], (9, 3))

    def pixels(k):
        return point[:, :2] / point[:, 2:] * k[:2] + k[2:]

    before = np.concatenate([pixels(lens), np.ones((9, 1))], 1)
    after = crop.keypoints(before)
    np.testing.assert_allclose(after[:, :2], pixels(crop.intrinsics(lens)), atol=1e-9)
    np.testing.assert_array_equal(after[:, 2], 1)


def test_keypoints_stay_on_what_the_picture_shows():
    image = np.zeros((96, 160, 3), np.uint8)
    centre = np.array([70.0, 40.0])
    cv2.circle(image, (70, 40), 9, (255, 255, 255), -1)
    crop = Crop((160, 96), 31, 11, 80, 60, (128, 96))
    shown = crop.image(image)[..., 0].astype(float)
    y, x = np.mgrid[: shown.shape[0], : shown.shape[1]]
    seen = [(shown * x).sum() / shown.sum(), (shown * y).sum() / shown.sum()]
    np.testing.assert_allclose(crop.keypoints(np.array([*centre, 1.0]))[:2], seen, atol=0.05)


@pytest.mark.parametrize("size", [(96, 96), (64, 64), (48, 48)])
def test_scene_motion_of_a_crop_is_that_of_the_cropped_camera(size):
    """The stored map cropped against the map computed from the cropped camera; smooth depth, all motions."""
    frame = (128, 128)
    y, x = torch.meshgrid(*(torch.linspace(0, 1, 16, dtype=torch.float64),) * 2, indexing="ij")
    depth = (0.3 + 0.1 * x + 0.05 * y)[None]
    angle = 0.02
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    pose[:3, 3] = torch.tensor([0.1, -0.05, 0.08])
    poses = torch.stack([torch.eye(4, dtype=torch.float64), pose])
    lenses = torch.tensor([[140.0, 141, 63, 64], [144, 145, 63, 64]], dtype=torch.float64)
    stored, valid = scene_motion(depth, poses, lenses, frame)
    crop = Crop(frame, 16, 8, 96, 96, size)
    got, got_valid = crop.scene_motion(stored[0], valid[0])
    cut_lenses = torch.from_numpy(crop.intrinsics(lenses.numpy()))
    expected, expected_valid = scene_motion(crop.grid(depth[None].float())[0].double(), poses, cut_lenses, size)
    # Bilinear mixing of neighbouring cells is not exact; the motions themselves reach several pixels.
    assert expected[0].abs().max() > 3
    torch.testing.assert_close(got, expected[0], atol=0.02, rtol=0.01)
    assert (got_valid == expected_valid[0]).float().mean() > 0.97


def test_grid_reproduces_a_linear_map():
    centres = (np.arange(16) + 0.5) * 8 - 0.5
    maps = torch.tensor(np.stack(np.broadcast_arrays(centres, centres[:, None])), dtype=torch.float32)[None]
    crop = Crop((128, 128), 20, 12, 80, 80, (64, 64))
    out = (np.arange(8) + 0.5) * 8 - 0.5
    expected = (out + 0.5) * 80 / 64 - 0.5
    np.testing.assert_allclose(crop.grid(maps)[0, 0, 3].numpy(), expected + 20, atol=1e-4)
    np.testing.assert_allclose(crop.grid(maps)[0, 1, :, 3].numpy(), expected + 12, atol=1e-4)


def test_cells_next_to_invalid_ones_are_invalid():
    valid = torch.ones(1, 16, 16, dtype=torch.bool)
    valid[0, 8, 8] = False
    crop = Crop((128, 128), 0, 0, 128, 128, (64, 64))
    _, seen = crop.scene_motion(torch.zeros(1, 2, 16, 16), valid)
    assert not seen[0, 4, 4]
    assert seen.sum() == 63
