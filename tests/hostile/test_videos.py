"""Videos and pictures from strangers: scripts in a video's name, huge pictures, and damaged files."""

import contextlib
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.animation.first_frame import first_frame
from pipeline.animation.output import OutputError, Sound, has_sound, write_animation
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.ingest import IngestArtifact
from stages.base import StageError
from stages.decode import DecodeConfig, DecodeStage
from stages.ingest import IngestConfig, IngestStage
from stages.video.ffmpeg import Limits, find_binary
from tests.stages.video.media import SOURCE, encode, numbered, whole_clip
from train.evaluation.media import MediaError, Sequence

LIMITS = Limits(max_pixels=512 * 512, max_frames=500, timeout_s=30, stall_s=10)
INGEST = IngestConfig(min_frames=8, clip_frames=16, limits=LIMITS)


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of video with a tone, which a script names."""
    path = tmp_path_factory.mktemp("named") / "secret.ts"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=1"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-shortest", "-f", "mpegts", str(path)]
    subprocess.run([find_binary(), "-loglevel", "error", *picture, *tone], check=True, timeout=60)
    return path


SCRIPTS: dict[str, Callable[[Path], str]] = {
    "concat": lambda path: f"ffconcat version 1.0\nfile '{path.name}'\n",
    "playlist": lambda path: f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\nfile:{path}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_no_videos_wherever_one_is_opened(tmp_path: Path, sounding: Path, script: str) -> None:
    """They could name any other file of the machine."""
    path = sounding.with_name(f"{script}.mp4")
    path.write_text(SCRIPTS[script](sounding))
    assert has_sound(sounding), "the named file itself is one that can be read"
    with pytest.raises(MediaError, match="cannot be decoded"):
        next(Sequence("x", path).frames())
    with pytest.raises(av.error.FFmpegError):
        has_sound(path)
    with pytest.raises(av.error.FFmpegError):
        first_frame(path, tmp_path / "picture.png")
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_sound_is_taken_from_a_script(
    tmp_path: Path, sounding: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sounding.with_name(f"{script}.mp4")
    path.write_text(SCRIPTS[script](sounding))
    monkeypatch.setattr("pipeline.animation.output.has_sound", lambda _: True)
    with pytest.raises(OutputError, match="cannot be used"):
        write_animation(tmp_path / "a.mp4", np.zeros((4, 64, 64, 3), np.uint8), fps=10, sound=Sound(path, 0.0))


def png_of(width: int, height: int) -> bytes:
    """A file of some bytes whose header promises a picture."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png_of(30_000, 30_000), "30000 × 30000 pixels|decompression bomb"),
        (png_of(9_000, 9_000), "9000 × 9000 pixels, more than"),
        (png_of(60_000, 60_000), "not a picture that can be read .*bomb"),
        (b"", "not a picture"),
        (b"II*\0 not one of the formats", "not a picture"),
    ],
)
def test_pictures_are_measured_before_they_are_decoded(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MediaError, match=words):
        next(Sequence("frames", tmp_path).frames())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small whole videos by suffix."""
    folder, pictures = tmp_path_factory.mktemp("whole"), [numbered(number, 64, 64) for number in range(20)]
    arguments = ("-c:v", "libx264", "-preset", "ultrafast")
    return {
        suffix: encode(folder / f"video{suffix}", pictures, arguments=arguments).read_bytes()
        for suffix in (".mp4", ".mkv")
    }


def damaged(data: bytes, flips: list[tuple[float, int]], cut: float) -> bytes:
    """`data` up to the share `cut`, with bits flipped: (place as a share, mask)."""
    kept = bytearray(data[: max(1, round(len(data) * cut))])
    for place, mask in flips:
        kept[min(int(place * len(kept)), len(kept) - 1)] ^= mask
    return bytes(kept)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=8),
    cut=st.sampled_from([1.0, 1.0, 1.0, 0.95, 0.5, 0.1]),
)
def test_damaged_videos_give_clips_or_a_reason(
    tmp_path: Path, outside: Path, whole: dict[str, bytes], suffix: str, flips: list[tuple[float, int]], cut: float
) -> None:
    """Nothing but StageError, and no file is written anywhere near."""
    path = tmp_path / f"video{suffix}"
    data = damaged(whole[suffix], flips, cut)
    path.write_bytes(data)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    with contextlib.suppress(StageError):
        artifact = IngestArtifact.from_table(IngestStage(INGEST).run(SOURCE, str(path)))
        clip = whole_clip(path, artifact, count=min(16, artifact.frame_count))
        frames = FramesArtifact.from_table(DecodeStage(DecodeConfig(size=64, limits=LIMITS)).run(clip, {}))
        assert len(frames.jpegs) == clip.frame_count
    assert path.read_bytes() == data
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
