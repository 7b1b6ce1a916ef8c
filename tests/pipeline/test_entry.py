"""`mikudance` without the packages of its extra."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("absent", ["typer", "deltalake"])
def test_an_absent_package_is_one_line_that_names_the_extra(absent: str) -> None:
    code = f"import sys; sys.modules[{absent!r}] = None; from pipeline.cli.entry import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {absent} is not installed")
    assert "pip install 'mikudance[pipeline]'" in line


def test_with_everything_there_the_commands_run() -> None:
    code = "from pipeline.cli.entry import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
