"""Clip ranges of shots: no clip crosses a cut, none is too short, nothing is covered twice unless asked for."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.clips import clips_of, ranges
from schemas.artifacts.header import Header
from schemas.artifacts.ingest import IngestArtifact, Shot
from schemas.clip import Kind
from schemas.ids import CLIP_ID
from stages.ingest import IngestConfig


@dataclass(frozen=True)
class Source:
    source_id: str = "0123456789abcdef"
    kind: Kind = "camera"
    split: str = "val"
    path: str = "/videos/a.mp4"
    focal: float | None = 1.2
    camera_track: str | None = "/videos/a.vmd"
    camera_track_offset_s: float = 0.25


SETTINGS = st.integers(4, 90).flatmap(
    lambda size: st.builds(
        IngestConfig,
        clip_frames=st.just(size),
        min_frames=st.integers(2, size),
        overlap=st.integers(0, size - 1),
        tail=st.sampled_from(["keep", "drop", "merge", "shift"]),
    )
)


@given(st.integers(0, 500), st.integers(0, 400), SETTINGS)
def test_ranges_stay_inside_the_shot_and_obey_the_settings(first: int, length: int, config: IngestConfig) -> None:
    found = ranges(first, length, config)
    for start, count in found:
        assert start >= first
        assert start + count <= first + length
        assert count >= config.min_frames
    assert [start for start, _ in found] == sorted({start for start, _ in found})
    if config.tail == "merge":
        assert all(count == config.clip_frames for _, count in found[:-1])
    else:
        assert all(count <= config.clip_frames for _, count in found)
    covered = {frame for start, count in found for frame in range(start, start + count)}
    if length >= config.clip_frames and config.tail in ("merge", "shift"):
        assert covered == set(range(first, first + length))
    if length >= config.min_frames:
        assert found
        # Only the tail may be left out.
        assert covered == set(range(first, first + len(covered)))
    if config.overlap == 0 and config.tail != "shift":
        assert sum(count for _, count in found) == len(covered)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("keep", [(10, 85), (95, 85), (180, 30)]),
        ("drop", [(10, 85), (95, 85)]),
        ("merge", [(10, 85), (95, 115)]),
        ("shift", [(10, 85), (95, 85), (125, 85)]),
    ],
)
def test_what_becomes_of_the_tail(tail: str, expected: list[tuple[int, int]]) -> None:
    assert ranges(10, 200, IngestConfig(tail=tail)) == expected  # type: ignore[arg-type]


def test_overlap_repeats_frames() -> None:
    assert ranges(0, 50, IngestConfig(clip_frames=20, overlap=5, min_frames=10)) == [(0, 20), (15, 20), (30, 20)]
    assert ranges(0, 58, IngestConfig(clip_frames=20, overlap=5, min_frames=10))[-1] == (45, 13)


def test_clips_carry_what_the_source_says_and_cross_no_cut() -> None:
    artifact = IngestArtifact((Shot(0, 84), Shot(84, 10), Shot(94, 100)), (24000, 1001), 0.125, {})
    clips = clips_of(artifact.to_table(Header("ingest", "0123456789abcdef")), Source(), IngestConfig(tail="drop"))
    assert [(c.first_frame, c.frame_count) for c in clips] == [(0, 84), (94, 85)]
    assert [c.clip_id for c in clips] == ["0123456789abcdef_000000_0084", "0123456789abcdef_000094_0085"]
    for clip in clips:
        assert CLIP_ID.match(clip.clip_id)
        assert (clip.kind, clip.split, clip.fps, clip.start_s) == ("camera", "val", (24000, 1001), 0.125)
        assert (clip.video, clip.camera_track, clip.focal) == ("/videos/a.mp4", "/videos/a.vmd", 1.2)
        assert clip.camera_track_offset_s == 0.25
