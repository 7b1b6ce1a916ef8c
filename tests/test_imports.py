"""The import contracts of pyproject.toml notice what they are there for."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PLANTED = {
    "schemas/planted.py": "import stages.base\nimport pycolmap\n",
    "extractors/planted.py": "import stages.base\nimport deltalake\n",
    "stages/planted.py": "def late():\n    import train.config\n    import duckdb\n    import pipeline.work\n",
    "pipeline/planted.py": "def late():\n    from train.data.release import load_release\n",
    "pipeline/work.py": "from ray import get\n",
    "train/planted.py": "import ray\nimport stages.base\nimport pipeline.work\nfrom extractors.pose.layout import x\n",
    "train/loss.py": "import extractors.imports\nimport extractors.devices\nimport extractors.batches\n",
}
"""Lines put in front of a file (made where it is absent), each of which breaks a contract."""
SEEN = (
    "schemas.planted -> stages.base", "schemas.planted -> pycolmap", "extractors.planted -> stages.base",
    "extractors.planted -> deltalake", "stages.planted -> train.config", "stages.planted -> duckdb",
    "stages.planted -> pipeline.work", "pipeline.planted -> train.data.release", "pipeline.work -> ray",
    "train.planted -> ray", "train.planted -> stages.base", "train.planted -> pipeline.work",
    "train.planted -> extractors.pose.layout", "train.loss -> extractors.imports", "train.loss -> extractors.devices",
    "train.loss -> extractors.batches",
)  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports says of a copy of the code with violations in it."""
    copy = tmp_path_factory.mktemp("violations")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name in ("schemas", "extractors", "stages", "pipeline", "train"):
        shutil.copytree(ROOT / name, copy / name, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    for name, lines in PLANTED.items():
        file = copy / name
        file.write_text(lines + (file.read_text() if file.exists() else ""))
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = {"PYTHONPATH": str(copy), "PATH": "", "COLUMNS": "200"}
    done = subprocess.run(
        [*command, "--no-cache"], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


def test_every_contract_can_break(verdicts: str) -> None:
    assert f"Contracts: 0 kept, {len(CONTRACTS)} broken." in verdicts


@pytest.mark.parametrize("violation", SEEN)
def test_a_planted_violation_is_named(verdicts: str, violation: str) -> None:
    assert violation in verdicts


def test_the_trainer_s_contract_names_all_extractors_but_geometry() -> None:
    forbidden = next(set(c["forbidden_modules"]) for c in CONTRACTS if c.get("source_modules") == ["train"])
    files = [
        path for path in (ROOT / "extractors").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    there = {f"extractors.{path.stem}" for path in files} - {"extractors.__init__", "extractors.geometry"}
    assert there <= forbidden
