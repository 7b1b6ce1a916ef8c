"""The pipeline's own cost: overhead over the stages' time, a no-op on 120,000 clips, memory at ten times the clips.

    python -m bench.pipeline overhead | noop | memory

Each prints one line: what was measured, the figure, the goal.
"""

import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE, CLIP = 128, 16


def textured_pan(path: Path, frames: int, *, seed: int = 0) -> None:
    """A video that slides over noise: every clip of it has features and no person."""
    from pipeline.demo.videos import write_video

    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (40, 40 + frames // 8, 3), np.uint8)
    wide = np.kron(coarse, np.ones((4, 4, 1), np.uint8))
    clip = np.stack([wide[16 : 16 + SIZE, i // 2 : i // 2 + SIZE] for i in range(frames)])
    write_video(path, clip)


def build(root: Path, video: Path) -> tuple[float, float, int]:
    """Builds a dataset on one core. Returns wall seconds (Ray's start left out), the stages' own seconds, and clips."""
    from rich.console import Console

    from pipeline.config import DatasetConfig
    from pipeline.config_file import validate
    from pipeline.dataset import Dataset
    from pipeline.executor.cluster import cluster
    from pipeline.ingest.sources import discover
    from pipeline.progress import ProgressView
    from pipeline.run import Run, RunOptions

    settings = {"decode": {"size": SIZE}, "ingest": {"clip_frames": CLIP, "min_frames": CLIP}}
    config = validate(DatasetConfig, settings, "the benchmark's settings")
    dataset = Dataset.create_or_open(str(root), config)
    with cluster(None, object_store_mb=100, cpus=1), ProgressView(Console(file=io.StringIO())) as view:
        run = Run(dataset, view, RunOptions())
        started = time.perf_counter()
        summary = run.build(discover([str(video)], kind="camera", config=config.ingest, known={}))
        wall = time.perf_counter() - started
    return wall, sum(summary.stage_seconds.values()), summary.made["decode"]


def overhead() -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "pan.mp4"
        textured_pan(video, 110 * CLIP)
        wall, own, clips = build(Path(folder) / "dataset", video)
    print(f"overhead: {clips} clips of {CLIP} frames at {SIZE} px on one core: run {wall:.1f} s over the stages' own "
          f"{own:.1f} s = {wall / own:.3f} (goal <= 1.10)")  # fmt: skip


def memory() -> None:
    peaks = []
    for count in (20, 200):
        command = [sys.executable, "-m", "bench.pipeline", "_memory", str(count)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]))
    print(f"memory: driver's peak {peaks[0]:.0f} MB at 20 clips, {peaks[1]:.0f} MB at 200 = {peaks[1] / peaks[0]:.3f} "
          "(goal <= 1.1)")  # fmt: skip


def _memory(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "pan.mp4"
        # Rendering happens in a child, so that only the run itself counts.
        code = f"from bench.pipeline import *; textured_pan(Path({str(video)!r}), {count * CLIP})"
        subprocess.run([sys.executable, "-c", code], check=True)
        build(Path(folder) / "dataset", video)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def noop(clips: int = 120_000) -> None:
    from bench.synthetic_catalog import make_catalog
    from pipeline.dataset import Dataset
    from pipeline.status import read_status

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "dataset"
        make_catalog(root, clips=clips, failed_every=clips + 1)
        started = time.perf_counter()
        status = read_status(Dataset.open(str(root)))
        seconds = time.perf_counter() - started
    assert not status.plan.todo, "the synthetic dataset is finished; its plan must be empty"
    print(f"noop: planning {clips} finished clips took {seconds:.1f} s (goal <= 10 s)")


if __name__ == "__main__":
    {"overhead": overhead, "memory": memory, "noop": noop, "_memory": lambda: _memory(int(sys.argv[2]))}[sys.argv[1]]()
