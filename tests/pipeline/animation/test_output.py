import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.animation.output import OutputError, Sound, check_output, has_sound, side_by_side, write_animation
from stages.video.ffmpeg import find_binary
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
