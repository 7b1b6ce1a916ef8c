"""infra/README.md: the project's own commands, files and options in it exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipeline.cli.main import app
from train.config import load_config

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "infra" / "README.md").read_text()


def commands() -> list[str]:
    """Indented lines and commands in the running text, continued lines joined, comments cut off."""
    text = TEXT.replace("\\\n", " ")
    lines = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE) + re.findall(r"`(mikudance [^`]+)`", text)
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def of(*words: str) -> list[list[str]]:
    found = []
    for line in commands():
        parts = shlex.split(line)
        for start in range(len(parts) - len(words) + 1):
            if parts[start : start + len(words)] == list(words):
                found.append(parts[start + len(words) :])
    return found


def test_mikudance_commands_parse() -> None:
    root: Any = get_command(app)
    calls = [words[1:] for words in map(shlex.split, commands()) if words and words[0].endswith("mikudance")]
    calls += of("sbatch", "infra/slurm/build.sbatch")
    assert len(calls) > 8
    for name, *call in calls:
        command = root.commands[name]
        while hasattr(command, "commands"):
            name, *call = call
            command = command.commands[name]
        command.make_context(name, list(call))


def test_training_commands_start_from_configurations() -> None:
    calls = of("-m", "train") + of("sbatch", "infra/slurm/train.sbatch")
    assert len(calls) == 4
    for name, *options in calls:
        pairs = [o for o in options if o != "--dry-run"]
        given = dict(zip(pairs[::2], pairs[1::2], strict=True))
        settings = [value for option, value in zip(pairs[::2], pairs[1::2], strict=True) if option == "--set"]
        assert set(given) <= {"--dataset", "--output", "--set", "--ranks"}
        assert load_config(name, settings).accumulation(16) >= 1


@pytest.mark.parametrize("path", sorted(set(re.findall(r"infra/[\w./-]+\.\w+|\.\./docs/\w+\.md", TEXT))))
def test_files_exist(path: str) -> None:
    assert (ROOT / "infra" / path).exists() if path.startswith("..") else (ROOT / path).exists()
