"""A camera track that does not belong to the picture: the user is told which clip, how far, and what to do."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.audit.facts import problems
from pipeline.checks.snapshot import read_snapshot
from pipeline.cli.main import app
from pipeline.dataset import Dataset
from pipeline.report import print_summary
from tests.extractors.camera.test_vmd import key, motion_file
from tests.pipeline.made import FRAMES, Video, make, write_video

SPEED = 0.05


def build(folder: Path, offset_s: float) -> tuple[str, str, str]:
    """A dataset of one video with its true camera track, taken to start at `offset_s`: the clip's id, what the build
    printed while it ran, and at its end.
    """
    video = write_video(folder, "wall", Video(1, speed=SPEED))
    path = SPEED * (FRAMES - 1)
    # 47 degrees of view are 110.4 pixels of focal length, for 110 of the made world.
    ends = [key(n, distance=0.0, centre=c, fov=47) for n, c in ((0, (0, 0, 0)), (FRAMES - 1, (path, 0, path / 2)))]
    video.with_suffix(".vmd").write_bytes(motion_file(*ends))
    manifest = folder / "manifest.csv"
    manifest.write_text(f"uri,camera_track,camera_track_offset_s\nwall.mp4,wall.vmd,{offset_s}\n")
    shown, end = io.StringIO(), io.StringIO()
    summary = make(folder / "dataset", [manifest], shown=shown)
    dataset = Dataset.open(str(folder / "dataset"))
    print_summary(Console(file=end, width=1000), dataset, summary)
    assert summary.release is not None
    (entry,) = summary.release.release.shards
    return entry.samples[0], shown.getvalue(), end.getvalue()


def status(folder: Path, *options: str) -> str:
    return CliRunner().invoke(app, ["status", "-d", str(folder / "dataset"), *options]).output


def test_the_true_track_is_taken_in_silence(tmp_path: Path) -> None:
    clip_id, shown, end = build(tmp_path, 0.0)
    assert "track_contradiction" not in shown + end
    assert json.loads(status(tmp_path, "--json"))["warnings"] == {}
    assert "camera: moving" in status(tmp_path, "--clip", clip_id)


def test_a_wrong_offset_is_told(tmp_path: Path) -> None:
    clip_id, shown, end = build(tmp_path, 0.8)
    for text in (shown, end, status(tmp_path, "--json")):
        assert clip_id in text
        assert "camera.track_contradiction = 0." in text
        assert "camera_track_offset_s" in text
    assert f"{clip_id} is doubtful" in " ".join(status(tmp_path).split())
    (text,) = json.loads(status(tmp_path, "--json"))["warnings"][clip_id]
    dataset = Dataset.open(str(tmp_path / "dataset"))
    (shown_by_audit,) = problems(read_snapshot(dataset), [])[clip_id]
    assert shown_by_audit == f"doubtful: {text}"
    assert float(text.split()[2]) == pytest.approx(0.8, abs=0.1)  # 24 of 30 frames: the track still rests
