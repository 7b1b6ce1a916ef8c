"""The documented queries run, word for word, on a real catalog."""

import json
import re
from pathlib import Path

import polars
import pytest

from pipeline.catalog import Catalog
from pipeline.storage import Storage
from schemas.catalog import ARTIFACTS

DOCS = Path(__file__).parents[2] / "docs" / "dataset.md"
EXAMPLES = [
    text for text in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "catalog/artifacts" in text
]


def row(number: int) -> dict[str, object]:
    values: dict[str, object] = dict.fromkeys(ARTIFACTS.names, "")
    quality = json.dumps({"reprojection_error_px": float(number)})
    numbers = {"stage_version": 1, "bytes": 10, "backend_version": 1, "seconds": 1.5, "created_s": 1.0}
    return values | numbers | {"stage": "camera", "status": "moving", "item_id": f"clip{number}", "quality": quality}


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_queries_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(EXAMPLES) == 2
    Catalog(Storage(str(tmp_path / "data" / "mmd"))).append("artifacts", [row(number) for number in range(12)])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(
        example.replace("\n(\n    pl.scan_delta", "\nresult = (\n    pl.scan_delta"), names
    )  # this repository's own text
    if "polars" in example:
        result = names["result"]
        assert isinstance(result, polars.DataFrame)
        assert result["item_id"].to_list() == [f"clip{n}" for n in range(11, 1, -1)]
