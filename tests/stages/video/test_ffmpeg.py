"""Which ffmpeg is taken, and that a run always ends with its process gone."""

import os
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from stages.decode import DecodeConfig, DecodeStage
from stages.video import ffmpeg
from stages.video.command import cuda_works
from stages.video.ffmpeg import Limits, RunReport, VideoError, find_binary, frames, settled
from stages.video.trial import failure
from tests.stages.test_decode import X264, decode, ingest
from tests.stages.video.media import encode, numbered, numbers_of


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def wrapped(folder: Path, change: str) -> Path:
    """A program that runs the packaged ffmpeg and changes its log by a sed expression."""
    folder.mkdir()
    real, log = imageio_ffmpeg.get_ffmpeg_exe(), folder / "log"
    return program(folder / "ffmpeg", f'{real} "$@" 2> {log}; code=$?; sed "{change}" {log} >&2; exit $code')


def test_a_binary_that_cannot_do_the_work_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows other options, one whose report is an older one, and one that works, on PATH and by name."""
    other = tmp_path / "other"
    other.mkdir()
    strange = program(other / "ffmpeg", "echo 'Unrecognized option: an error' >&2; exit 1")
    old = wrapped(tmp_path / "old", "s/; [0-9]* decode errors//")  # as ffmpeg 5.1 writes it
    good = wrapped(tmp_path / "good", "")
    assert failure(str(good)) == ""
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    packaged = imageio_ffmpeg.get_ffmpeg_exe()
    for binary, reason in ((strange, "Unrecognized option"), (old, "report of a trial is not understood")):
        monkeypatch.setenv("PATH", str(binary.parent), prepend=os.pathsep)
        assert find_binary() == packaged
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(binary))
        with pytest.raises(VideoError, match=rf"IMAGEIO_FFMPEG_EXE names {binary}.*{reason}.*or unset it"):
            find_binary()
        trouble = ffmpeg.problem()
        assert trouble is not None
        with pytest.raises(VideoError, match=reason):
            DecodeStage(DecodeConfig())  # before any video is refused
        monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")
    monkeypatch.setattr(ffmpeg, "_packaged", lambda: None)
    ffmpeg._find_binary.cache_clear()
    with pytest.raises(VideoError, match=r"no usable ffmpeg .*not understood.*pip install"):
        ffmpeg._find_binary(None, str(old))
    ffmpeg._find_binary.cache_clear()
    assert ffmpeg._find_binary(None, str(good)) == str(good)
    ffmpeg._find_binary.cache_clear()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(good))
    assert find_binary() == str(good)


def test_a_hung_process_is_ended_and_named(tmp_path: Path) -> None:
    hung = program(tmp_path / "hung", "head -c 48 /dev/zero; exec sleep 600")
    stream = frames([str(hung)], shape=(4, 4, 3), limits=Limits(stall_s=0.5), report=RunReport())
    assert next(stream).shape == (4, 4, 3)
    with pytest.raises(VideoError, match=r"read nothing and gave no frame for 0.5 s .limits.stall_s. after 1 frames"):
        next(stream)


def test_a_process_that_reads_for_long_before_its_first_frame_is_not_hung(tmp_path: Path) -> None:
    """As ffmpeg does where it cannot seek: it decodes from the file's start and gives nothing until it is there."""
    text = "for i in 1 2 3 4 5 6 7 8; do sleep 0.2; read -r line < /proc/version; done; head -c 48 /dev/zero"
    reading = program(tmp_path / "reading", text)
    got = list(frames([str(reading)], shape=(4, 4, 3), limits=Limits(stall_s=0.8), report=RunReport()))
    assert len(got) == 1


@pytest.mark.parametrize("name", ["plain.mp4", "an error is missing.mp4"])
def test_complaints_hold_no_address_and_no_path(tmp_path: Path, name: str) -> None:
    text = f"""cat >&2 <<'END'
Input #0, mov, from 'file:{tmp_path}/{name}':
[vist#0:0/h264 @ 0x5581b2] [dec:h264 @ 0x7f89600034c0] Error submitting packet at 0x7f8960003
[h264 @ 0x5581b2] error while decoding MB 3 4
[h264 @ 0x5581b9] error while decoding MB 3 4
[in#0 @ 0x55] file:{tmp_path}/{name}: corrupt input packet in stream 0
[Parsed_fps_0 @ 0x55] 0 frames in, 0 frames out; 0 frames dropped, 0 frames duplicated.
[Parsed_fps_0 @ 0x7f] 60 frames in, 660 frames out; 2 frames dropped, 600 frames duplicated.
[in#0 @ 0x55]   Input stream #0:0 (video): 60 packets read (2295 bytes); 59 frames decoded; 1 decode errors;
END"""
    writer = program(tmp_path / "writer", text)
    report = RunReport()
    list(frames([str(writer), "-i", f"file:{tmp_path}/{name}"], shape=(4, 4, 3), limits=Limits(), report=report))
    assert report.messages == [
        "Error submitting packet at 0x…",
        "error while decoding MB 3 4",
        "the file: corrupt input packet in stream 0",
    ]
    assert (report.packets, report.decoded, report.errors) == (60, 59, 1)
    assert (report.dropped, report.repeated) == (2, 600)


@pytest.mark.parametrize(
    ("log", "runs", "messages", "errors"),
    [
        ("", [0], [], 0),
        ("[h264 @ 0x5581b2] error while decoding MB 3 4", [0, 1], ["error while decoding MB 3 4"], 0),
        ("[in#0 @ 0x55] #0:0 (video): 9 packets read (9 bytes); 8 frames decoded; 1 decode errors;", [0, 1], [], 1),
    ],
)
def test_what_threads_race_over_is_read_again_by_one(
    tmp_path: Path, log: str, runs: list[int], messages: list[str], errors: int
) -> None:
    """Of a damaged file, two runs with several threads may conceal and complain of different pictures."""
    writer = program(tmp_path / "writer", f"echo '{log}' >&2; head -c $((48 * (1 + $1))) /dev/zero")
    numbers: list[int] = []

    def read(report: RunReport, threads: int) -> int:
        numbers.append(threads)
        command = [str(writer), str(threads)]
        return len(list(frames(command, shape=(4, 4, 3), limits=Limits(), report=report)))

    count, report = settled(read)
    assert numbers == runs
    assert count == len(runs)  # what the last run gave, and its report alone
    assert (report.messages, report.errors) == (messages, errors)


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
