"""Which scene motion a network is given: the paper's or the published code's, and never both in a batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.geometry.published import published_scene_motion
from schemas.artifacts.header import npy_array, npy_bytes
from schemas.release import Release
from tests.train.shards import ClipSpec, sample_members, write_release, write_shard
from train.data.batch import TrainBatch, join
from train.data.config import ReaderConfig
from train.data.fetch import LocalStore
from train.data.motion import finish
from train.data.order import SampleRef
from train.data.release import load_release
from train.data.sample import SampleReader

SPECS = [ClipSpec(number=n, frames=40, size=(64, 64), step=2, speed=0.05) for n in (3, 4)]


def published_members(spec: ClipSpec) -> dict[str, bytes]:
    """A sample whose cameras also turn, with the maps that the pipeline packs under `compat: published`."""
    members = sample_members(spec)
    cameras = npy_array(members["cam_to_world.npy"]).copy()
    for index, camera in enumerate(cameras):
        sine, cosine = np.sin(0.01 * index), np.cos(0.01 * index)
        camera[:3, :3] = [[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]
    depth = np.linspace(0.1, 0.9, 128).reshape(2, 8, 8).astype(np.float16)
    maps = published_scene_motion(torch.from_numpy(depth).float(), torch.from_numpy(cameras), spec.frame_step)
    meta = json.loads(members["json"]) | {"motion_compat": "published"}
    return members | {
        "json": json.dumps(meta).encode(),
        "cam_to_world.npy": npy_bytes(cameras),
        "inverse_depth.npy": npy_bytes(depth),
        "scene_motion.npy": npy_bytes(maps.numpy().astype(np.float16)),
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips: the paper's maps in row 0, published ones in row 1."""
    path = tmp_path_factory.mktemp("motion")
    samples = [(SPECS[0], sample_members(SPECS[0])), (SPECS[1], published_members(SPECS[1]))]
    write_release(path, Release(number=1, shards=(write_shard(path, "one", samples),)))
    return path


def read(root: Path, row: int, **settings: object) -> TrainBatch:
    store = LocalStore(root=str(root))
    config = ReaderConfig(stage=2, frames=6, **({"size": (64, 64)} | settings))
    return SampleReader(config=config, store=store, release=load_release(store)).read(SampleRef(7, 0, row, False))


def test_whole_frames_get_the_maps_that_were_packed(root: Path) -> None:
    batch = read(root, 1)
    made = finish(batch, "cpu", compat="published").scene_motion[0, 1:]
    members = published_members(SPECS[1])
    cameras, packed = npy_array(members["cam_to_world.npy"]), npy_array(members["scene_motion.npy"])
    frames = [int(np.abs(cameras - camera.numpy()).sum((1, 2)).argmin()) for camera in batch.cam_to_world[0]]
    corners = npy_array(members["inverse_depth.npy"]).astype(float)[:, 0, 0]
    row = int(np.abs(corners - batch.inverse_depth[0, 0, 0].item()).argmin())
    assert made.abs().max() > 0
    np.testing.assert_allclose(made, packed[row, frames[1:]], rtol=5e-3, atol=2e-4 * float(made.abs().max()))


@pytest.mark.parametrize("settings", [{"size": (96, 96), "crop_scale": 0.5}, {"frame_step": 3}, {"frame_step": 1}])
def test_crops_and_other_steps_get_maps_of_their_own(root: Path, settings: dict[str, object]) -> None:
    """In the published unit: never rescaled by the crop, whichever kind the shard holds."""
    for row in (0, 1):
        batch = read(root, row, **settings)
        done = finish(batch, "cpu", compat="published")
        wanted = published_scene_motion(batch.inverse_depth, batch.cam_to_world[0])[0]
        assert torch.equal(done.scene_motion[0], wanted)
        assert done.scene_motion_valid.all()
        assert done.scene_motion_stored.all()


def test_published_maps_of_a_shard_never_reach_a_network_of_the_paper(root: Path) -> None:
    batch = read(root, 1)
    assert not batch.scene_motion_stored.any()
    again = batch.with_tensors({"scene_motion": torch.full_like(batch.scene_motion, 7.0)})
    made, same = (finish(each, "cpu").scene_motion for each in (batch, again))
    assert torch.equal(made, same)
    assert made[0, 1:].abs().mean() > 0.5  # pixels; the published unit is a hundred times smaller
    both = finish(join([read(root, 0), batch]), "cpu")
    torch.testing.assert_close(both.scene_motion[1], made[0])
    np.testing.assert_allclose(both.scene_motion[0, 1:, 0], SPECS[0].motion_x, rtol=1e-3)


def test_a_batch_of_both_kinds_has_one_unit(root: Path) -> None:
    both = finish(join([read(root, 0), read(root, 1)]), "cpu", compat="published")
    for row in (0, 1):
        assert torch.equal(both.scene_motion[row], finish(read(root, row), "cpu", compat="published").scene_motion[0])
