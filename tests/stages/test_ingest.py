"""Shots, rates and refusals of real and made videos."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import read_header
from schemas.artifacts.ingest import IngestArtifact, Shot
from stages.base import StageError
from stages.decode import DecodeConfig, DecodeStage
from stages.ingest import CutConfig, IngestConfig, IngestStage, Splits, shots_of
from stages.video.cuts import CutResult
from stages.video.ffmpeg import Limits, frames
from tests.paths import TEST_DATA, test_data
from tests.stages.video.media import SOURCE, encode, numbered, run_ffmpeg, whole_clip

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
ODD = sorted((TEST_DATA / "odd_videos").glob("*/*")) if TEST_DATA.exists() else []
USABLE = {
    "realshort.mp4": 36,
    "demo_skeleton.mp4": 77,
    "part_0.mp4": 33,
    "test.avi": 164,
    "av1-clearkey-cbcs-video.mp4": 24,
    "no_timescale.mp4": None,
    "white.mp4": 300,
}
"""Files of odd_videos that hold enough frames, with the frames of their constant-rate timeline where that is known."""


def ingest(path: Path, **settings: object) -> IngestArtifact:
    return IngestArtifact.from_table(IngestStage(IngestConfig(**settings)).run(SOURCE, str(path)))  # type: ignore[arg-type]


def test_cuts_of_the_mmd_render() -> None:
    for name in ("mmd_shots", "mmd_shots_camera_only"):
        artifact = ingest(test_data(f"mmd_shots/{name}.mp4"))
        assert [(s.first_frame, s.frame_count) for s in artifact.shots] == [(0, 84), (84, 85), (169, 56)]


@pytest.mark.parametrize("folder", ["dance/*", "camera_only/*", "mmd_shots/truck_*", "mmd_shots/orbit_*"])
def test_no_false_cut_in_single_shots(folder: str) -> None:
    name, _, pattern = folder.partition("/")
    files = sorted(test_data(name).glob(f"{pattern}.mp4"))
    assert files
    for path in files:
        assert len(ingest(path).shots) == 1, path


def test_the_record_tells_the_source_as_it_is() -> None:
    artifact = ingest(test_data("dance/martial_23.976fps_640x360.mp4"))
    assert (artifact.fps, artifact.frame_count, artifact.start_s) == ((24000, 1001), 412, 0.0)
    assert (artifact.probe["width"], artifact.probe["height"], artifact.probe["codec"]) == (640, 360, "h264")
    json.dumps(artifact.probe)


@pytest.mark.parametrize("path", ODD, ids=lambda path: path.name)
def test_odd_videos_end_as_clips_or_with_a_reason(path: Path) -> None:
    stage = IngestStage(IngestConfig())
    if path.name not in USABLE:
        with pytest.raises(StageError) as raised:
            stage.run(SOURCE, str(path))
        reason = str(raised.value).removeprefix(f"{path}: ")
        assert any(
            word in reason
            for word in ("empty", "truncated", "encrypted", "no video stream", "too short", "no video container")
        )
        return
    artifact = IngestArtifact.from_table(stage.run(SOURCE, str(path)))
    if USABLE[path.name] is not None:
        assert artifact.frame_count == USABLE[path.name]
    table = DecodeStage(DecodeConfig(size=64)).run(whole_clip(path, artifact), {})
    assert len(FramesArtifact.from_table(table).jpegs) == artifact.frame_count


def test_same_input_same_table(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", [numbered(i) for i in range(40)], arguments=X264)
    stage = IngestStage(IngestConfig())
    first, second = stage.run(SOURCE, str(path)), stage.run(SOURCE, str(path))
    assert first.equals(second, check_metadata=True)


def test_a_file_that_stops_half_way_is_refused_with_the_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(60)]
    whole = encode(tmp_path / "whole.mp4", noise, arguments=(*X264, "-movflags", "+faststart"))
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(StageError, match=r"only \d+ of 60 frames decoded: the file is truncated or damaged"):
        ingest(cut)
    artifact = ingest(cut, min_decoded=0.2)
    assert 16 <= artifact.frame_count < 45


def damaged_in_the_middle(folder: Path) -> Path:
    """A video of 60 frames whose decoder complains of some and gives them all."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(60)]
    path = encode(folder / "video.mp4", noise, arguments=(*X264, "-g", "10"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(("damaged", "asked"), [(True, ["0", "1"]), (False, ["0"])])
def test_both_stages_read_a_damaged_file_again_with_one_decoder_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool, asked: list[str]
) -> None:
    """What several threads conceal and report differs only now and then, so that runs alone show nothing."""
    whole = encode(tmp_path / "whole.mp4", [numbered(i + 1) for i in range(60)], arguments=X264)
    path = damaged_in_the_middle(tmp_path) if damaged else whole
    commands: list[list[str]] = []

    def recorded(command: list[str], **settings: Any) -> Iterator[np.ndarray]:
        commands.append(command)
        return frames(command, **settings)

    monkeypatch.setattr("stages.ingest.frames", recorded)
    monkeypatch.setattr("stages.decode.frames", recorded)
    artifact = IngestArtifact.from_table(IngestStage(IngestConfig(min_decoded=0.5)).run(SOURCE, str(path)))
    clip = whole_clip(path, artifact)
    tables = [DecodeStage(DecodeConfig(size=64)).run(clip, {}) for _ in range(2)]
    threads = [command[command.index("-threads") + 1] for command in commands]
    assert threads == asked * 3
    assert all(command.index("-threads") < command.index("-i") for command in commands)
    assert tables[0].equals(tables[1], check_metadata=True)


def test_damaged_bytes_in_the_middle_give_frames_and_a_note_the_same_wherever_and_whenever(tmp_path: Path) -> None:
    path = damaged_in_the_middle(tmp_path)
    stage = IngestStage(IngestConfig(min_decoded=0.5))
    table = stage.run(SOURCE, str(path))
    header = read_header(table)
    assert header.quality["frames"] > 50
    assert header.extra["messages"]
    assert not any("0x" in text or str(tmp_path) in text for text in header.extra["messages"])
    elsewhere = tmp_path / "an error is missing"
    elsewhere.mkdir()
    for place in (path, path, path.rename(elsewhere / path.name)):
        assert stage.run(SOURCE, str(place if place.exists() else elsewhere / path.name)).equals(
            table, check_metadata=True
        )


def test_no_duration_and_no_count_in_the_header(tmp_path: Path) -> None:
    pictures = [numbered(i + 1) for i in range(50)]
    made = encode(tmp_path / "made.mkv", pictures, arguments=X264)
    for suffix, arguments in {
        "mkv": ("-f", "matroska"),
        "mp4": ("-f", "mp4", "-movflags", "frag_keyframe+empty_moov"),
    }.items():
        path = tmp_path / f"piped.{suffix}"
        path.write_bytes(run_ffmpeg("-i", str(made), "-c", "copy", *arguments, "pipe:1"))
        artifact = ingest(path)
        assert (artifact.frame_count, artifact.probe["declared_frames"]) == (50, 0)


def test_the_main_one_of_several_video_streams(tmp_path: Path) -> None:
    main = encode(tmp_path / "main.mp4", [numbered(i + 1, 128, 128) for i in range(20)], arguments=X264)
    small = encode(tmp_path / "small.mp4", [numbered(500 + i, 64, 64) for i in range(40)], arguments=X264)
    cover = tmp_path / "cover.png"
    cv2.imwrite(str(cover), numbered(3, 400, 400))
    both = tmp_path / "both.mkv"
    run_ffmpeg(
        "-i", str(small), "-i", str(main), "-map", "0", "-map", "1", "-c", "copy", "-disposition", "0", str(both)
    )
    covered = tmp_path / "covered.mp4"
    run_ffmpeg(
        "-i", str(cover), "-i", str(main), "-map", "0", "-map", "1", "-c:v:1", "copy", "-c:v:0", "png",
        "-disposition:v:0", "attached_pic", str(covered),
    )  # fmt: skip
    for path in (both, covered):
        artifact = ingest(path, cuts=CutConfig(enabled=False))
        assert (artifact.frame_count, artifact.probe["width"]) == (20, 128)


def test_limits_end_a_run_with_their_name(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", [numbered(i, 256, 256) for i in range(300)], arguments=X264)
    for limits, reason in (
        (Limits(max_bytes=100), "more than limits.max_bytes = 100"),
        (Limits(max_pixels=100 * 100), "more than limits.max_pixels = 10000"),
        (Limits(max_frames=50), "more than 50 frames"),
        (Limits(timeout_s=0.004), "limits.timeout_s"),
    ):
        with pytest.raises(StageError, match=reason):
            ingest(path, limits=limits)


def test_playlists_and_scripts_are_no_videos(tmp_path: Path) -> None:
    """They could name any other file of the machine."""
    secret = encode(tmp_path / "secret.ts", [numbered(i) for i in range(30)], arguments=X264)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.0,\n{secret}\n#EXT-X-ENDLIST\n"
    script = f"ffconcat version 1.0\nfile '{secret.name}'\n"
    for name, text in (("list.m3u8", playlist), ("list.mp4", playlist), ("script.mp4", script), ("a.ffconcat", script)):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(StageError, match="no video container that can be read"):
            ingest(path)


def with_gap(folder: Path, seconds: float) -> Path:
    """60 pictures at 30 fps, with so much more time after the first 30."""
    made = encode(folder / "made.mkv", [numbered(i + 1) for i in range(60)], arguments=(*X264, "-bf", "0"))
    path = folder / "gap.mp4"
    run_ffmpeg(
        "-i", str(made), "-vf", f"settb=1/90000,setpts='N*3000+if(lt(N,30),0,{90000 * seconds:.0f})'",
        "-fps_mode", "passthrough", "-enc_time_base", "1/90000", *X264, "-bf", "0", str(path),
    )  # fmt: skip
    return path


def test_a_long_gap_in_the_times_ends_a_shot_and_its_repetitions_are_in_none(tmp_path: Path) -> None:
    path = with_gap(tmp_path, 20)
    table = IngestStage(IngestConfig(cuts=CutConfig(enabled=False))).run(SOURCE, str(path))
    artifact = IngestArtifact.from_table(table)
    assert [(s.first_frame, s.frame_count) for s in artifact.shots] == [(0, 30), (630, 30)]
    assert artifact.frame_count == 660
    quality = read_header(table).quality
    assert (quality["resampled_repeats"], quality["resampled_away"], quality["frames"]) == (600, 0, 660)
    whole = ingest(path, max_gap_s=30, cuts=CutConfig(enabled=False))
    assert [(s.first_frame, s.frame_count) for s in whole.shots] == [(0, 660)]


def test_gaps_and_cuts_end_shots_together() -> None:
    result = CutResult(100, (20, 60, 90), (3.0, 2.0, 4.0), np.zeros(100, bool))
    shots = shots_of(result, [(31, 60), (70, 80), (95, 200)])
    assert [(s.first_frame, s.frame_count, s.cut_score) for s in shots] == [
        (0, 20, 0.0), (20, 11, 3.0), (60, 10, 2.0), (80, 10, 0.0), (90, 5, 4.0)
    ]  # fmt: skip
    assert shots_of(result, [])[1:] == (Shot(20, 40, 0, 3.0), Shot(60, 30, 0, 2.0), Shot(90, 10, 0, 4.0))


def test_a_short_gap_is_part_of_a_shot(tmp_path: Path) -> None:
    artifact = ingest(with_gap(tmp_path, 0.9), cuts=CutConfig(enabled=False))
    assert [(s.first_frame, s.frame_count) for s in artifact.shots] == [(0, 87)]


def test_too_short_a_source_says_so(tmp_path: Path) -> None:
    path = encode(tmp_path / "video.mp4", [numbered(0)] * 12, arguments=X264)
    with pytest.raises(StageError, match=r"too short for a clip: 12 frames in 1 shot.*min_frames is 16"):
        ingest(path)
    assert ingest(path, min_frames=12).frame_count == 12


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="min_frames = 90 is more than clip_frames = 85"):
        IngestConfig(min_frames=90)
    with pytest.raises(ValueError, match="overlap = 85 must be less"):
        IngestConfig(overlap=85)
    with pytest.raises(ValueError, match=r"add up to 1\.1"):
        Splits(train=0.9, val=0.1, test=0.1)
