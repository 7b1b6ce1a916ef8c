"""A small real dataset for tests: rendered videos at 128 px, built once a session by the real pipeline."""

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.config import DatasetConfig
from pipeline.config_file import validate
from pipeline.dataset import Dataset
from pipeline.ingest.sources import discover
from pipeline.progress import ProgressView
from pipeline.run import Run, RunOptions, RunSummary
from pipeline.sources import known_files
from schemas.clip import Kind

SETTINGS = {
    "decode": {"size": 128},
    "ingest": {"clip_frames": 32},
    # Fractions, so that a worker of every stage fits a test machine of two cores at once and models stay loaded.
    "run": {name: {"cpus": 0.25, "workers": 1} for name in
            ("ingest", "decode", "pose", "camera", "depth", "scene_motion", "stylize", "pack")},
}  # fmt: skip


def small_config(**changes: object) -> DatasetConfig:
    """The tests' configuration with sections laid over it."""
    return validate(DatasetConfig, {**SETTINGS, **changes}, "the test's settings")


def build(
    root: Path, sources: Sequence[Path], *, kind: Kind = "character", config: DatasetConfig | None = None,
    command: str = "build", retry_failed: bool = False,
) -> RunSummary:  # fmt: skip
    """One run of the pipeline in this process, on the connected Ray cluster."""
    dataset = Dataset.create_or_open(str(root), config)
    with ProgressView(Console(file=io.StringIO())) as view:
        run = Run(dataset, view, RunOptions(command=command, retry_failed=retry_failed))
        known = known_files(run.state.sources)
        names = [str(path) for path in sources]
        files = discover(names, kind=kind, config=dataset.config.ingest, known=known) if names else []
        return run.build(files, only_given=command == "add")
