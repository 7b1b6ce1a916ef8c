"""Reasons for planned work name exactly what differs."""

import json
from typing import Any

import pytest

from pipeline.why import differences, reasons
from pipeline.work import WorkItem
from tests.pipeline.test_planner import clip, graph, spec


def row(**changes: Any) -> dict[str, Any]:
    made = {
        "stage": "pose", "item_id": clip().clip_id, "stage_version": 1, "params": "{}", "backend": "b",
        "backend_version": 1, "weights_digest": "w", "created_s": 1.0,
    }  # fmt: skip
    return made | changes


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "never made"),
        ([row(item_id="other")], "never made"),
        ([row(stage_version=3)], "the stage's version went from 3 to 1"),
        ([row(backend="a")], "the backend was a and is b"),
        ([row(backend_version=0)], "the backend's version went from 0 to 1"),
        ([row(weights_digest="x")], "the weights are others"),
        ([row(params='{"x":1}')], "settings changed: x 1 → null"),
        ([row()], "an input is renewed"),
        ([row(created_s=2.0), row(backend="a", created_s=1.0)], "an input is renewed"),
    ],
)
def test_reasons(rows: list[dict[str, Any]], reason: str) -> None:
    item = WorkItem("pose", "k", clip().clip_id, "s", clip())
    assert reasons([item], rows, graph(pose=spec("pose"))) == {("pose", reason): 1}


def test_differences_are_named_by_their_path() -> None:
    before = {"a": {"b": 3, "c": [1, 2]}, "same": 1}
    after = {"a": {"b": 1, "c": [1, 2], "new": "x"}, "same": 1}
    assert differences(before, after) == ["a.b 3 → 1", 'a.new null → "x"']
    assert differences(json.loads("{}"), {}) == []
