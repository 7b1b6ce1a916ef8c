"""What a repair may remove: nothing that a release, readable or not, may name, and nothing that is being written."""

import os
import time
from pathlib import Path

import pytest

from pipeline.dataset import Dataset
from pipeline.pack import release as pack
from pipeline.remove import remove_source
from pipeline.repair import Repaired, repair
from pipeline.verify import verify
from pipeline.work import WorkItem
from schemas.release import ShardEntry
from tests.pipeline.made import Video, make, write_video
from train.data.fetch import LocalStore
from train.data.release import load_release


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset of three releases, each with one shard more."""
    videos = [write_video(tmp_path / "videos", name, Video(texture=i)) for i, name in enumerate("abc")]
    for count in (1, 2, 3):
        make(tmp_path / "dataset", videos[:count])
    return tmp_path / "dataset"


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "shards").iterdir())}


def repaired(root: Path, grace_s: float) -> tuple[list[tuple[str, str]], Repaired]:
    dataset = Dataset.open(str(root))
    findings = list(verify(dataset))
    return [(f.kind, f.path) for f in findings if f.damage], repair(dataset, findings, grace_s=grace_s)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_no_shard_goes_while_a_release_cannot_be_read(root: Path, number: int, how: str) -> None:
    before, path = files(root), root / "releases" / f"000{number}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30]) if how == "damaged" else path.unlink()
    damage, _ = repaired(root, 0)
    assert files(root) == before
    assert ("release", f"releases/000{number}.json") in damage
    path.write_bytes(whole)
    assert repaired(root, 0) == ([], Repaired(0, {}))
    assert files(root) == before


@pytest.mark.parametrize("number", [1, 2])
def test_a_release_file_that_is_lost_hides_no_later_one(root: Path, tmp_path: Path, number: int) -> None:
    """A build goes on from the newest, the trainer reads it, and a takedown goes through all that is left."""
    (root / "releases" / f"000{number}.json").unlink()
    dataset = Dataset.open(str(root))
    newest = dataset.release(3)
    assert load_release(LocalStore(root=str(root))) == newest
    videos = [tmp_path / "videos" / f"{name}.mp4" for name in "abc"]
    make(root, [*videos, write_video(tmp_path / "videos", "d", Video(texture=7))])
    assert dataset.newest_release_number() == 4
    assert dataset.release(4).shards[:3] == newest.shards
    assert dataset.release(4).parent == newest.digest()
    assert not (root / "releases" / f"000{number}.json").exists()
    source = next(row["source_id"] for row in dataset.catalog.rows("sources") if row["uri"].endswith("b.mp4"))
    assert remove_source(dataset, source, "a test").traces == ()
    assert [(f.kind, f.path) for f in verify(dataset) if f.damage] == [("release", f"releases/000{number}.json")]


def test_loose_files_go_once_they_are_old_enough(root: Path) -> None:
    for path in ("shards/stray.tar", "artifacts/pose/stray.parquet", "tmp/.tmp-12"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    old = time.time() - 7200
    os.utime(root / "tmp" / ".tmp-12", (old, old))
    assert repaired(root, 3600) == ([], Repaired(1, {"a build may be writing them": 2}))
    assert not (root / "tmp" / ".tmp-12").exists()
    assert repaired(root, 0) == ([], Repaired(2, {}))


def test_what_is_newer_than_the_start_of_an_unfinished_run_stays(root: Path) -> None:
    row = {"run_id": "r", "command": "build", "state": "started", "created_s": time.time() - 9000}
    dataset = Dataset.open(str(root))
    dataset.catalog.append("runs", [row])
    stray = root / "shards" / "stray.tar"
    stray.write_bytes(b"x")
    for age, removed in ((8000, 0), (10_000, 1)):
        os.utime(stray, (time.time() - age, time.time() - age))
        assert repaired(root, 3600)[1].removed == removed
    stray.write_bytes(b"x")
    os.utime(stray, (time.time() - 8000, time.time() - 8000))
    dataset.catalog.append("runs", [{**row, "state": "interrupted", "created_s": time.time()}])
    assert repaired(root, 3600)[1].removed == 1


def test_a_repair_beside_a_build_that_packs_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards are written, the release that names them is not."""
    root, entry = tmp_path / "dataset", pack._entry
    done: list[Repaired] = []

    def between(dataset: Dataset, item: WorkItem) -> ShardEntry:
        done.append(repaired(root, 3600)[1])
        return entry(dataset, item)

    monkeypatch.setattr(pack, "_entry", between)
    make(root, [write_video(tmp_path / "videos", "a", Video(texture=1))])
    assert done
    assert all(repair.removed == 0 for repair in done)
    assert done[-1].kept["a build may be writing them"] >= 3
    assert list(verify(Dataset.open(str(root)))) == []
