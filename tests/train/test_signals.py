"""SIGTERM to everything that belongs to a run, as clusters send it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from train.checkpoint import newest_checkpoint, read_trainer_state
from train.metrics import read_metrics


def test_sigterm_to_the_process_group_saves(small_shards: Path, tmp_path: Path) -> None:
    """The reader's workers and the server that starts them get the signal too, and must outlive it."""
    settings = ["steps=5000", "checkpoint.every=5000", "validation.samples=0", "reader.workers=1"]
    settings += [
        "reader.size=[64, 64]",
        "model.unet.block_out_channels=[16, 16, 16, 16]",
        "model.unet.norm_num_groups=4",
    ]
    arguments = ["tiny.yaml", "--dataset", str(small_shards), "--output", str(tmp_path)]
    arguments += [part for setting in settings for part in ("--set", setting)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "train", *arguments]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 200
        while not read_metrics(tmp_path / "metrics.jsonl"):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert read_trainer_state(newest).step == len(read_metrics(tmp_path / "metrics.jsonl")) < 5000
    _await_empty_group(process.pid)


def _await_empty_group(group: int) -> None:
    """Returns when no process of the group is left."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a worker outlived the run")
