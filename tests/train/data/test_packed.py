"""A shard that the pipeline's packer writes gives the batches that the test's own shard gives."""

import io
import json

import numpy as np
import pytest
import torch

from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact, StylePair
from schemas.clip import Clip
from schemas.release import Release
from schemas.sample import style_members
from tests.train.shards import ClipSpec, sample_members, write_release, write_shard
from train.data.config import ReaderConfig
from train.data.fetch import LocalStore
from train.data.order import SampleRef
from train.data.release import load_release, verify_shards
from train.data.sample import SampleReader

pytest.importorskip("deltalake", reason="needs the extra `pipeline`")
from pipeline.pack.shard import PackJob
from pipeline.storage import Storage
from pipeline.work import SampleWork, ShardWork, artifact_path

SPECS = [ClipSpec(number=n, frames=40, step=2, styles=1) for n in range(2)]


def pack(root, spec: ClipSpec) -> SampleWork:
    """Writes the clip's artifacts where the packer reads them."""
    members = sample_members(spec)
    meta = json.loads(members["json"])
    array = {
        name.removesuffix(".npy"): np.load(io.BytesIO(data)) for name, data in members.items() if name[-4:] == ".npy"
    }
    length, header = spec.frames, Header("", spec.clip_id)
    empty = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    artifacts = {
        "decode": FramesArtifact(
            tuple(members[f"frame_{i:03d}.jpg"] for i in range(length)),
            np.array(meta["timestamps"]), np.zeros(length, bool), 30.0, spec.size, (0, 0, *spec.size),
        ),
        "pose": PoseArtifact(
            *(array[f"keypoints_{part}"] for part in ("body", "face", "hand")), np.zeros((length, 8, 8), bool)
        ),
        "camera": CameraArtifact("moving", array["cam_to_world"], array["intrinsics"], (empty,) * length, "manifest"),
        "scene_motion": SceneMotionArtifact(
            tuple(meta["references"]), spec.frame_step, array["scene_motion"],
            array["scene_motion_valid"].astype(bool), array["inverse_depth"],
        ),
        "stylize": StyleArtifact(
            tuple(
                StylePair(**pair, reference_jpeg=members[reference], target_jpeg=members[target])
                for pair, (reference, target) in zip(meta["styles"], [style_members(0)], strict=True)
            )
        ),
    }  # fmt: skip
    storage, keys = Storage(str(root)), {}
    for stage, artifact in artifacts.items():
        keys[stage] = f"{spec.number:02d}{stage}"
        storage.write_table(
            artifact_path(stage, keys[stage]),
            artifact.to_table(Header(stage, header.clip_id, extra={"compat": "paper"})),  # type: ignore[attr-defined]
        )
    clip = Clip(spec.clip_id, meta["source_id"], "character", "train", 0, length, (30, 1), 0.0, "video.mp4")
    return SampleWork(clip, keys)


@pytest.mark.parametrize("settings", [{"stage": 2, "frames": 8}, {"stage": 2, "frames": 5, "frame_step": 3}, {}])
def test_packed_shards_read_as_our_own(tmp_path, settings):
    packed, own = tmp_path / "packed", tmp_path / "own"
    packed.mkdir()
    work = ShardWork("train-character-000000", "train", "character", tuple(pack(packed, spec) for spec in SPECS))
    entry = PackJob(Storage(str(packed))).write(work)
    write_release(packed, Release(number=1, shards=(entry,)))
    entry = write_shard(own, "own", [(spec, sample_members(spec)) for spec in SPECS])
    write_release(own, Release(number=1, shards=(entry,)))
    readers = []
    for root in (packed, own):
        store = LocalStore(root=str(root))
        release = load_release(store)
        assert list(verify_shards(store, release)) == []
        readers.append(SampleReader(config=ReaderConfig(size=(64, 64), **settings), store=store, release=release))
    for index in range(4):
        ref = SampleRef(index, 0, index % 2, index > 1 and not settings)
        mine, theirs = (reader.read(ref) for reader in readers)
        assert mine.sample_ids == theirs.sample_ids == (SPECS[index % 2].clip_id,)
        for name, value in mine.tensors().items():
            assert torch.equal(value, theirs.tensors()[name]), name
