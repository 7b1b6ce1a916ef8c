"""A catalog that cannot be read, or is gone: what is said, and what a build takes over."""

import shutil
from pathlib import Path

import pytest

from pipeline.dataset import Dataset
from pipeline.state import read_state
from pipeline.storage import StorageError
from pipeline.verify import verify
from tests.pipeline.made import Video, make, write_video


def files(root: Path) -> dict[str, bytes]:
    found = [path for part in ("artifacts", "shards", "releases") for path in sorted((root / part).rglob("*"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found if path.is_file()}


def test_a_damaged_catalog_is_named_and_a_build_without_it_takes_over_what_is_made(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    videos = [write_video(tmp_path / "videos", name, Video(texture=i)) for i, name in enumerate("ab")]
    make(root, videos)
    before, made = files(root), {path: path.stat().st_mtime_ns for path in root.glob("artifacts/*/*/*.parquet")}
    for path in (root / "catalog" / "artifacts").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match=r"catalog/artifacts cannot be read .* move .*catalog away"):
        read_state(Dataset.open(str(root)))
    shutil.move(root / "catalog", tmp_path / "damaged")
    make(root, videos)
    assert files(root) == before
    assert {path: path.stat().st_mtime_ns for path in made} == made  # none was written again
    assert [finding for finding in verify(Dataset.open(str(root))) if finding.damage] == []
