import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.animation.output import OutputError, Sound, check_output, has_sound, side_by_side, write_animation
from stages.video.ffmpeg import Limits, find_binary
from stages.video.probe import probe
from tests.train.evaluation.media_files import pictures
from train.evaluation.media import Sequence

FRAMES = pictures(10, side=64)


def sounding(path: Path) -> Path:
    """One second of video with a tone."""
    command = [find_binary(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=1"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-shortest", str(path)]
    subprocess.run([*command, *tone], check=True, timeout=60)
    return path


@pytest.mark.parametrize(("suffix", "worst"), [(".mp4", 4.0), (".webm", 6.0), (".gif", 15.0)])
def test_videos_show_what_was_given(tmp_path: Path, suffix: str, worst: float) -> None:
    path = tmp_path / f"a{suffix}"
    assert write_animation(path, FRAMES, fps=10) == 10
    if suffix == ".gif":
        with av.open(str(path)) as container:
            shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    else:
        shown = np.stack(list(Sequence("a", path).frames()))
    assert shown.shape == FRAMES.shape
    assert np.abs(shown.astype(int) - FRAMES).mean() < worst
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_png_frames_are_exact(tmp_path: Path) -> None:
    write_animation(tmp_path / "a", FRAMES, fps=10)
    assert np.array_equal(np.stack(list(Sequence("a", tmp_path / "a").frames())), FRAMES)
    with pytest.raises(OutputError, match="exists already"):
        check_output(tmp_path / "a")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_is_kept(tmp_path: Path, suffix: str) -> None:
    source = sounding(tmp_path / "source.mp4")
    path = tmp_path / f"a{suffix}"
    write_animation(path, FRAMES, fps=10, sound=Sound(source, 0.0))
    assert has_sound(path)
    with av.open(str(path)) as container:
        samples = np.concatenate([f.to_ndarray().reshape(-1) for f in container.decode(audio=0)])
        assert np.abs(samples).max() > 0.05
        assert container.duration == pytest.approx(1_000_000, rel=0.1)
    write_animation(tmp_path / f"b{suffix}", FRAMES, fps=10, sound=Sound(path.with_name("source.mp4"), 0.0))
    write_animation(tmp_path / f"c{suffix}", FRAMES, fps=10)
    assert not has_sound(tmp_path / f"c{suffix}")


def beeping(path: Path, *arguments: str) -> Path:
    """Three seconds of video that beep from 1.0 to 1.2 s."""
    beep = "aevalsrc='if(between(t,1,1.2),sin(2*PI*440*t),0)':d=3:s=48000"
    command = [find_binary(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=3"]
    subprocess.run([*command, "-f", "lavfi", "-i", beep, *arguments, str(path)], check=True, timeout=60)
    return path


def onset(path: Path) -> float:
    """Seconds from the first picture to the first loud sample."""
    with av.open(str(path)) as container:
        begins = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            (loud,) = np.nonzero(np.abs(frame.to_ndarray()).max(0) > 0.2)
            if len(loud):
                return frame.time + loud[0] / frame.sample_rate - begins
    raise AssertionError(f"{path} is silent")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.mp4", ()),
        ("a.ts", ()),
        ("offset.mkv", ("-output_ts_offset", "2")),
        ("offset.mp4", ("-output_ts_offset", "2")),
        ("late.mkv", ("-itsoffset", "0.5", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2.5",
                      "-map", "2:v", "-map", "1:a")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("skipped", [0, 5])
def test_sound_stays_with_its_pictures_wherever_the_file_begins(
    tmp_path: Path, name: str, arguments: tuple[str, ...], skipped: int
) -> None:
    """A transport stream begins at 1.4 s, others may begin anywhere, and pictures later than their sound."""
    source = beeping(tmp_path / name, *arguments)
    start_s = probe(source, fps=30, limits=Limits()).start_s + skipped / 10
    path = tmp_path / "out.mp4"
    write_animation(path, pictures(20, side=64), fps=10, sound=Sound(source, start_s))
    assert onset(path) == pytest.approx(onset(source) - skipped / 10, abs=0.05)


def test_a_playlist_is_no_driving_sound(tmp_path: Path) -> None:
    """Files that can name other files are not opened, by whichever name they come."""
    sounding(tmp_path / "a.ts")
    disguised = tmp_path / "list.mp4"
    disguised.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(av.error.FFmpegError):
        has_sound(disguised)


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield FRAMES[0]
        raise RuntimeError("lost")

    for name in ("a.mp4", "a"):
        with pytest.raises(RuntimeError, match="lost"):
            write_animation(tmp_path / name, broken(), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.doc is no format"):
        write_animation(tmp_path / "a.doc", FRAMES, fps=10)
    with pytest.raises(OutputError, match="no frames"):
        write_animation(tmp_path / "a.mp4", [], fps=10)
    with pytest.raises(OutputError, match="even sides"):
        write_animation(tmp_path / "a.mp4", pictures(1, side=33), fps=10)


def test_panels_stand_in_a_row() -> None:
    a, b = FRAMES[:2]
    row = side_by_side([a, b])
    assert row.shape == (64, 132, 3)
    assert np.array_equal(row[:, :64], a)
    assert np.array_equal(row[:, 68:], b)
