"""Shards that were packed and lost again: the artifact that names them is not believed."""

from pathlib import Path

import pytest

from pipeline.dataset import Dataset
from pipeline.verify import verify
from tests.pipeline.made import Video, make, write_video


def files(root: Path) -> dict[str, bytes]:
    found = [path for part in ("shards", "releases", "artifacts/pack") for path in sorted((root / part).rglob("*"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("suffix", [".tar", ".index.parquet", ".sha256"])
def test_a_shard_that_is_gone_or_cut_is_packed_again_with_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "dataset"
    make(root, [write_video(tmp_path / "videos", "a", Video(texture=1))])
    before = files(root)
    (name,) = [name for name in before if name.startswith("shards/") and name.endswith(suffix)]
    (root / "releases" / "0001.json").unlink()
    if suffix == ".tar":
        (root / name).write_bytes(before[name][:1000])
    else:
        (root / name).unlink()
    make(root, [])
    assert files(root) == before
    assert [finding for finding in verify(Dataset.open(str(root))) if finding.damage] == []


def test_a_damaged_artifact_of_a_shard_is_made_again(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    make(root, [write_video(tmp_path / "videos", "a", Video(texture=1))])
    before = files(root)
    (name,) = [name for name in before if name.startswith("artifacts/pack/")]
    (root / "releases" / "0001.json").unlink()
    (root / name).write_bytes(before[name][:-7])
    make(root, [])
    assert files(root) == before


@pytest.mark.parametrize("place", [0, 63, 64, 70, -5, -1])
def test_any_change_of_a_checksum_file_is_found(tmp_path: Path, place: int) -> None:
    root = tmp_path / "dataset"
    make(root, [write_video(tmp_path / "videos", "a", Video(texture=1))])
    (path,) = (root / "shards").glob("*.sha256")
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    findings = [finding for finding in verify(Dataset.open(str(root))) if finding.damage]
    assert [(finding.kind, finding.path) for finding in findings] == [("shard", f"shards/{path.name}")]
