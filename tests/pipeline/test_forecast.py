"""Forecasts against arithmetic by hand, and the command that prints them."""

import json
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.forecast import Forecast, Machines, Rate, Rates, dataset_rates, forecast, typical_rates, unfit

STAGES = ("ingest", "decode", "pose", "camera", "depth", "scene_motion", "stylize", "pack")


def flat(seconds: float = 3.6, size: float = 1000.0, clips_per_source: float = 10.0) -> Rates:
    return Rates({stage: Rate(seconds, size, "given") for stage in STAGES}, clips_per_source, "given")


def config(**run: dict[str, float]) -> DatasetConfig:
    return DatasetConfig.model_validate({"run": run})


def by_stage(found: Forecast, stage: str):  # type: ignore[no-untyped-def]
    (one,) = [s for s in found.stages if s.stage == stage]
    return one


def test_by_hand() -> None:
    """1,000 clips at 3.6 s an item: 1 hour of each of seven stages, a tenth of ingest; 7.1 core hours on 10 cores."""
    found = forecast(config(), flat(), clips=1000, machines=Machines(cpus=10, gpus=0))
    assert found.core_hours == pytest.approx(7.1)
    assert found.hours == pytest.approx(0.71)
    assert (found.gpu_hours, found.bytes) == (0, pytest.approx(7100 * 1000))


def test_gpus_and_worker_limits_can_be_what_it_waits_for() -> None:
    half = forecast(
        config(pose={"gpus": 0.5}, camera={"gpus": 1}), flat(), clips=1000, machines=Machines(cpus=1000, gpus=2)
    )
    assert half.gpu_hours == pytest.approx(1.5)
    assert half.hours == pytest.approx(0.75)  # 1.5 GPU hours on 2 GPUs, more than 7.1 core hours on 1,000 cores
    assert (by_stage(half, "pose").workers, by_stage(half, "camera").workers) == (4, 2)
    few = forecast(config(depth={"workers": 1}), flat(), clips=1000, machines=Machines(cpus=1000, gpus=0))
    assert few.hours == pytest.approx(1.0)  # its one worker


def test_longer_clips_cost_more_but_sources_do_not() -> None:
    found = forecast(config(), flat(), clips=1000, machines=Machines(cpus=10, gpus=0), frames_scale=2.0)
    assert found.core_hours == pytest.approx(14.1)
    assert by_stage(found, "ingest").core_hours == pytest.approx(0.1)


@given(st.integers(1, 10**6), st.integers(1, 500))
def test_costs_grow_in_proportion_to_the_clips_and_never_beat_the_cores(clips: int, cpus: int) -> None:
    one, ten = (forecast(config(), flat(), clips=clips * n, machines=Machines(cpus=cpus, gpus=0)) for n in (10, 100))
    assert ten.core_hours == pytest.approx(10 * one.core_hours)
    assert ten.hours >= ten.core_hours / cpus


def test_what_can_never_run_is_named() -> None:
    wants = config(stylize={"gpus": 1})
    assert unfit(wants, Machines(cpus=12, gpus=1)) is None
    assert "run.stylize.gpus" in (unfit(wants, Machines(cpus=12, gpus=0)) or "")
    assert unfit(config(pose={"custom": {"xpose": 1}}), Machines(cpus=1, custom={"xpose": 1})) is None


def test_a_worker_has_one_node_and_custom_resources_bound_it() -> None:
    """60 cores on 4 nodes hold one worker of 10 cores each, not six; nodes that are too small are named."""
    wants = config(depth={"cpus": 10})
    spread = forecast(wants, flat(), clips=1000, machines=Machines(cpus=60, nodes=4))
    assert by_stage(spread, "depth").workers == 4
    assert by_stage(forecast(wants, flat(), clips=1000, machines=Machines(cpus=60)), "depth").workers == 6
    assert "run.depth.cpus" in (unfit(wants, Machines(cpus=60, nodes=10)) or "")
    only = config(pose={"cpus": 0, "custom": {"camera": 0.5}}, camera={"cpus": 0, "custom": {"camera": 1}})
    found = forecast(only, flat(), clips=1000, machines=Machines(cpus=1000, custom={"camera": 2}))
    assert (by_stage(found, "pose").workers, by_stage(found, "camera").workers) == (4, 2)
    assert found.hours == pytest.approx(0.75)  # 0.5 + 1 hours of a resource of which there are two
    assert "--custom camera=COUNT" in (unfit(only, Machines(cpus=1000)) or "")


def test_the_example_cluster_is_as_slow_as_its_slowest_group(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """infra/kuberay: 6 workers of `camera` at 60 s a clip."""
    settings = Path(__file__).parents[2] / "infra" / "kuberay" / "settings.yaml"
    rates = [word for text in ("pose=10", "camera=60", "depth=5", "stylize=30") for word in ("--rate", text)]
    counts = [word for text in ("xpose=8", "droid=6", "depth=8", "sdxl=4") for word in ("--custom", text)]
    call = ["--clips", "120000", "--gpus", "16", "--cpus", "152", "--config", str(settings), *rates, "--json"]
    found = json.loads(run(capsys, monkeypatch, *call, *counts)[1])
    workers = {row["stage"]: row["workers"] for row in found["stages"]}
    assert {name: workers[name] for name in ("pose", "camera", "depth", "stylize")} == {
        "pose": 8, "camera": 6, "depth": 8, "stylize": 4,
    }  # fmt: skip
    assert found["hours"] == pytest.approx(120_000 * 60 / 3600 / 6)
    code, _, errors = run(capsys, monkeypatch, *call)
    assert (code, "--custom xpose=COUNT" in " ".join(errors.split())) == (2, True)


def test_presets_are_forecast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    call = ("--clips", "100", "--gpus", "8", "--preset")
    paper, embedded = (json.loads(run(capsys, monkeypatch, *call, name, "--json")[1]) for name in ("paper", "embedded"))
    assert paper["gpu_hours"] > embedded["gpu_hours"] == 0
    assert run(capsys, monkeypatch, *call, "best")[0] == 1


def fill(root: Path) -> Dataset:
    """A catalog as a run leaves it: 2 sources, 6 clips of 40 frames, one shard of 2 and one of 4 samples."""
    dataset = Dataset.create_or_open(str(root), None)
    clips = [{"clip_id": f"c{i}", "source_id": f"s{i % 2}", "frame_count": 40} for i in range(6)]
    artifacts = [
        {"key": f"pose{i}", "stage": "pose", "seconds": seconds, "bytes": 100 * i, "quality": "{}"}
        for i, seconds in enumerate((2.0, 4.0, None))
    ]
    artifacts += [
        {"key": f"pack{n}", "stage": "pack", "seconds": took, "bytes": 9, "quality": json.dumps({"samples": n})}
        for n, took in ((2, 1.0), (4, 5.0))
    ]
    shards = [
        {"path": f"shards/{n}.tar", "bytes": 600 * n, "clip_id": f"c{i}", "position": i}
        for n in (2, 4)
        for i in range(n)
    ]
    for table, rows in (("clips", clips), ("artifacts", artifacts), ("shards", shards)):
        dataset.catalog.append(table, [{"run_id": "r", "created_s": time.time(), **row} for row in rows])
    return dataset


def test_rates_of_a_dataset(tmp_path: Path) -> None:
    rates = dataset_rates(fill(tmp_path / "d"))
    assert rates.stages["pose"] == Rate(3.0, 100.0, "measured")  # two timed items, three sizes
    assert rates.stages["pack"] == Rate(1.0, 600.0, "measured")  # 6 s and 3,600 bytes for 6 samples
    assert rates.stages["depth"] == typical_rates().stages["depth"]
    assert (rates.clips_per_source, rates.clips_basis) == (3.0, "this dataset's")


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mikudance", "plan", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(tmp_path / "d")
    call = ("--clips", "120000", "--gpus", "16", "-d", str(tmp_path / "d"), "--rate", "camera=30")
    code, out, _ = run(capsys, monkeypatch, *call)
    assert code == 0
    assert "on 192 cores and 16 GPUs" in out
    assert "clips of 40 frames, 3.0 from a source" in out
    data = json.loads(run(capsys, monkeypatch, *call, "--json")[1])
    rows = {row["stage"]: row for row in data["stages"]}
    assert rows["pose"]["core_hours"] == pytest.approx(120_000 * 3 / 3600)
    assert (rows["camera"]["seconds"], rows["camera"]["basis"]) == (30, "given")
    assert rows["ingest"]["items"] == 40_000
    assert data["bytes"] == pytest.approx(sum(row["bytes"] for row in rows.values()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--dataset, or a size with --clips"),
        (("--clips", "10", "--rate", "poze=1"), "STAGE=SECONDS"),
        (("--clips", "10", "--rate", "pose=-1"), "STAGE=SECONDS"),
        (("--clips", "0"), "--clips"),
        (("--clips", "10", "--custom", "xpose"), "NAME=COUNT"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    code, _, errors = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert words in " ".join(errors.split())
