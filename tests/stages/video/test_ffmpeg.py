"""Which ffmpeg is taken, and that a run always ends with its process gone."""

from pathlib import Path

import numpy as np
import pytest

from stages.video import ffmpeg
from stages.video.command import cuda_works
from stages.video.ffmpeg import Limits, RunReport, VideoError, find_binary, frames
from tests.stages.test_decode import X264, decode, ingest
from tests.stages.video.media import encode, numbered, numbers_of


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_binary_without_the_needed_filters_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minimal = program(tmp_path / "ffmpeg", "echo ' .. scale V->V Scale'; echo ' .. fps V->V Rate'")
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() != str(minimal)
    listing = "\n".join(f"echo ' .. {name} V->V x'" for name in ffmpeg.NEEDED_FILTERS)
    (tmp_path / "full").mkdir()
    full = program(tmp_path / "full" / "ffmpeg", listing)
    monkeypatch.setenv("PATH", str(full.parent))
    assert find_binary() == str(full)


def test_a_hung_process_is_ended_and_named(tmp_path: Path) -> None:
    hung = program(tmp_path / "hung", "head -c 48 /dev/zero; exec sleep 600")
    stream = frames([str(hung)], shape=(4, 4, 3), limits=Limits(stall_s=0.5), report=RunReport())
    assert next(stream).shape == (4, 4, 3)
    with pytest.raises(VideoError, match=r"gave no frame for 0.5 s .limits.stall_s. after 1 frames"):
        next(stream)


def test_a_stream_that_is_closed_early_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    endless = program(tmp_path / "endless", f"echo $$ > {mark}; exec cat /dev/zero")
    stream = frames([str(endless)], shape=(4, 4, 3), limits=Limits(), report=RunReport())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()


def test_a_part_of_a_frame_is_not_a_frame(tmp_path: Path) -> None:
    partial = program(tmp_path / "partial", "head -c 100 /dev/zero")
    got = list(frames([str(partial)], shape=(4, 4, 3), limits=Limits(), report=RunReport()))
    assert len(got) == 2
    assert not np.any(got)


def test_asking_for_a_gpu_where_there_is_none_decodes_all_the_same(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", [numbered(i + 1) for i in range(20)], arguments=X264)
    artifact = ingest(path)
    assert numbers_of(decode(path, artifact, hwaccel="auto")) == list(range(1, 21))
    if not cuda_works():
        assert decode(path, artifact, hwaccel="auto").jpegs == decode(path, artifact).jpegs
