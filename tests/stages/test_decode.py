"""Frames of clips against videos whose every frame says which one it is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.ingest import IngestArtifact
from stages.base import StageError
from stages.decode import DecodeConfig, DecodeStage
from stages.ingest import CutConfig, IngestConfig, IngestStage
from tests.stages.video.media import (
    SOURCE,
    encode,
    numbered,
    numbers_of,
    pictures_of,
    run_ffmpeg,
    whole_clip,
)

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p")
CONTAINERS = {
    "mp4": X264,
    "mkv": X264,
    "mov": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "open-gop=1:keyint=40:log-level=error"),
    "ts": X264,
    "avi": ("-c:v", "mpeg4", "-bf", "2", "-g", "60", "-q:v", "4"),
    "webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "800k", "-g", "90"),
    "flv": ("-c:v", "flv1", "-g", "50", "-q:v", "4"),
    "mpg": ("-c:v", "mpeg2video", "-bf", "2", "-g", "15", "-q:v", "4"),
    "h264": X264,
}


def ingest(path: Path, **settings: object) -> IngestArtifact:
    config = IngestConfig(cuts=CutConfig(enabled=False), **settings)  # type: ignore[arg-type]
    return IngestArtifact.from_table(IngestStage(config).run(SOURCE, str(path)))


def decode(
    path: Path, artifact: IngestArtifact, first: int = 0, count: int | None = None, **settings: object
) -> FramesArtifact:
    config = DecodeConfig(**{"size": 128, **settings})
    return FramesArtifact.from_table(DecodeStage(config).run(whole_clip(path, artifact, first, count), {}))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [numbered(i + 1) for i in range(200)]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_any_clip_holds_exactly_its_frames(tmp_path: Path, pictures: list[np.ndarray], suffix: str) -> None:
    rate = "30" if suffix != "mpg" else "25"
    path = encode(tmp_path / f"video.{suffix}", pictures, rate=rate, arguments=CONTAINERS[suffix])
    artifact = ingest(path)
    assert artifact.frame_count == 200
    assert numbers_of(decode(path, artifact)) == list(range(1, 201))
    for first, count in ((0, 3), (1, 16), (41, 20), (119, 30), (150, 1), (199, 1)):
        assert numbers_of(decode(path, artifact, first, count)) == list(range(first + 1, first + count + 1))


def test_a_clip_after_a_seek_has_the_bytes_of_the_full_decode(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    path = encode(tmp_path / "video.mp4", pictures, arguments=(*X264, "-g", "30"))
    artifact = ingest(path)
    full, part = decode(path, artifact), decode(path, artifact, 95, 85)
    assert part.jpegs == full.jpegs[95:180]
    np.testing.assert_array_equal(part.timestamps, full.timestamps[95:180])


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        ("24000/1001", (24000, 1001), list(range(1, 201))),
        ("8", (8, 1), list(range(1, 201))),
        ("30000/1001", (30000, 1001), list(range(1, 201))),
        ("60", (30, 1), list(range(1, 201, 2))),
        ("120", (30, 1), list(range(1, 201, 4))),
    ],
)
def test_slower_sources_keep_their_rate_and_faster_ones_are_thinned(
    tmp_path: Path, pictures: list[np.ndarray], rate: str, fps: tuple[int, int], expected: list[int]
) -> None:
    path = encode(tmp_path / "video.mp4", pictures, rate=rate, arguments=X264)
    artifact = ingest(path)
    assert artifact.fps == fps
    frames = decode(path, artifact)
    assert frames.fps == pytest.approx(fps[0] / fps[1])
    assert numbers_of(frames) == expected


def test_variable_rate_is_resampled_by_timestamps(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    """40 frames at 30 fps, 20 at 10 fps, 40 at 60 fps, each shown by the clock, not by its number."""
    times = np.concatenate([np.arange(40) / 30, 40 / 30 + np.arange(20) / 10, 40 / 30 + 2 + np.arange(80) / 60])
    constant = encode(tmp_path / "constant.mkv", pictures[: len(times)], arguments=(*X264, "-bf", "0"))
    steps = "if(lt(N,40),N*3000,if(lt(N,60),120000+(N-40)*9000,300000+(N-60)*1500))"
    path = tmp_path / "variable.mp4"
    run_ffmpeg(
        "-i", str(constant), "-vf", f"settb=1/90000,setpts='{steps}'", "-fps_mode", "passthrough",
        "-enc_time_base", "1/90000", *X264, str(path),
    )  # fmt: skip
    artifact = ingest(path)
    assert artifact.fps == (30, 1)
    assert artifact.probe["constant"] is False
    frames = decode(path, artifact)
    # Frame n shows what is on screen at its time; a quarter of a frame time is granted to rounded timestamps.
    expected = [int(np.flatnonzero(times * 30 <= n + 0.25)[-1]) + 1 for n in range(len(frames.jpegs))]
    assert numbers_of(frames) == expected
    np.testing.assert_array_equal(frames.repeated, np.diff(expected, prepend=0) == 0)
    part = decode(path, artifact, 60, 40)
    assert numbers_of(part) == expected[60:100]


def test_repeated_frames_of_a_source_are_recognised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (256, 512, 3), np.uint8)
    moving = [texture[64:192, 3 * i : 3 * i + 128] for i in range(48)]
    held = [moving[i * 4 // 5] for i in range(60)]  # 24 fps stored as 30: every fifth frame again
    path = encode(tmp_path / "pulldown.mp4", held, arguments=X264)
    frames = decode(path, ingest(path))
    np.testing.assert_array_equal(frames.repeated, [i > 0 and i * 4 // 5 == (i - 1) * 4 // 5 for i in range(60)])


def test_timestamps_count_from_the_first_frame_of_the_source(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    path = encode(tmp_path / "late.mkv", pictures[:60], arguments=(*X264, "-output_ts_offset", "5"))
    artifact = ingest(path)
    assert artifact.start_s == pytest.approx(5.0, abs=2e-3)
    frames = decode(path, artifact, 40, 16)
    assert numbers_of(frames) == list(range(41, 57))
    np.testing.assert_allclose(frames.timestamps, artifact.start_s + np.arange(40, 56) / 30)


def test_same_input_same_bytes_whatever_the_threads(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    path = encode(tmp_path / "video.mp4", pictures[:40], arguments=X264)
    artifact = ingest(path)
    clip = whole_clip(path, artifact)
    tables = [DecodeStage(DecodeConfig(size=256, threads=threads)).run(clip, {}) for threads in (1, 4, 4)]
    sinks = []
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        sinks.append(sink.getvalue().to_pybytes())
    assert sinks[0] == sinks[1] == sinks[2]


def test_a_file_that_shrank_since_ingest_is_refused(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    path = encode(tmp_path / "video.mp4", pictures[:60], arguments=X264)
    artifact = ingest(path)
    encode(path, pictures[:30], arguments=X264)
    with pytest.raises(StageError, match=r"only 30 of 60 frames decoded"):
        decode(path, artifact)
    path.unlink()
    with pytest.raises(StageError, match="the file is gone"):
        decode(path, artifact)


@pytest.mark.parametrize("name", ["-i.mp4", "a b'c%03d.mp4", "concat:x|y.mp4", "日本語[1].mp4"])
def test_no_file_name_is_taken_for_something_else(tmp_path: Path, pictures: list[np.ndarray], name: str) -> None:
    made = encode(tmp_path / "video.mp4", pictures[:20], arguments=X264)
    path = made.rename(tmp_path / name)
    assert numbers_of(decode(path, ingest(path))) == list(range(1, 21))


def test_colours_survive(tmp_path: Path) -> None:
    """Flat colours through BT.709 video and JPEG come back within what 8-bit video rounds away."""
    colours = np.array([[200, 40, 30], [30, 180, 60], [40, 60, 220], [128, 128, 128]], np.uint8)
    picture = np.repeat(np.repeat(colours.reshape(2, 2, 3), 64, axis=0), 64, axis=1)
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    path = encode(
        tmp_path / "flat.mp4", [picture] * 20, arguments=("-vf", "scale=out_color_matrix=bt709", *X264, *tags)
    )
    got = pictures_of(decode(path, ingest(path)))[5].astype(int)
    for row, column, colour in ((32, 32, 0), (32, 96, 1), (96, 32, 2), (96, 96, 3)):
        np.testing.assert_allclose(got[row, column], colours[colour], atol=4)
