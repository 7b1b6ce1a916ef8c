"""120,000 clips without a cluster: what planning, catalog, executor, packing and audit cost as a dataset grows.

    python -m bench.scale run [--sizes 500,2000,5000] [--wait-ms 2] [--one-in 100]
    python -m bench.scale catalog [--clips 120000]

`run` builds one dataset of each size with stages that only wait (real artifacts of eight tiny frames, real catalog,
shards and release; one clip in `--one-in` fails at some stage), then does nothing, adds 50 clips, reads the status and
verifies every file. `catalog` does the same, less verify, on catalogs whose files do not exist, of a tenth of `--clips`
and of all, adds 1 % more to the latter, draws the audit's site and commits 30 × 1,000 rows. Both end with what each
1,000 clips that are there add to the cost of a no-op and of adding 50. Every step is a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.scale_stages import CLIPS_PER_SOURCE

ADDED = CLIPS_PER_SOURCE


def step(root: Path, name: str, arguments: Sequence[str] = (), *, clips: int = 0) -> dict[str, Any]:
    """Runs one step and prints its line."""
    command = [sys.executable, "-m", "bench.scale_steps", str(root), name, "--clips", str(clips), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    text = f"  {name:<8} {found['seconds']:7.1f} s, driver's CPU {found['cpu_seconds']:6.1f} s, "
    text += f"{found['peak_mb']:5.0f} MB ({found['base_mb']:.0f} before it)"
    if found["commits"]:
        busy = found["commit_seconds"]
        text += (
            f"; {found['commits']} commits, {found['rows']:,} rows in {busy:.1f} s = {found['rows'] / busy:,.0f} rows/s"
        )
    print(f"{text}; {', '.join(f'{key} {value:,}' for key, value in found['counts'].items())}", flush=True)
    return found


def slope(there: Sequence[int], figures: Sequence[float]) -> float:
    """What each 1,000 clips that are there add, by least squares."""
    return float(np.polyfit(there, figures, 1)[0]) * 1000


def summary(there: Sequence[int], adds: Sequence[dict[str, Any]], noops: Sequence[dict[str, Any]]) -> None:
    """Prints what grows with what is there."""
    for name, steps in ((f"adding {ADDED}", adds), ("a no-op", noops)):
        for figure, unit, scale in (
            ("cpu_seconds", "ms of the driver's CPU", 1000),
            ("seconds", "ms", 1000),
            ("peak_mb", "MB", 1),
        ):
            values = [found[figure] for found in steps]
            listed = ", ".join(f"{value:.2f} at {count:,}" for count, value in zip(there, values, strict=True))
            print(f"{name}: {figure} {listed}: {slope(there, values) * scale:+.1f} {unit} for each 1,000 clips there")


def run(sizes: Sequence[int], arguments: Sequence[str]) -> None:
    """Datasets of several sizes, each built in one run."""
    there, adds, noops = [], [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            print(f"{size:,} clips x 8 stages", flush=True)
            built = step(root, "build", arguments, clips=size)
            rate = built["counts"]["items"] / built["seconds"]
            print(f"  {rate:.0f} items/s, {built['commits'] / built['seconds']:.2f} commits/s")
            noops.append(step(root, "no-op", arguments))
            adds.append(step(root, "add", arguments, clips=ADDED))
            step(root, "status")
            step(root, "verify")
            there.append(size)
    summary(there, adds, noops)


def catalog(clips: int, arguments: Sequence[str]) -> None:
    """A catalog alone, at full size."""
    there, adds, noops = [], [], []
    for size in (clips // 10, clips):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            print(f"a catalog of {size:,} clips x 8 stages", flush=True)
            step(root, "catalog", clips=size)
            noops.append(step(root, "no-op"))
            step(root, "status")
            adds.append(step(root, "add", arguments, clips=ADDED))
            there.append(size)
            if size == clips:
                share = max(clips // 100 // CLIPS_PER_SOURCE, 1) * CLIPS_PER_SOURCE
                step(root, "add", arguments, clips=share)
                step(root, "audit")
                step(root, "commits")
    summary(there, adds, noops)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "catalog"))
    parser.add_argument("--sizes", default="500,2000,5000", help="clips of each dataset; multiples of 50")
    parser.add_argument("--clips", type=int, default=120_000, help="clips of the catalog")
    parser.add_argument("--wait-ms", default="2", help="milliseconds that a stage waits an item")
    parser.add_argument("--one-in", default="100", help="one clip in so many fails; 0: none")
    given = parser.parse_args()
    arguments = ("--wait-ms", given.wait_ms, "--one-in", given.one_in)
    sizes = [int(size) for size in given.sizes.split(",")]
    if any(size % CLIPS_PER_SOURCE for size in sizes):
        parser.error(f"sizes are multiples of {CLIPS_PER_SOURCE}, the clips of a source")
    if given.what == "run":
        run(sizes, arguments)
    else:
        catalog(given.clips, arguments)


if __name__ == "__main__":
    main()
