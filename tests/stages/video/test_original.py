"""Whether a source's file is what was registered: told by size and time, and by content where these changed."""

import hashlib
import os
from pathlib import Path

import pytest

from schemas.clip import Clip
from stages.base import SourceLostError
from stages.decode import DecodeConfig, DecodeStage
from stages.ingest import IngestConfig, IngestStage
from stages.video.original import check_original


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "v.mp4"
    path.parent.mkdir()
    path.write_bytes(b"content")
    return path


def registered(path: Path) -> tuple[str, tuple[int, int]]:
    stat = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16], (stat.st_size, stat.st_mtime_ns)


def test_the_same_file_passes_and_so_does_its_copy_with_another_date(video: Path) -> None:
    source, stat = registered(video)
    check_original(str(video), source, stat)
    check_original(str(video), "another", None)  # nobody knows what it was
    os.utime(video, ns=(0, 1))
    check_original(str(video), source, stat)


@pytest.mark.parametrize("content", [b"another content", b"CONTENT"])
def test_another_file_in_its_place_is_told_with_the_next_step(video: Path, content: bytes) -> None:
    source, stat = registered(video)
    video.write_bytes(content)
    os.utime(video, ns=(0, 1))
    with pytest.raises(SourceLostError, match=rf"another file is in its place .*{source}.*mikudance build"):
        check_original(str(video), source, stat)


@pytest.mark.parametrize("gone", ["file", "folder", "folder instead"])
def test_a_file_that_is_gone_is_no_fault_of_the_clip(video: Path, gone: str) -> None:
    source, stat = registered(video)
    video.unlink()
    if gone == "folder":
        video.parent.rmdir()
    if gone == "folder instead":
        video.mkdir()
    clip = Clip(f"{source}_000000_0016", source, "camera", "train", 0, 16, (30, 1), 0.0, str(video), video_stat=stat)
    with pytest.raises(SourceLostError, match=f"the file is gone .*mount or put back {video.parent}"):
        DecodeStage(DecodeConfig()).run(clip, {})
    with pytest.raises(SourceLostError, match="the file is gone"):
        IngestStage(IngestConfig()).run(source, str(video), stat)
