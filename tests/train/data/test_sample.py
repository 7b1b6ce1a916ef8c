"""Samples against the truth that `tests.train.shards` films: pictures, cameras, motion; and samples that lie."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.geometry.drawing import draw_pose
from schemas.artifacts.header import npy_array, npy_bytes
from schemas.ids import reference_indices
from schemas.release import Release
from tests.train.shards import FOCAL, ClipSpec, frame_image, jpeg, sample_members, write_release, write_shard
from train.data.batch import signed, unit
from train.data.config import ReaderConfig
from train.data.errors import ShardError
from train.data.fetch import LocalStore
from train.data.motion import finish
from train.data.order import SampleRef
from train.data.release import load_release
from train.data.sample import SampleReader

SPEC = ClipSpec(number=3, frames=40, size=(64, 64), step=2, speed=0.05)


def reader_of(root: Path, **settings) -> SampleReader:
    store = LocalStore(root=str(root))
    return SampleReader(config=ReaderConfig(**settings), store=store, release=load_release(store))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sample")
    entry = write_shard(path, "one", [(SPEC, sample_members(SPEC))])
    write_release(path, Release(number=1, shards=(entry,)))
    return path


def frame_of(cam_to_world: torch.Tensor) -> np.ndarray:
    """Frame indices from the camera's known path."""
    return (cam_to_world[..., 0, 3] / SPEC.speed).round().int().numpy()


def picture(batch_image: torch.Tensor) -> np.ndarray:
    return batch_image.permute(1, 2, 0).numpy().astype(float)


def close(image: np.ndarray, truth: np.ndarray) -> bool:
    return float(np.abs(image - truth).mean()) < 4  # JPEG at quality 95


@pytest.mark.parametrize("index", range(6))
def test_windows_show_the_frames_that_their_cameras_say(root, index):
    batch = reader_of(root, stage=2, frames=8, size=(64, 64), seed=5).read(SampleRef(index, 0, 0, False))
    assert batch.sample_ids == (SPEC.clip_id,)
    frames = frame_of(batch.cam_to_world[0])
    assert (np.diff(frames) == SPEC.step).all()
    reference = int(frame_of(batch.reference_cam_to_world)[0])
    assert reference in reference_indices(SPEC.clip_id, SPEC.frames)
    assert not frames[0] <= reference <= frames[-1]
    assert close(picture(batch.reference[0]), frame_image(SPEC, reference))
    for number, frame in enumerate(frames):
        assert close(picture(batch.target[0, number]), frame_image(SPEC, int(frame)))
    motion, valid = batch.scene_motion[0], batch.scene_motion_valid[0]
    assert batch.scene_motion_stored.all()
    assert (motion[0] == 0).all()
    np.testing.assert_allclose(motion[1:, 0], SPEC.motion_x, rtol=1e-3)
    assert (motion[:, 1] == 0).all()
    assert valid.all()
    np.testing.assert_allclose(batch.intrinsics[0], [[FOCAL * 64, FOCAL * 64, 31.5, 31.5]] * 8)
    np.testing.assert_allclose(batch.inverse_depth, 0.5)
    keypoints = [npy_array(sample_members(SPEC)[f"keypoints_{part}.npy"]) for part in ("body", "face", "hand")]
    for number, frame in enumerate(frames):
        drawn = draw_pose(*(points[frame] for points in keypoints), (64, 64))
        for image, part in zip(drawn, (batch.pose_body, batch.pose_face, batch.pose_hand), strict=True):
            np.testing.assert_array_equal(picture(part[0, number]), image)
    assert batch.pose_body.any()
    np.testing.assert_array_equal(
        picture(batch.reference_pose[0]), draw_pose(*(points[reference] for points in keypoints), (64, 64))[0]
    )


def test_draws_depend_on_the_global_index_and_nothing_else(root):
    settings = {"stage": 2, "frames": 8, "size": (64, 64), "crop_scale": 0.5}
    reader = reader_of(root, **settings)
    first = [reader.read(SampleRef(i, 0, 0, False)) for i in range(12)]
    again = reader_of(root, workers=0, **settings)
    for i in (7, 3, 11):
        for name, value in again.read(SampleRef(i, 0, 0, False)).tensors().items():
            assert torch.equal(value, first[i].tensors()[name]), name
    assert len({tuple(frame_of(b.cam_to_world[0])) for b in first}) > 3
    assert len({float(b.intrinsics[0, 0, 0]) for b in first}) > 8
    other = reader_of(root, seed=1, **settings).read(SampleRef(0, 0, 0, False))
    assert not torch.equal(other.target, first[0].target)


@pytest.mark.parametrize(("step", "crop"), [(3, 1.0), (1, 0.4), (2, 0.4)])
def test_motion_moves_the_picture_that_is_trained_on(root, step, crop):
    """The crop's own focal length and the true speed give the motion, recomputed (steps 1, 3) or stored (2)."""
    reader = reader_of(root, stage=2, frames=6, frame_step=step, size=(96, 96), crop_scale=crop)
    for index in range(3):
        batch = reader.read(SampleRef(index, 0, 0, False))
        assert bool(batch.scene_motion_stored.item()) == (step == SPEC.step)
        done = finish(batch, "cpu")
        assert done.scene_motion_stored.all()
        assert int(done.frame_step) == step
        truth = -float(batch.intrinsics[0, 0, 0]) * SPEC.speed * step * 0.5
        np.testing.assert_allclose(done.scene_motion[0, 1:, 0], truth, rtol=2e-3)
        np.testing.assert_allclose(done.scene_motion[0, 1:, 1], 0, atol=1e-4)
        assert (done.scene_motion[0, 0] == 0).all()
        # What leaves the picture on the left is marked.
        landing = (torch.arange(12) + 0.5) * 8 - 0.5 + truth
        expected = ((landing >= -0.5) & (landing <= 95.5)).expand(5, 12, 12)
        assert torch.equal(done.scene_motion_valid[0, 1:], expected)


def test_stage_1_takes_pairs_and_stylised_pairs(root):
    reader = reader_of(root, stage=1, size=(64, 64))
    for index in range(5):
        batch = reader.read(SampleRef(index, 0, 0, False))
        target, reference = int(frame_of(batch.cam_to_world[0])[0]), int(frame_of(batch.reference_cam_to_world)[0])
        assert target != reference
        assert close(picture(batch.target[0, 0]), frame_image(SPEC, target))
        assert close(picture(batch.reference[0]), frame_image(SPEC, reference))
        assert (batch.scene_motion == 0).all()
        assert batch.scene_motion_stored.all()
    styled = reader.read(SampleRef(0, 0, 0, True))
    assert styled.styled.all()
    assert frame_of(styled.reference_cam_to_world)[0] == 0
    assert frame_of(styled.cam_to_world[0])[0] == SPEC.frames - 1
    assert close(picture(styled.reference[0]), 255.0 - frame_image(SPEC, 0))
    assert close(picture(styled.target[0, 0]), 255.0 - frame_image(SPEC, SPEC.frames - 1))


def test_clip_without_pairs_says_it_is_not_styled(dataset):
    reader = reader_of(dataset, stage=1, size=(64, 64))
    batch = reader.read(SampleRef(0, 0, 0, True))  # the first shard holds camera-only clips
    assert batch.kind == ("camera",)
    assert not batch.styled.any()
    assert not batch.pose_body.any()


def test_reads_a_fraction_of_the_sample(root):
    reader = reader_of(root, stage=2, frames=4, size=(64, 64))
    encoded = reader.fetch(SampleRef(0, 0, 0, False))
    assert len(encoded.pictures) == 5
    assert [len(data) for data in encoded.maps["scene_motion.npy"]] == [2 * 8 * 8 * 2] * 4


def test_ranges_of_converted_pictures():
    images = torch.arange(256, dtype=torch.uint8)
    assert (signed(images).min(), signed(images).max()) == (-1, 1)
    assert (unit(images).min(), unit(images).max()) == (0, 1)


def edited(**changes) -> dict[str, bytes]:
    """The sample's members with the json's fields changed."""
    members = sample_members(SPEC)
    members["json"] = json.dumps(json.loads(members["json"]) | changes).encode()
    return members


def replaced(name: str, data: bytes) -> dict[str, bytes]:
    return sample_members(SPEC) | {name: data}


def without(name: str) -> dict[str, bytes]:
    return {key: value for key, value in sample_members(SPEC).items() if key != name}


def object_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    return buffer.getvalue()


NAN = np.full((SPEC.frames, 4, 4), np.nan)
GRID = (2, SPEC.frames, 2, 8, 8)
MOTION = npy_bytes(np.zeros(GRID, np.float16))


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        (lambda: without("json"), "member 'json' is missing"),
        (lambda: replaced("json", b"{"), "does not follow the schema"),
        (lambda: edited(surprise=1), "surprise"),
        (lambda: edited(clip_id="f" * 16 + "_000000_0040"), "where the release has"),
        (lambda: edited(frame_step=3), "where the release has"),
        (lambda: edited(references=[2, 4000]), "out of range"),
        (lambda: edited(size=[60, 64]), "out of range"),
        (lambda: edited(size=[80000, 80000]), "above max_pixels"),
        (lambda: edited(references=[]), "leaves out a reference"),
        (lambda: edited(size=[72, 64]), "bytes do not hold"),
        (lambda: without("intrinsics.npy"), "intrinsics.npy: is missing"),
        (lambda: replaced("cam_to_world.npy", object_array()), "cam_to_world.npy: an array of Python objects"),
        (lambda: replaced("scene_motion.npy", object_array()), "scene_motion.npy: .* bytes do not hold"),
        (lambda: replaced("scene_motion.npy", MOTION.replace(b"'<f2'", b"'|O' ")), "an array of Python objects"),
        (lambda: replaced("scene_motion.npy", MOTION.replace(b"2, 40, 2", b"2, 2, 40")), "contract says"),
        (lambda: replaced("scene_motion.npy", MOTION.replace(b"\x76\x00", b"\x56\x00", 1)), "would fit the data"),
        (lambda: replaced("cam_to_world.npy", npy_bytes(NAN)), "not finite"),
        (lambda: replaced("scene_motion.npy", npy_bytes(np.full(GRID, np.inf, np.float16))), "not finite"),
        (lambda: replaced("scene_motion.npy", MOTION[:-200]), "bytes do not hold"),
        (lambda: replaced("scene_motion_valid.npy", npy_bytes(np.zeros(GRID, np.uint8))), "bytes do not hold"),
        (lambda: replaced("keypoints_body.npy", npy_bytes(np.zeros((40, 1, 16, 3), np.float32))), "contract says"),
        (lambda: replaced("keypoints_hand.npy", npy_bytes(np.zeros((40, 300, 21, 3), np.float32))), "300 instances"),
        (
            lambda: sample_members(SPEC) | {f"frame_{i:03d}.jpg": b"\xff\xd8" for i in range(40)},
            r"frame_\d+.jpg: not a readable JPEG",
        ),
        (
            lambda: (
                sample_members(SPEC) | {f"frame_{i:03d}.jpg": jpeg(np.zeros((64, 80, 3), np.uint8)) for i in range(40)}
            ),
            "80 × 64 pixels, the sample's json says 64 × 64",
        ),
    ],
)
def test_samples_that_break_the_contract_are_named(tmp_path, members, cause):
    entry = write_shard(tmp_path, "bad", [(SPEC, members())])
    write_release(tmp_path, Release(number=1, shards=(entry,)))
    reader = reader_of(tmp_path, stage=2, frames=8, size=(64, 64))
    with pytest.raises(ShardError, match=cause) as caught:
        reader.read(SampleRef(0, 0, 0, False))
    assert entry.path in str(caught.value)
    assert SPEC.clip_id in str(caught.value)
