"""What the demo says at its end can be pasted into a shell."""

import shlex
import sys
from pathlib import Path

import pytest

from pipeline.cli.demo import next_steps


def test_next_steps_are_commands_that_a_shell_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    commands = [shlex.split(line, comments=True) for line in next_steps(Path("my demo/dataset")).splitlines()]
    assert commands[0] == ["source", ".venv/bin/activate"]
    assert commands[1] == ["mikudance", "status", "--dataset", "my demo/dataset"]
    assert all(command[0] == "mikudance" for command in commands[1:])
    installed = tmp_path / "mikudance"
    installed.touch(0o755)
    installed.chmod(0o755)
    assert not next_steps(Path("demo-out/dataset")).lstrip().startswith("source")
