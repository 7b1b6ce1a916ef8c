"""Why planned work has to be done: what differs between a planned artifact and the one that was made before."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.graph import StageSpec
from pipeline.work import WorkItem

COLUMNS = ["stage", "item_id", "stage_version", "params", "backend", "backend_version", "weights_digest", "created_s"]
"""Columns of the artifacts table that `reasons` reads."""


def reasons(
    todo: Iterable[WorkItem], rows: Iterable[Mapping[str, Any]], graph: Mapping[str, StageSpec]
) -> Counter[tuple[str, str]]:
    """Planned items counted by (stage, reason). rows: the catalog's artifacts, columns `COLUMNS`."""
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["created_s"]):
        newest[row["stage"], row["item_id"]] = row
    return Counter((item.stage, _reason(newest.get((item.stage, item.item_id)), graph[item.stage])) for item in todo)


def _reason(before: Mapping[str, Any] | None, spec: StageSpec) -> str:
    if before is None:
        return "never made"
    if before["stage_version"] != spec.version:
        return f"the stage's version went from {before['stage_version']} to {spec.version}"
    if before["backend"] != spec.backend:
        return f"the backend was {before['backend'] or 'none'} and is {spec.backend or 'none'}"
    if before["backend_version"] != spec.backend_version:
        return f"the backend's version went from {before['backend_version']} to {spec.backend_version}"
    if before["weights_digest"] != spec.weights_digest:
        return "the weights are others"
    changes = differences(json.loads(before["params"]), json.loads(spec.params))
    if changes:
        return "settings changed: " + ", ".join(changes)
    return "an input is renewed"


def differences(before: Any, after: Any, name: str = "") -> list[str]:
    """Settings that differ, as "section.key 3 → 1"."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(before.keys() | after.keys())
        return [
            text for key in names for text in differences(before.get(key), after.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == after else [f"{name} {_short(before)} → {_short(after)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"
