"""How far a forecast is from a real run: one run of the demo gives the rates, another one is forecast, then run.

    python -m bench.scale_forecast [FOLDER] [--frames 48]

Builds the demo in FOLDER/first and FOLDER/second (kept and used as they are if they are there), forecasts one half of
the first one's clips from the other half, then the second one from the first, and prints both. `--frames` makes the
second one's clips longer than the first one's 48 frames.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, median

from pipeline.dataset import Dataset
from pipeline.forecast import Machines, dataset_rates, forecast, mean_frames

FIRST_FRAMES = 48


@dataclass(frozen=True)
class Real:
    """What a build took. seconds, bytes: by stage, over all items (shards for pack); wall_s: of the whole run."""

    seconds: dict[str, float]
    bytes: dict[str, float]
    wall_s: float
    clips: int


def demo(folder: Path, frames: int) -> Dataset:
    """The dataset of a finished demo."""
    dataset = folder / "dataset"
    if not (dataset / "releases" / "0001.json").exists():
        command = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]
        subprocess.run([*command, "demo", str(folder), "--frames", str(frames)], check=True)
    return Dataset.open(str(dataset))


def real(dataset: Dataset) -> Real:
    """The figures of a dataset that was built in one run."""
    runs = [row for row in dataset.catalog.rows("runs") if row["state"] == "finished"]
    assert len({row["run_id"] for row in runs}) == 1, f"{dataset.root} was not built in one run"
    seconds, sizes = defaultdict[str, float](float), defaultdict[str, float](float)
    for row in dataset.catalog.rows("artifacts", ["stage", "seconds", "bytes"]):
        seconds[row["stage"]] += row["seconds"]
        sizes[row["stage"]] += row["bytes"] if row["stage"] != "pack" else 0
    shards = {row["path"]: row["bytes"] for row in dataset.catalog.rows("shards", ["path", "bytes"])}
    sizes["pack"] = float(sum(shards.values()))
    clips = {row["clip_id"] for row in dataset.catalog.rows("clips", ["clip_id"])}
    return Real(seconds, sizes, runs[0]["seconds"], len(clips))


def compare(first: Dataset, second: Dataset, cpus: int) -> None:
    """Prints forecast and truth of the second dataset, the forecast from the first one's rates."""
    truth, scale = real(second), (mean_frames(second) or 0.0) / (mean_frames(first) or 1.0)
    found = forecast(
        first.config, dataset_rates(first), clips=truth.clips, machines=Machines(cpus=cpus), frames_scale=scale
    )
    print(f"{truth.clips} clips, {scale:.2f} times as long, on {cpus} cores; rates of {real(first).clips} clips")
    print(f"{'stage':<13}{'seconds':>10}{'forecast':>10}{'error':>8}{'bytes':>14}{'forecast':>14}{'error':>8}")
    rows = [(s.stage, truth.seconds[s.stage], s.core_hours * 3600, truth.bytes[s.stage], s.bytes) for s in found.stages]
    total = ("in all", *(sum(row[place] for row in rows) for place in range(1, 5)))
    for name, took, expected, size, size_expected in (*rows, total):
        print(f"{name:<13}{took:>10.1f}{expected:>10.1f}{error(expected, took):>8}"
              f"{size:>14,.0f}{size_expected:>14,.0f}{error(size_expected, size):>8}")  # fmt: skip
    least = found.hours * 3600
    print(f"wall time: {truth.wall_s:.1f} s, forecast at least {least:.1f} s ({error(least, truth.wall_s)})")


def halves(dataset: Dataset) -> None:
    """Prints how far the mean clip of one half of a run is from that of the other, for every way to halve its clips."""
    rows = dataset.catalog.rows("artifacts", ["item_id", "seconds", "bytes"])
    clips = {row["clip_id"] for row in dataset.catalog.rows("clips", ["clip_id"])}
    for figure in ("seconds", "bytes"):
        cost = dict.fromkeys(sorted(clips), 0.0)
        for row in rows:
            if row["item_id"] in cost:
                cost[row["item_id"]] += row[figure]
        errors = []
        for chosen in combinations(cost, (len(cost) + 1) // 2):
            rest = [value for name, value in cost.items() if name not in chosen]
            errors.append(abs(fmean(cost[name] for name in chosen) / fmean(rest) - 1))
        print(f"{figure} of one half of the clips from the other half, {len(errors)} ways: error {median(errors):.0%}, "
              f"at worst {max(errors):.0%}")  # fmt: skip


def error(expected: float, truth: float) -> str:
    """Of a forecast, in per cent of the truth."""
    return f"{100 * (expected / truth - 1):+.0f} %" if truth else "-"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the two demos lie; a temporary folder without it")
    parser.add_argument("--frames", type=int, default=FIRST_FRAMES, help="frames a clip of the second demo")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        first, second = demo(folder / "first", FIRST_FRAMES), demo(folder / "second", given.frames)
        halves(first)
        compare(first, second, len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    main()
