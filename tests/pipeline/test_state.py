"""The catalog in memory: figures only of the stages, and everything only of the sources, that are asked for."""

import gc
import json
from pathlib import Path

from bench.synthetic_catalog import make_catalog
from pipeline.dataset import Dataset
from pipeline.pack.gates import judged_stages
from pipeline.state import State, read_items, read_sources, read_state


def test_figures_of_stages_that_nobody_asks_for_are_left_out(tmp_path: Path) -> None:
    dataset = Dataset.create_or_open(str(tmp_path), None)
    for part in range(2):
        rows = [
            {"key": f"{stage}{part}{number}", "stage": stage, "bytes": number, "status": ("ok", "static")[number % 2],
             "quality": json.dumps({"figure": number})}
            for stage in ("pose", "camera") for number in range(5)
        ]  # fmt: skip
        dataset.catalog.append("artifacts", rows)
    whole, some, none = (read_state(dataset, figures_of=stages).artifacts for stages in (None, {"camera"}, ()))
    assert whole.keys() == some.keys() == none.keys()
    assert len(whole) == 20
    for key, facts in whole.items():
        number = int(key[-1])
        assert (facts.bytes, facts.status, facts.figures()) == (
            number,
            ("ok", "static")[number % 2],
            {"figure": number},
        )
        assert some[key].figures() == (facts.figures() if key.startswith("camera") else {})
        assert none[key].figures() == {}
        assert (some[key].bytes, none[key].status) == (facts.bytes, facts.status)


def test_a_state_of_some_sources_is_the_whole_one_without_the_others(tmp_path: Path) -> None:
    dataset = make_catalog(tmp_path, clips=60, sources=6, failed_every=7)
    figures, whole = judged_stages(dataset.config.gates), read_state(dataset)
    chosen = sorted(whole.sources)[:2]
    some = State(sources=read_sources(dataset))
    read_items(dataset, some, figures_of=figures, only=chosen)
    clips = {key: rows for key, rows in whole.clips.items() if any(r["source_id"] in chosen for r in rows.values())}
    assert some.clips == clips
    rows = dataset.catalog.rows("artifacts", ["key", "source_id", "stage"])
    kept = {row["key"] for row in rows if row["source_id"] in chosen or row["stage"] == "pack"}
    assert some.artifacts.keys() == kept < whole.artifacts.keys()
    for row in rows:
        if row["key"] in kept and row["stage"] in figures:
            assert some.artifacts[row["key"]] == whole.artifacts[row["key"]]
    failures = dataset.catalog.rows("failures", ["key", "source_id"])
    assert some.failed == {row["key"] for row in failures if row["source_id"] in chosen}
    assert [source.source_id for source in some.usable_sources()] == chosen
    assert gc.isenabled()
