"""A worker that takes all memory: ended by Ray's memory monitor, its clip quarantined, every other finished.

    python -m bench.chaos.memory DATASET CONFIG VIDEO...

builds a dataset in which one clip's last stage never stops asking for memory.
"""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from bench.chaos import builds
from bench.chaos.ground import Ground, SilentDamageError
from pipeline.cli.common import Exit, console
from pipeline.config import DatasetConfig
from pipeline.config_file import load
from pipeline.dataset import Dataset
from pipeline.ingest.sources import discover
from pipeline.progress import ProgressView
from pipeline.report import print_summary
from pipeline.run import Run, RunOptions
from pipeline.status import read_status
from schemas.clip import Clip
from schemas.config import Resources
from stages.base import Inputs
from stages.stylize import StylizeConfig, StylizeStage

ROOM = 2_000_000_000
"""Bytes that may be taken, beyond what is in use at the start, before Ray's monitor acts."""
GUARD = 8_000_000_000
BLOCK = 100_000_000


class HungryStage(StylizeStage):
    """The real stage, but clips that begin in mid-video take all memory."""

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        if clip.first_frame > 0:
            taken: list[bytes] = []
            while len(taken) * BLOCK < GUARD:
                taken.append(b"\x01" * BLOCK)
            raise RuntimeError("nobody ended this worker")
        return super().run(clip, inputs)


def hungry_graph(graph: dict[str, Any], config: StylizeConfig) -> None:
    """Puts the hungry stage in the place of the real one; its artifacts' keys stay the same."""
    resources = Resources(cpus=0.25, workers=1, attempts=2)
    graph["stylize"] = replace(graph["stylize"], build=partial(HungryStage, config), resources=resources)


def out_of_memory(ground: Ground) -> str:
    """Quarantine with the right cause and everything else published; then, with the real stage, all of it."""
    root, memory = ground.folder / "memory", psutil.virtual_memory()
    threshold = (memory.total - memory.available + ROOM) / memory.total
    names = [ground.videos / name for name in builds.SOURCES]
    command = [sys.executable, "-m", "bench.chaos.memory", str(root), str(ground.config), *map(str, names)]
    process = builds.popen(command, {"RAY_memory_usage_threshold": f"{threshold:.4f}"})
    code, output = builds.finish(process)
    if code != Exit.QUARANTINE:
        raise SilentDamageError(f"ended with {code}:\n{output}")
    failures = read_status(Dataset.open(str(root))).failures
    if not failures or {row["cause"] for row in failures} != {"out_of_memory"}:
        raise SilentDamageError(f"quarantined: {[(row['item_id'], row['cause'], row['error']) for row in failures]}")
    ground.must_be_sound(root)
    code, output = builds.run("retry", "--dataset", root)
    ground.must_be_sound(root)
    # The clip came late, so it lies in another shard than in the quiet run; its content must be the same.
    if code != 0 or samples(root) != samples(ground.folder / "quiet"):
        raise SilentDamageError(f"after `retry` (code {code}) the samples are not those of the quiet run:\n{output}")
    return (
        f"{len(failures)} clip took {ROOM / 1e9:g} GB more: out_of_memory, all others published; identical after retry"
    )


def samples(root: Path) -> dict[str, str]:
    """Digest of every published sample by clip."""
    release = Dataset.open(str(root)).newest_release()
    assert release is not None
    return {name: digest for e in release.shards for name, digest in zip(e.samples, e.digests, strict=True)}


def main() -> int:
    root, config, *videos = sys.argv[1:]
    dataset = Dataset.create_or_open(root, load(DatasetConfig, Path(config)))
    with ProgressView(console) as view:
        run = Run(dataset, view, RunOptions())
        hungry_graph(run.graph, dataset.config.stylize)
        files = discover(videos, kind="character", config=dataset.config.ingest, known={})
        summary = run.build(files)
    print_summary(console, dataset, summary)
    return Exit.QUARANTINE if summary.failed else Exit.OK


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
