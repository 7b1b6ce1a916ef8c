"""Faults on real runs: killed drivers and workers, and clips that break an extractor."""

import io
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from bench.chaos import builds
from bench.chaos.disk import wait_for_artifacts
from pipeline.dataset import Dataset
from pipeline.graph import make_spec
from pipeline.ingest.clips import clips_of
from pipeline.ingest.sources import SourceFile, discover
from pipeline.progress import ProgressView
from pipeline.run import Run, RunOptions
from pipeline.status import read_status
from pipeline.verify import verify
from schemas.clip import Clip
from schemas.config import Resources
from stages.base import Inputs
from stages.ingest import IngestConfig, IngestStage
from stages.stylize import StylizeConfig, StylizeStage
from tests.pipeline.small import build, small_config

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builds.render(tmp_path_factory.mktemp("videos"))


def kill_campaign(videos: Path, folder: Path, *plans: Sequence[str], seed: int) -> None:
    """A quiet run, and for each plan builds in which the processes that it names are killed: all end with equal bytes.

    plans: "driver" or "worker", in the order of the kills. Where a build is done before its plan, another goes on.
    """
    config = folder / "config.yaml"
    # The campaign kills at random: more tries than kills, so that none of its victims is blamed and quarantined.
    config.write_text(builds.config_text(attempts=6))
    _, output = builds.finish(builds.start_build(folder / "quiet", videos, config))
    quiet = builds.Dataset.read(folder / "quiet")
    assert quiet.shards, output
    for number, plan in enumerate(plans):
        rng = random.Random(f"{seed} {number}")
        killed = rounds = 0
        while killed < len(plan):
            root = folder / f"{number}-{rounds}"
            fallen, code, output = one_build(root, videos, config, rng, plan[killed:], len(quiet.artifacts))
            killed, rounds = killed + fallen, rounds + 1
            assert code == 0, f"seed {seed}: {output}"
            assert builds.Dataset.read(root) == quiet, f"seed {seed}: {output}"
            assert [f for f in verify(Dataset.open(str(root))) if f.damage] == []
            assert rounds <= 3 * len(plan), f"seed {seed}: {killed} of {plan} killed during {rounds} builds"


def one_build(
    root: Path, videos: Path, config: Path, rng: random.Random, plan: Sequence[str], artifacts: int
) -> tuple[int, int, str]:
    """One build to its end, with at most the kills of `plan`; the dead driver's successor goes on in its place.

    Each comes after a drawn share of the work that remains, of which the later ones leave some. artifacts: that a
    whole build makes. Returns how many were killed, exit code and output.
    """
    process, killed = builds.start_build(root, videos, config), 0
    while killed < len(plan):
        made = sum(1 for _ in root.glob("artifacts/**/*.parquet"))
        wait_for_artifacts(root, made + rng.randint(0, (artifacts - made) // (len(plan) - killed + 1)), process)
        time.sleep(rng.uniform(0, 0.5))  # so that items are hit in their midst too
        driver = plan[killed] == "driver"
        victims = [process.pid] if driver else []
        while process.poll() is None and not victims:
            victims = builds.working(process.pid)
            time.sleep(0.02)
        if process.poll() is not None:
            break
        builds.kill(rng.choice(victims))
        killed += 1
        if driver:
            code, _ = builds.finish(process)
            killed -= code == 0  # it had ended by itself at that moment
            process = builds.start_build(root, videos, config)
    return (killed, *builds.finish(process))


@pytest.mark.slow
def test_killed_drivers_and_workers_change_nothing(videos: Path, tmp_path: Path) -> None:
    kill_campaign(videos, tmp_path, ("driver",) * 5, ("worker",) * 5, seed=random.randrange(10**6))


class Misbehaving(StylizeStage):
    """The real stage, but three clips make it raise, die and hang."""

    victims: tuple[str, str, str]

    def __init__(self, config: StylizeConfig, victims: tuple[str, str, str]) -> None:
        super().__init__(config)
        self.victims = victims

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        raising, dying, hanging = self.victims
        if clip.clip_id == raising:
            raise ValueError("this clip breaks the extractor")
        if clip.clip_id == dying:
            os.kill(os.getpid(), signal.SIGKILL)
        if clip.clip_id == hanging:
            time.sleep(600)
        return super().run(clip, inputs)


@pytest.mark.usefixtures("ray_cluster")
def test_clips_that_raise_kill_and_hang_are_quarantined_and_all_others_finish(videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    config = small_config(gates={"refuse_status": {}, "refuse_status_character": {}})
    names = [str(videos / name) for name in ("character_cut.mp4", "camera_dolly.mp4", "camera_truck.mp4")]
    dataset = Dataset.create_or_open(str(root), config)
    with ProgressView(Console(file=io.StringIO())) as view:
        run = Run(dataset, view, RunOptions())
        files = discover(names, kind="character", config=config.ingest, known={})
        clips = clip_ids(files, config.ingest)
        assert len(clips) == 4
        spec = make_spec(
            "stylize", StylizeStage, config.stylize, inputs=("decode",),
            resources=Resources(cpus=0.25, workers=1, timeout_s=15, attempts=2), backend=config.stylize.backend,
        )  # fmt: skip
        victims = (clips[0], clips[1], clips[2])
        run.graph["stylize"] = replace(spec, build=partial(Misbehaving, config.stylize, victims))
        summary = run.build(files)
    assert summary.failed == {"stylize": 3}
    status = read_status(dataset)
    causes = {row["item_id"]: (row["cause"], row["attempts"]) for row in status.failures}
    assert causes == {clips[0]: ("raised", 2), clips[1]: ("killed", 2), clips[2]: ("timeout", 2)}
    release = dataset.newest_release()
    assert release is not None
    assert [name for entry in release.shards for name in entry.samples] == [clips[3]]

    assert build(root, []).quarantined["stylize"] == 3  # not tried again unasked
    again = build(root, [], retry_failed=True)  # the stage as it should be
    assert again.made["stylize"] == 3
    release = dataset.newest_release()
    assert release is not None
    assert sorted(name for entry in release.shards for name in entry.samples) == sorted(clips)


def clip_ids(files: list[SourceFile], config: IngestConfig) -> list[str]:
    """The clips that a run will cut, in order."""
    stage = IngestStage(config)
    return sorted(
        clip.clip_id for file in files for clip in clips_of(stage.run(file.source_id, file.path), file, config)
    )
