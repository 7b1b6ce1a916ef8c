"""What the simulated dataset is put through, one step a process, so that a step's memory is its own.

    python -m bench.scale_steps ROOT STEP [--clips N] [--wait-ms 2] [--one-in 100]

A step prints one line of JSON: wall seconds, CPU seconds and peak resident memory of the driver (Ray's processes and
its start left out), commits and rows written, and what the step itself counts.
"""

import argparse
import io
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.scale_stages import CLIPS_PER_SOURCE, FRAMES, Injected, failing_stage, waiting_graph
from pipeline.catalog import Catalog
from pipeline.config import DatasetConfig
from pipeline.config_file import validate
from pipeline.dataset import Dataset
from pipeline.executor.cluster import cluster
from pipeline.graph import CLIP_STAGES
from pipeline.ingest.sources import discover
from pipeline.progress import ProgressView
from pipeline.run import Run, RunOptions, RunSummary
from pipeline.sources import known_files
from pipeline.status import read_status
from pipeline.verify import verify

STAGES = ("ingest", *CLIP_STAGES, "pack")
SETTINGS = {
    "ingest": {"clip_frames": FRAMES, "min_frames": FRAMES, "splits": {"train": 1.0, "val": 0.0, "test": 0.0}},
    "pack": {"shard_samples": 250},
    # Fractions, so that one worker of every stage fits two cores.
    "run": {stage: {"cpus": 0.2, "workers": 1} for stage in STAGES},
}


@dataclass
class Measured:
    """One step. seconds, cpu_seconds, peak_mb: of the driver; base_mb of that it takes before it begins."""

    step: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    base_mb: float = 0.0
    commits: int = 0
    rows: int = 0
    commit_seconds: float = 0.0
    counts: dict[str, Any] = field(default_factory=dict)


class TimedCatalog(Catalog):
    """A catalog that counts what it commits."""

    commits, rows_written, seconds = 0, 0, 0.0

    def append(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        started = time.perf_counter()
        super().append(table, rows)
        if rows:
            self.commits += 1
            self.rows_written += len(rows)
            self.seconds += time.perf_counter() - started


class WaitingRun(Run):
    """The project's own run with stages that only wait."""

    def __init__(self, dataset: Dataset, view: ProgressView, options: RunOptions, injected: Injected) -> None:
        super().__init__(dataset, view, options)
        self.graph = waiting_graph(self.graph, injected)


def scale_config() -> DatasetConfig:
    """The configuration of simulated datasets."""
    return validate(DatasetConfig, SETTINGS, "the benchmark's settings")


def write_sources(folder: Path, first: int, count: int) -> list[Path]:
    """Files that stand for videos; each has its own content, so each is a source of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:06d}.mp4" for number in range(first, first + count)]
    for file in files:
        file.write_text(file.name)
    return files


def open_dataset(root: Path) -> tuple[Dataset, TimedCatalog]:
    """The dataset under `root`, with a catalog that counts."""
    exists = (root / "dataset" / "config.yaml").exists()
    dataset = Dataset.create_or_open(str(root / "dataset"), None if exists else scale_config())
    dataset.catalog = catalog = TimedCatalog(dataset.storage)
    return dataset, catalog


def build(dataset: Dataset, files: Sequence[Path], *, add: bool, injected: Injected) -> RunSummary:
    """What `mikudance build` or `add` does, with stages that wait."""
    with ProgressView(Console(file=io.StringIO())) as view:
        run = WaitingRun(dataset, view, RunOptions(command="add" if add else "build"), injected)
        found = discover(
            [str(file) for file in files],
            kind="camera" if add else "character",
            config=dataset.config.ingest,
            known=known_files(run.state.sources),
        )
        return run.build(found, only_given=add)


def build_step(root: Path, clips: int, *, add: bool, injected: Injected) -> Measured:
    """Builds or adds so many clips; checks that exactly the clips that had to fail are in quarantine."""
    folder = root / "videos"
    files = write_sources(folder, len(list(folder.glob("*"))) if folder.exists() else 0, clips // CLIPS_PER_SOURCE)
    dataset, catalog = open_dataset(root)
    with cluster(None, object_store_mb=100, cpus=2):
        measured, summary = timed(
            "add" if add else "build", catalog, lambda: build(dataset, files, add=add, injected=injected)
        )
    wanted = {name for name in _clip_names(dataset, files) if failing_stage(name, injected.one_in)}
    assert summary.release is not None, "nothing was published"
    packed = {name for entry in summary.release.release.shards for name in entry.samples}
    new = set(_clip_names(dataset, files))
    assert len(new) == clips, f"{len(new)} clips were cut, not {clips}"
    assert new - packed == wanted, "the release must hold every clip but those that had to fail"
    assert summary.failed.total() == len(wanted), f"{summary.failed} failed, {len(wanted)} had to"
    assert not summary.left, f"{summary.left} items were left"
    measured.counts = {"clips": clips, "items": summary.made.total(), "failed": len(wanted), "packed": len(packed)}
    measured.counts["waited"] = sum(summary.made[stage] for stage in CLIP_STAGES) * injected.wait_s
    return measured


def noop_step(root: Path, injected: Injected) -> Measured:
    """A build with nothing to do."""
    dataset, catalog = open_dataset(root)
    measured, summary = timed("no-op", catalog, lambda: build(dataset, [], add=False, injected=injected))
    assert summary.idle, "everything was made, so nothing may run"
    assert catalog.commits == 0, "a no-op commits nothing"
    measured.counts = {"reused": summary.reused.total()}
    return measured


def status_step(root: Path) -> Measured:
    """`mikudance status`."""
    dataset, catalog = open_dataset(root)
    measured, status = timed("status", catalog, lambda: read_status(dataset))
    measured.counts = {"clips": sum(status.clips.values()), "failures": len(status.failures)}
    return measured


def verify_step(root: Path, *, deep: bool) -> Measured:
    """`mikudance verify`; finds nothing, because nothing was damaged."""
    dataset, catalog = open_dataset(root)
    measured, findings = timed("verify", catalog, lambda: list(verify(dataset, deep=deep)))
    assert not findings, f"{len(findings)} findings, the first: {findings[0]}"
    files = sum(1 for folder in ("artifacts", "shards") for _ in dataset.storage.list(folder))
    measured.counts = {"files": files}
    return measured


def _clip_names(dataset: Dataset, files: Sequence[Path]) -> list[str]:
    sources = {row["source_id"] for row in dataset.catalog.rows("sources", ["source_id", "uri"])
               if Path(dataset.resolve_uri(row["uri"])) in set(files)}  # fmt: skip
    rows = dataset.catalog.rows("clips", ["clip_id", "source_id"])
    return [row["clip_id"] for row in rows if row["source_id"] in sources]


def timed(step: str, catalog: TimedCatalog, work: Callable[[], Any]) -> tuple[Measured, Any]:
    """The figures of a piece of work in this process, and its result."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    measured = Measured(step, time.perf_counter() - wall, time.process_time() - cpu)
    measured.peak_mb, measured.base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, base
    measured.commits, measured.rows = catalog.commits, catalog.rows_written
    measured.commit_seconds = catalog.seconds
    return measured, result


def main() -> None:
    """Runs one step and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("step", choices=("build", "add", "no-op", "status", "verify", "catalog", "commits", "audit"))
    parser.add_argument("--clips", type=int, default=0)
    parser.add_argument("--wait-ms", type=float, default=2.0)
    parser.add_argument("--one-in", type=int, default=100)
    given = parser.parse_args()
    injected = Injected(given.wait_ms / 1000, given.one_in)
    if given.step in ("build", "add"):
        measured = build_step(given.root, given.clips, add=given.step == "add", injected=injected)
    elif given.step == "no-op":
        measured = noop_step(given.root, injected)
    elif given.step == "status":
        measured = status_step(given.root)
    elif given.step == "verify":
        measured = verify_step(given.root, deep=True)
    else:
        from bench import scale_catalog

        measured = scale_catalog.step(given.root, given.step, given.clips)
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
