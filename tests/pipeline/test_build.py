"""The main job end to end on rendered videos: real stages, real Ray, real shards."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from pipeline.contact_sheet import contact_sheet
from pipeline.dataset import Dataset
from pipeline.demo import render_demo
from pipeline.graph import CLIP_STAGES, build_graph
from pipeline.pack.release import publish
from pipeline.repair import repair
from pipeline.state import read_state
from pipeline.status import read_status
from pipeline.verify import verify
from schemas.sample import check_sample
from tests.pipeline.small import build, small_config

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(900)]
CHARACTER = ("character_cut.mp4", "character_orbit.mp4")
CAMERA = ("camera_dolly.mp4",)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Path:
    """videos/ and dataset/, the dataset built of two character videos (one with a cut) and a camera-only one."""
    folder = tmp_path_factory.mktemp("home")
    render_demo(folder / "videos", size=128, frames=40)
    # Tests look at the machinery, so clips of which the small networks make little still go into shards.
    config = small_config(gates={"refuse_status": {}, "refuse_status_character": {}})
    build(folder / "dataset", [folder / "videos" / name for name in CHARACTER], config=config)
    build(folder / "dataset", [folder / "videos" / name for name in CAMERA], kind="camera")
    return folder


@pytest.fixture
def moved(home: Path, tmp_path: Path) -> Path:
    """A copy of home elsewhere: nothing in a dataset holds an absolute path."""
    return Path(shutil.copytree(home, tmp_path / "moved"))


def shards(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "shards").iterdir())}


def test_every_shot_became_a_sample_that_follows_the_contract(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    release = dataset.newest_release()
    assert release is not None
    # frames=40: the cut video has two shots of 20; the others give a clip of 32, and 8 frames are too few for one more.
    assert sorted(n for entry in release.shards for n in entry.frames) == [20, 20, 32, 32]
    count = 0
    for entry in release.shards:
        stock = webdataset.WebDataset(dataset.storage.full(entry.path), shardshuffle=False, empty_check=False).decode(
            "rgb"
        )
        for sample in stock:
            members = {name: value for name, value in sample.items() if not name.startswith("__")}
            meta = check_sample(members)
            assert members["frame_000.jpg"].shape == (128, 128, 3)
            assert np.allclose(np.diff(meta.timestamps), 1 / 30, atol=1e-6)
            count += 1
    assert count == sum(len(entry.samples) for entry in release.shards)
    status = read_status(dataset)
    assert status.plan.todo == ()
    assert status.failures == ()


def test_no_member_needs_pickle_and_headers_hold_no_clock(home: Path) -> None:
    for path in (home / "dataset" / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                data = tar.extractfile(member)
                assert data is not None
                if member.name.endswith(".npy"):
                    np.load(io.BytesIO(data.read()), allow_pickle=False)
                elif member.name.endswith(".json"):
                    json.loads(data.read())
                else:
                    assert member.name.endswith(".jpg")


def test_a_second_build_does_nothing_wherever_the_dataset_lies(moved: Path) -> None:
    before = shards(moved / "dataset")
    summary = build(moved / "dataset", [moved / "videos" / name for name in CHARACTER])
    assert summary.idle
    assert shards(moved / "dataset") == before


def test_a_parameter_renews_its_stage_and_dependants_only(moved: Path) -> None:
    dataset = Dataset.open(str(moved / "dataset"))
    clips = sum(read_status(dataset).clips.values())
    config = dataset.config.model_copy(
        update={"scene_motion": dataset.config.scene_motion.model_copy(update={"frame_step": 1})}
    )
    summary = build(moved / "dataset", [], config=config)
    assert summary.made["scene_motion"] == clips
    assert set(summary.made) == {"scene_motion", "pack"}
    assert summary.reused == {**dict.fromkeys(CLIP_STAGES, clips), "ingest": 3, "scene_motion": 0}
    back = build(moved / "dataset", [], config=dataset.config)  # the old artifacts are still there
    assert set(back.made) <= {"pack"}


def test_add_keeps_what_is_to_be_made_again_and_what_another_writer_added(moved: Path) -> None:
    root = moved / "dataset"
    old = Dataset.open(str(root)).newest_release()
    assert old is not None
    config = Dataset.open(str(root)).config
    ingest = config.ingest.model_copy(
        update={"min_frames": config.ingest.min_frames + 1}
    )  # every source is to be cut anew
    dataset = Dataset.create_or_open(str(root), config.model_copy(update={"ingest": ingest}))
    added = build(root, [moved / "videos" / "camera_truck.mp4"], kind="camera", command="add", config=dataset.config)
    new = Dataset.open(str(root)).newest_release()
    assert new is not None
    assert added.made["decode"] > 0
    assert new.shards[: len(old.shards)] == old.shards

    dataset = Dataset.open(str(root))
    stale = read_state(dataset)  # a writer that read the catalog before the other one's source was registered
    stale.sources = {name: source for name, source in stale.sources.items() if "truck" not in source.path}
    again = publish(dataset, stale, build_graph(dataset.config), lambda items: None, "another-run")
    assert again is not None
    assert again.release == new


def test_shards_that_a_killed_run_published_but_did_not_record_are_recorded(moved: Path) -> None:
    dataset = Dataset.open(str(moved / "dataset"))
    names = ("path", "sha256", "bytes", "split", "kind", "clip_id", "position")
    before = [tuple(row[name] for name in names) for row in dataset.catalog.rows("shards")]
    dataset.catalog.forget("shards", "clip_id", [row[5] for row in before])
    assert dataset.catalog.rows("shards") == []
    for _ in range(2):  # once, and not again
        build(moved / "dataset", [])
        assert sorted(tuple(row[name] for name in names) for row in dataset.catalog.rows("shards")) == sorted(before)


def test_add_appends_and_leaves_every_shard_as_it_was(moved: Path) -> None:
    root = moved / "dataset"
    before = shards(root)
    old = Dataset.open(str(root)).newest_release()
    summary = build(root, [moved / "videos" / "camera_truck.mp4"], kind="camera", command="add")
    new = Dataset.open(str(root)).newest_release()
    assert old is not None
    assert new is not None
    assert new.number == old.number + 1
    assert new.parent == old.digest()
    assert new.shards[: len(old.shards)] == old.shards
    assert len(new.shards) == len(old.shards) + 1
    after = shards(root)
    assert {name: after[name] for name in before} == before
    assert summary.made["decode"] == len(new.shards[-1].samples)


def test_verify_finds_every_kind_of_damage_and_repair_lets_a_build_mend_artifacts(moved: Path) -> None:
    dataset = Dataset.open(str(moved / "dataset"))
    root = moved / "dataset"
    assert list(verify(dataset)) == []
    artifact = next(p for p in sorted((root / "artifacts" / "pose").rglob("*.parquet")))
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(bytes(data))
    gone = next(p for p in sorted((root / "artifacts" / "depth").rglob("*.parquet")))
    gone.unlink()
    tar = next(p for p in sorted((root / "shards").glob("*.tar")))
    whole = bytearray(tar.read_bytes())
    whole[600] ^= 1
    tar.write_bytes(bytes(whole))
    (root / "artifacts" / "pose" / "stray.parquet").write_bytes(b"x")
    (root / "tmp" / ".tmp-1234").write_bytes(b"x")
    findings = list(verify(dataset))
    found = {(finding.kind, finding.path) for finding in findings}
    assert ("changed", artifact.relative_to(root).as_posix()) in found
    assert ("missing", gone.relative_to(root).as_posix()) in found
    assert ("shard", tar.relative_to(root).as_posix()) in found
    assert ("orphan", "artifacts/pose/stray.parquet") in found
    assert ("leftover", "tmp/.tmp-1234") in found
    repair(dataset, findings, grace_s=0)
    tar.write_bytes(bytes(whole[:600]) + bytes([whole[600] ^ 1]) + bytes(whole[601:]))
    summary = build(root, [])
    assert (summary.made["pose"], summary.made["depth"]) == (1, 1)
    assert list(verify(Dataset.open(str(root)))) == []


def test_the_contact_sheet_shows_every_sample(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    release = dataset.newest_release()
    assert release is not None
    picture = contact_sheet(dataset, release)
    samples = sum(len(entry.samples) for entry in release.shards)
    assert picture.shape == (26 + samples * (192 + 26), 7 * 192, 3)
    rows = picture[26:].reshape(samples, 192 + 26, 7 * 192, 3)
    assert (rows[:, 30:, : 5 * 192].std(axis=(1, 2, 3)) > 10).all()
