"""Builds of a small dataset as processes of their own, and what they leave behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config_file import dump
from pipeline.demo import render_demo
from tests.pipeline.small import SETTINGS, small_config

COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]
SOURCES = ("camera_dolly.mp4", "character_cut.mp4")
LIMIT_S = 1800.0
"""No command of a campaign may take longer, on however busy a machine."""


@dataclass(frozen=True)
class Dataset:
    """The bytes of a dataset that have to be the same however it was made, by path."""

    artifacts: dict[str, bytes] = field(repr=False)
    shards: dict[str, bytes] = field(repr=False)
    releases: dict[str, bytes] = field(repr=False)

    @classmethod
    def read(cls, root: Path) -> "Dataset":
        def files(pattern: str) -> dict[str, bytes]:
            return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob(pattern))}

        return cls(files("artifacts/**/*.parquet"), files("shards/*"), files("releases/*.json"))

    def bytes(self) -> int:
        """Size of everything together."""
        return sum(len(data) for part in vars(self).values() for data in part.values())


def render(folder: Path) -> Path:
    """The videos that the builds are made of."""
    folder.mkdir(parents=True, exist_ok=True)
    render_demo(folder, size=128, frames=32)
    return folder


def config_text(*, attempts: int) -> str:
    """Configuration of the builds. attempts: more than a clip can be hit, so that no victim of chance is blamed."""
    gates = {"refuse_status": {}, "refuse_status_character": {}}
    config = small_config(gates=gates, pack={"shard_samples": 2})
    run = {name: getattr(config.run, name).model_copy(update={"attempts": attempts}) for name in SETTINGS["run"]}
    return dump(config.model_copy(update={"run": config.run.model_copy(update=run)}))


def start(*arguments: str | Path, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    """A `mikudance` command in a session of its own; a local Ray of its own lives in that session too."""
    return popen([*COMMAND, *map(str, arguments)], environment)


def popen(command: list[str], environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    """A process in a session of its own, with its output in a pipe."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )


def start_build(
    root: Path | str, videos: Path, config: Path, *options: str, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """`mikudance build` of all videos."""
    names = [videos / name for name in SOURCES]
    return start("build", *names, "--dataset", root, "--config", config, *options, environment=environment)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code and output."""
    output, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, output


def run(*arguments: str | Path, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """A `mikudance` command to its end."""
    return finish(start(*arguments, environment=environment))


def processes(session: int, name: bytes = b"") -> list[int]:
    """Ids of the living processes of a session whose command line begins with `name`."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
            if line and line.startswith(name) and os.getsid(int(folder.name)) == session:
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def working(session: int) -> list[int]:
    """Ids of the workers of a session that hold an item: Ray writes the method that an actor runs into its title."""
    return processes(session, b"ray::Worker.run")


def kill(*ids: int) -> None:
    """SIGKILL; a process that has just ended by itself is no error."""
    _signal(signal.SIGKILL, ids)


def stop(*ids: int) -> None:
    """SIGSTOP: processes stand still until they are killed."""
    _signal(signal.SIGSTOP, ids)


def _signal(number: signal.Signals, ids: Sequence[int]) -> None:
    for process in ids:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def kill_session(session: int) -> None:
    """SIGKILL to every process of a session, as when a machine goes away. What they start meanwhile is killed too."""
    while found := processes(session):
        kill(*found)
