import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from tests.train.evaluation.media_files import pictures, write_frames, write_video
from train.evaluation.media import MediaError, Sequence, matched, sequences


def frames_of(path: Path, **options: object) -> np.ndarray:
    return np.stack(list(Sequence("x", path).frames(**options)))


def test_frames_come_back_exactly_and_in_number_order(tmp_path: Path) -> None:
    truth = pictures(12)
    assert np.array_equal(frames_of(write_frames(tmp_path / "a", truth)), truth)


@pytest.mark.parametrize("tag", ["bt709", "smpte170m", None])
def test_videos_decode_to_the_colours_that_were_encoded(tmp_path: Path, tag: str | None) -> None:
    truth = pictures(9)
    decoded = frames_of(write_video(tmp_path / "a.mp4", truth, tag=tag))
    assert decoded.shape == truth.shape
    assert np.abs(decoded.astype(int) - truth).mean() < 1.5


def test_every_frame_of_a_variable_rate_video_once(tmp_path: Path) -> None:
    """Decoders that keep a constant rate would repeat frames here."""
    source = write_video(tmp_path / "a.mp4", pictures(8))
    slow = tmp_path / "slow.mkv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(source), "-vf", "setpts=N*N/10/TB"]
    subprocess.run([*command, "-fps_mode", "vfr", "-c:v", "libx264", str(slow)], check=True, timeout=60)
    assert len(frames_of(slow)) == 8


def test_limit_and_size(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", pictures(5))
    assert frames_of(folder, limit=3, size=(24, 16)).shape == (3, 16, 24, 3)
    with pytest.raises(MediaError, match="has 5 frames, 9 are wanted"):
        frames_of(folder, limit=9)


def test_listing(tmp_path: Path) -> None:
    write_frames(tmp_path / "one", pictures(2))
    write_video(tmp_path / "two.mp4", pictures(2))
    (tmp_path / "notes.txt").write_text("x")
    assert list(sequences(tmp_path)) == ["one", "two"]
    assert list(sequences(tmp_path / "one")) == ["frames"]


def test_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is no folder"):
        sequences(tmp_path / "absent")
    with pytest.raises(MediaError, match="holds no video"):
        sequences(tmp_path)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(MediaError, match="256 colours"):
        sequences(tmp_path)
    (tmp_path / "a.gif").unlink()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"1\.png is not a picture"):
        frames_of(tmp_path / "b")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match="keep one of them"):
        sequences(tmp_path)
    with pytest.raises(MediaError, match="cannot be decoded"):
        frames_of(tmp_path / "b.mp4")
    cv2.imwrite(str(tmp_path / "b" / "1.png"), np.zeros((20, 20, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b" / "2.png"), np.zeros((20, 24, 3), np.uint8))
    with pytest.raises(MediaError, match="frame 1 is 24 × 20"):
        frames_of(tmp_path / "b")


def test_a_truncated_video_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", noise)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-c", "copy"]
    front = tmp_path / "front.mp4"
    subprocess.run([*command, "-movflags", "faststart", str(front)], check=True, timeout=60)
    data = front.read_bytes()
    front.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"declares 30 frames|cannot be decoded"):
        frames_of(front)


def ffmpeg_copy(source: Path, target: Path, *before: str) -> Path:
    """A copy without encoding anew."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *before, "-i", str(source), "-c", "copy"]
    subprocess.run([*command, "-movflags", "faststart", str(target)], check=True, timeout=60)
    return target


def test_a_video_trimmed_without_encoding_anew_is_whole(tmp_path: Path) -> None:
    """Its edit list hides the frames before the cut, which the header still counts; so it does at the other end."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8)
    source = write_video(tmp_path / "a.mp4", noise)
    cut = ffmpeg_copy(source, tmp_path / "cut.mp4", "-ss", "1.0")
    shown = frames_of(cut)
    assert np.abs(shown.astype(int) - noise[10:]).mean() < 12
    data = bytearray(ffmpeg_copy(source, tmp_path / "whole.mp4").read_bytes())
    place = data.index(b"elst") + 12
    duration = int.from_bytes(data[place : place + 4], "big")
    data[place : place + 4] = (duration // 2).to_bytes(4, "big")
    (tmp_path / "early.mp4").write_bytes(bytes(data))
    assert 15 <= len(frames_of(tmp_path / "early.mp4")) < 30
    data = cut.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"declares 20 frames|cannot be decoded"):
        frames_of(cut)


def test_rates(tmp_path: Path) -> None:
    assert Sequence("a", write_video(tmp_path / "a.mp4", pictures(4))).rate() == 10
    assert Sequence("b", write_frames(tmp_path / "b", pictures(2))).rate() is None
    (tmp_path / "c.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match="cannot be decoded"):
        Sequence("c", tmp_path / "c.mp4").rate()


def test_a_method_must_have_every_video() -> None:
    real = {name: Sequence(name, Path(name)) for name in ("a", "b")}
    with pytest.raises(MediaError, match="method ours lacks 1 of 2 videos: b"):
        matched(real, {"a": real["a"]}, "ours")
    assert [(t.name, m.name) for t, m in matched({"a": real["a"]}, real, "ours")] == [("a", "a")]
