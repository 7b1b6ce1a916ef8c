"""The catalog in memory: figures only of the stages that are asked for."""

import json
from pathlib import Path

from pipeline.dataset import Dataset
from pipeline.state import read_state


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
