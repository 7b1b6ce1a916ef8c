"""`make` says what to do where it finds a Python that the project does not run on."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def script(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("within", [True, False])
def test_a_wrong_python_is_named_with_the_remedy_before_anything_is_installed(tmp_path: Path, within: bool) -> None:
    venv, system = tmp_path / "venv", tmp_path / "python3"
    script(system, "exit 1")
    if within:
        script(venv / "bin" / "python", "exit 1")
    done = subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={system}", f"{venv}/.ready"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    named = venv / "bin" / "python" if within else system
    assert f"{named} is no Python 3.11 or 3.12: remove {venv} if it is there" in done.stdout
    assert "installing packages" not in done.stdout
