"""The simulated dataset: artifacts follow the contract, and as many clips fail as were asked for."""

import json
from collections import Counter
from pathlib import Path

import pytest

from bench.scale import slope
from bench.scale_forecast import error
from bench.scale_stages import CLIPS_PER_SOURCE, FRAMES, Injected, WaitingIngest, WaitingStage, failing_stage
from bench.scale_steps import build_step, noop_step, scale_config, verify_step
from pipeline.graph import CLIP_STAGES
from pipeline.ingest.clips import clips_of
from pipeline.pack.sample import PACKED_STAGES, sample_members
from pipeline.verify import SCHEMAS
from schemas.artifacts.header import check_schema, read_header
from schemas.clip import Clip
from schemas.ids import clip_id
from tests.pipeline.ingest.test_clips import Source

NOTHING = Injected(wait_s=0.0, one_in=0)


def clip(number: int = 0) -> Clip:
    source = f"{number:016x}"
    return Clip(clip_id(source, 0, FRAMES), source, "camera", "train", 0, FRAMES, (30, 1), 0.0, "v.mp4")


def test_waiting_stages_make_samples_that_follow_the_contract() -> None:
    tables = {stage: WaitingStage(stage, NOTHING).run(clip(), {}) for stage in CLIP_STAGES}
    for stage, table in tables.items():
        check_schema(table, SCHEMAS[stage])
        assert read_header(table, stage).clip_id == clip().clip_id
    packed = {stage: tables[stage] for stage in PACKED_STAGES}
    members = dict(sample_members(clip(), packed, dict.fromkeys(PACKED_STAGES, "key")))  # checks the contract
    assert len(json.loads(members["json"])["timestamps"]) == FRAMES


def test_a_source_is_cut_into_fifty_clips() -> None:
    table, spec = WaitingIngest().run(Source().source_id, "v.mp4"), scale_config().ingest
    names = {made.clip_id for made in clips_of(table, Source(), spec)}
    assert len(names) == CLIPS_PER_SOURCE
    assert clip_id(Source().source_id, FRAMES, FRAMES) in names


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_simulated_dataset_is_built_added_to_and_left_alone(tmp_path: Path) -> None:
    """The steps check for themselves what is packed and what is in quarantine."""
    injected = Injected(wait_s=0.0, one_in=25)
    built = build_step(tmp_path, CLIPS_PER_SOURCE, add=False, injected=injected)
    added = build_step(tmp_path, CLIPS_PER_SOURCE, add=True, injected=injected)
    assert built.counts["failed"] + added.counts["failed"] > 0
    assert added.counts["packed"] == 2 * CLIPS_PER_SOURCE - built.counts["failed"] - added.counts["failed"]
    assert noop_step(tmp_path, injected).counts["reused"] > CLIPS_PER_SOURCE
    assert verify_step(tmp_path, deep=True).counts["files"] > CLIPS_PER_SOURCE


def test_one_clip_in_a_hundred_fails_and_at_every_stage() -> None:
    where = Counter(failing_stage(clip(number).clip_id, 100) for number in range(50_000))
    failing = 50_000 - where.pop(None)
    assert failing == pytest.approx(500, rel=0.2)  # four standard deviations
    assert set(where) == set(CLIP_STAGES)
    assert failing_stage(clip().clip_id, 0) is None
    name = next(clip(n) for n in range(1000) if failing_stage(clip(n).clip_id, 100) == "camera")
    with pytest.raises(RuntimeError, match="injected failure"):
        WaitingStage("camera", Injected(0.0, 100)).run(name, {})
    WaitingStage("depth", Injected(0.0, 100)).run(name, {})


def test_slopes_and_errors_by_hand() -> None:
    assert slope([500, 2000, 5000], [1.5, 3.0, 6.0]) == pytest.approx(1.0)
    assert (error(110, 100), error(75, 100), error(1, 0)) == ("+10 %", "-25 %", "-")
