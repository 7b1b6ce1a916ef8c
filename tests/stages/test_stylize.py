"""Pairs come from the clip's reference frames, are seeded by the clip, and split at the right column."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.style.opencv import OpencvStyleConfig
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.style import StyleArtifact
from schemas.clip import Clip, Kind
from schemas.ids import clip_id, reference_indices
from stages.base import StageError
from stages.jpeg import encode_jpeg
from stages.stylize import StylizeConfig, StylizeStage, choose_frames

WIDTH, HEIGHT = 64, 48


def make_clip(kind: Kind = "character", length: int = 30) -> Clip:
    return Clip(
        clip_id=clip_id("0123456789abcdef", 0, length),
        source_id="0123456789abcdef",
        kind=kind,
        split="train",
        first_frame=0,
        frame_count=length,
        fps=(30, 1),
        start_s=0.0,
        video="unused.mp4",
    )


def make_frames(clip: Clip) -> FramesArtifact:
    """Frame i is flat grey of level 40 + 5·i, so that a picture tells its index."""
    length = clip.frame_count
    return FramesArtifact(
        jpegs=tuple(encode_jpeg(np.full((HEIGHT, WIDTH, 3), 40 + 5 * i, np.uint8)) for i in range(length)),
        timestamps=np.arange(length) / 30,
        repeated=np.zeros(length, bool),
        fps=30.0,
        size=(WIDTH, HEIGHT),
        crop=(0, 0, WIDTH, HEIGHT),
    )


def run(clip: Clip, config: StylizeConfig) -> tuple[StyleArtifact, str]:
    table = StylizeStage(config).run(clip, {"decode": make_frames(clip).to_table(Header("decode", clip.clip_id))})
    return StyleArtifact.from_table(table), read_header(table, "stylize").status


class Recorder:
    """A stylizer that inverts, and keeps what it was given."""

    def __init__(self) -> None:
        self.pairs: list[np.ndarray] = []

    def __call__(self, pair: np.ndarray, *, seed: int) -> tuple[np.ndarray, str]:
        self.pairs.append(pair)
        return 255 - pair, "inverted"


def test_pair_is_side_by_side_and_split_back(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(OpencvStyleConfig, "build", lambda self: recorder)
    clip = make_clip()
    artifact, status = run(clip, StylizeConfig(pairs=3, min_distance=5))
    assert status == "ok"
    assert len(artifact.pairs) == 3
    for number, (given_pair, pair) in enumerate(zip(recorder.pairs, artifact.pairs, strict=True)):
        assert given_pair.shape == (HEIGHT, 2 * WIDTH, 3)
        left, right = given_pair[:, :WIDTH].mean(), given_pair[:, WIDTH:].mean()
        assert round((left - 40) / 5) == pair.reference_index
        assert round((right - 40) / 5) == pair.target_index
        assert pair.reference_index in reference_indices(clip.clip_id, 30, 2)
        assert abs(pair.reference_index - pair.target_index) >= 5
        assert pair.style == "inverted"
        assert pair.seed == clip.seed("stylize", number)
        halves = [cv2.imdecode(np.frombuffer(j, np.uint8), 1) for j in (pair.reference_jpeg, pair.target_jpeg)]
        assert halves[0].shape == halves[1].shape == (HEIGHT, WIDTH, 3)
        assert abs(halves[0].mean() - (255 - left)) < 2
        assert abs(halves[1].mean() - (255 - right)) < 2


def test_same_clip_gives_the_same_bytes_and_each_pair_its_own_seed() -> None:
    clip = make_clip()
    first, _ = run(clip, StylizeConfig(pairs=2))
    again, _ = run(clip, StylizeConfig(pairs=2))
    assert first == again
    assert len({pair.seed for pair in first.pairs}) == 2


def test_camera_clips_get_no_pairs_unless_asked_for() -> None:
    camera = make_clip("camera")
    assert run(camera, StylizeConfig()) == (StyleArtifact(()), "none")
    artifact, status = run(camera, StylizeConfig(camera_pairs=1))
    assert (len(artifact.pairs), status) == (1, "ok")


def test_one_frame_makes_no_pair() -> None:
    assert run(make_clip(length=1), StylizeConfig()) == (StyleArtifact(()), "none")


def test_backend_that_changes_the_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpencvStyleConfig, "build", lambda self: lambda pair, *, seed: (pair[:8], "cropped"))
    with pytest.raises(StageError, match=r"'opencv' returned uint8 \[8, 128, 3\]"):
        run(make_clip(), StylizeConfig())


@given(
    length=st.integers(2, 200), references=st.integers(1, 4), distance=st.integers(1, 60), seed=st.integers(0, 2**62)
)
def test_target_is_far_enough_or_the_farthest(length: int, references: int, distance: int, seed: int) -> None:
    name = clip_id("0123456789abcdef", 7, length)
    reference, target = choose_frames(
        name, length, references=references, min_distance=distance, rng=np.random.default_rng(seed)
    )
    assert reference in reference_indices(name, length, references)
    assert 0 <= target < length
    farthest = max(reference, length - 1 - reference)
    assert abs(target - reference) >= min(distance, farthest) > 0


def test_settings_and_agreement_of_the_halves_are_recorded() -> None:
    clip = make_clip()
    rng = np.random.default_rng(0)
    texture = cv2.resize(
        rng.integers(0, 256, (8, 12, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    same = FramesArtifact(
        jpegs=(encode_jpeg(texture),) * clip.frame_count,
        timestamps=np.arange(clip.frame_count) / 30,
        repeated=np.zeros(clip.frame_count, bool),
        fps=30.0,
        size=(WIDTH, HEIGHT),
        crop=(0, 0, WIDTH, HEIGHT),
    )
    config = StylizeConfig(backend=OpencvStyleConfig(styles=("hue_turned",)))
    table = StylizeStage(config).run(clip, {"decode": same.to_table(Header("decode", clip.clip_id))})
    header = read_header(table, "stylize")
    assert header.extra["settings"] == {"backend": "opencv", "styles": ["hue_turned"]}
    assert header.quality["pair_disagreement"] < 0.1
