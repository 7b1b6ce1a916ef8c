"""Takedown: a source, its artifacts, samples and names leave the dataset, and its content does not come back."""

import shutil
import tarfile
from pathlib import Path

import pytest

from pipeline.dataset import Dataset, DatasetError
from pipeline.pack.read import read_sample
from pipeline.pack.rewrite import without_samples
from pipeline.remove import remove_source
from pipeline.search import search
from pipeline.storage import Storage
from pipeline.verify import verify
from tests.pipeline.made import Video, make, write_video


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases: three training videos in one shard and one for testing, then one more video by a later build."""
    folder = tmp_path_factory.mktemp("built")
    files = [write_video(folder / "videos", f"v{i}", Video(texture=i)) for i in range(5)]
    make(folder / "dataset", files[:4], splits=("train", "train", "train", "test"))
    make(folder / "dataset", files[4:], splits=("train",))
    return folder


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


def source_of(dataset: Dataset, name: str) -> str:
    return str(next(row["source_id"] for row in dataset.catalog.rows("sources") if row["uri"].endswith(name)))


def samples(dataset: Dataset, number: int) -> dict[str, dict[str, object]]:
    release = dataset.release(number)
    return {
        name: {k: v if isinstance(v, bytes) else repr(v) for k, v in read_sample(dataset, entry, name).items()}
        for entry in release.shards
        for name in entry.samples
    }


def test_everything_of_the_source_goes_and_everything_else_stays_byte_for_byte(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    source = source_of(dataset, "v1.mp4")
    before = samples(dataset, 2)
    digest = dataset.release(2).digest()
    done = remove_source(dataset, source, "a test")
    assert (done.clips, done.artifacts, len(done.removed_shards), len(done.new_shards)) == (1, 7, 1, 1)
    assert done.traces == ()
    assert done.uri == str(home / "videos" / "v1.mp4")
    after = samples(dataset, 3)
    assert after == {name: members for name, members in before.items() if not name.startswith(source)}
    assert len(after) == len(before) - 1
    assert dataset.newest_release_number() == 3
    assert dataset.release(2).digest() != digest  # a run that recorded it is refused instead of reading half
    assert [finding for finding in verify(dataset) if finding.damage] == []
    rows = {(row["path"], row["clip_id"]) for row in dataset.catalog.rows("shards")}
    assert rows == {(e.path, name) for n in (1, 2, 3) for e in dataset.release(n).shards for name in e.samples}


def test_the_proof_finds_each_kind_of_trace(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    source = source_of(dataset, "v1.mp4")
    uri = "../videos/v1.mp4"
    paths = {trace.path.split("/")[0] for trace in search(dataset, (source, uri))}
    assert paths == {"artifacts", "catalog", "releases", "shards"}
    tables = {trace.path.split("/")[1] for trace in search(dataset, (source, uri)) if trace.path.startswith("catalog")}
    assert tables == {"sources", "clips", "artifacts", "shards"}
    assert list(search(dataset, ("f" * 16, "v1.mp", "ideos/v1.mp4"))) == []


def test_the_content_is_never_ingested_again_under_any_name(home: Path) -> None:
    root = home / "dataset"
    dataset = Dataset.open(str(root))
    source = source_of(dataset, "v1.mp4")
    remove_source(dataset, source, "a test")
    other = home / "videos" / "renamed.mp4"
    shutil.copyfile(home / "videos" / "v1.mp4", other)
    summary = make(root, [other])
    assert summary.idle
    assert source not in {row["source_id"] for row in dataset.catalog.rows("sources")}
    assert list(search(dataset, (source,), allowed=("catalog/tombstones/",))) == []
    (stone,) = dataset.catalog.rows("tombstones")
    assert (stone["source_id"], stone["sha256"][:16], stone["reason"]) == (source, source, "a test")


def test_a_build_afterwards_changes_nothing_and_tables_have_no_history(home: Path) -> None:
    root = home / "dataset"
    dataset = Dataset.open(str(root))
    remove_source(dataset, source_of(dataset, "v1.mp4"), "a test")
    shards = sorted(path.name for path in (root / "shards").iterdir())
    assert make(root, []).idle
    assert sorted(path.name for path in (root / "shards").iterdir()) == shards
    for table in ("sources", "clips", "artifacts", "shards"):
        assert dataset.catalog.delta(table).version() == 0


def test_the_only_sample_of_a_shard_takes_the_shard_with_it(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    done = remove_source(dataset, source_of(dataset, "v3.mp4"), "a test")
    assert len(done.removed_shards) == 1
    assert done.new_shards == ()
    assert {entry.split for entry in dataset.release(3).shards} == {"train"}
    assert done.traces == ()


@pytest.mark.parametrize("writes", range(0, 40, 3))
def test_a_killed_takedown_is_finished_by_running_it_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    source = source_of(dataset, "v1.mp4")
    left = [writes]

    def dying(name: str) -> None:
        real = getattr(Storage, name)

        def wrapper(self: Storage, *arguments: object) -> object:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(self, *arguments)

        monkeypatch.setattr(Storage, name, wrapper)

    for name in ("write", "remove", "put_file"):
        dying(name)
    with pytest.raises(KeyboardInterrupt):
        remove_source(dataset, source, "a test")
    monkeypatch.undo()
    done = remove_source(Dataset.open(str(home / "dataset")), source, "a test")
    assert done.traces == ()
    assert [finding for finding in verify(dataset) if finding.damage] == []
    assert len(dataset.catalog.rows("sources")) == 4
    release = dataset.newest_release()
    assert release is not None
    assert sum(len(entry.samples) for entry in release.shards) == 4


def test_a_rewritten_shard_is_a_plain_tar_in_the_old_order(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    source = source_of(dataset, "v1.mp4")
    old = next(e for e in dataset.release(1).shards if any(n.startswith(source) for n in e.samples))
    done = remove_source(dataset, source, "a test")
    with tarfile.open(home / "dataset" / done.new_shards[0]) as tar:
        names = [member.name.partition(".")[0] for member in tar]
        assert all((member.mtime, member.uid) == (0, 0) for member in tar)
    assert list(dict.fromkeys(names)) == [name for name in old.samples if not name.startswith(source)]


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [("0" * 16, "why", "no source"), ("../../etc", "why", "no source id"), ("0" * 16, " ", "needs a reason")],
)
def test_wrong_use_is_refused_with_the_cause(home: Path, source: str, reason: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        remove_source(Dataset.open(str(home / "dataset")), source, reason)


def test_a_rewritten_shard_with_all_its_samples_is_the_packed_one_byte_for_byte(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    entry = dataset.release(1).shards[0]
    files = [home / "dataset" / path for path in (entry.path, entry.index_path, entry.sha256_path)]
    before = [file.read_bytes() for file in files]
    assert without_samples(dataset.storage, entry, entry.samples) == entry
    assert [file.read_bytes() for file in files] == before
