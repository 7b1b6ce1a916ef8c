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


def test_help_loads_nothing_that_is_slow_to_load() -> None:
    slow = ("torch", "scipy", "ray", "duckdb", "pycolmap", "onnxruntime", "transformers", "diffusers", "matplotlib")
    code = f"import sys; import pipeline.cli.main; print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
