"""docs/operations.md against the code: every error class, exit code, cause of quarantine, kind of finding."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline import verify
from pipeline.cli.common import Exit
from pipeline.executor.worker import Cause

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
PACKAGES = ("schemas", "extractors", "stages", "pipeline", "train")


def sources() -> Iterator[tuple[str, ast.Module]]:
    """(dotted name, syntax tree) of every module."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name, ast.parse(path.read_text())


def error_classes() -> set[str]:
    """Dotted names of all classes that derive from an exception, ours or Python's."""
    found = set()
    for module, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if any(base.endswith(("Error", "Exception")) for base in bases):
                    found.add(f"{module}.{node.name}")
    return found


def rows() -> dict[str, list[str]]:
    """Cells after the first of the table "Every error", by the names in its first cell."""
    part = PAGE.split("## Every error")[1]
    found = {}
    for line in re.findall(r"^\| (`.+) \|$", part, re.MULTILINE):
        names, *cells = line.split(" | ")
        for name in re.findall(r"`([^`]+)`", names):
            found[name] = cells
    return found


def test_the_search_finds_the_known_ones() -> None:
    classes = error_classes()
    assert {
        "pipeline.storage.StorageError",
        "extractors.camera.vmd.VmdError",
        "train.step.NonFiniteLossError",
    } <= classes
    assert len(classes) > 25


def test_every_error_class_has_meaning_and_remedy() -> None:
    table = rows()
    assert sorted(error_classes() - set(table)) == []
    for name, cells in table.items():
        assert len(cells) == 3, name
        assert all(cell.strip() for cell in cells), name


def test_no_error_class_is_named_that_is_gone() -> None:
    ours = {name for name in rows() if "." in name}
    assert sorted(ours - error_classes()) == []


@pytest.mark.parametrize("code", [int(code) for code in Exit])
def test_every_exit_code_is_explained(code: int) -> None:
    assert re.search(rf"^\| {code} \| ", PAGE, re.MULTILINE)


def test_every_cause_of_quarantine_is_explained() -> None:
    """The causes are those of the type, and the first arguments with which the code makes an ItemFailed."""
    causes = set(get_args(Cause))
    for module, tree in sources():
        if not module.startswith("pipeline"):
            continue
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ItemFailed"):
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                causes.add(node.args[0].value)
    assert {"timeout", "killed", "refused", "unreadable"} <= causes
    for cause in causes:
        assert f"| `{cause}` |" in PAGE, cause


def test_every_kind_of_finding_is_explained() -> None:
    part = PAGE.split("## Damage")[1].split("## ")[0]
    for kind in get_args(verify.Kind):
        assert f"`{kind}`" in part, kind
