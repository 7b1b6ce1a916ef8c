"""A run before its first item: what can never run is refused."""

from pathlib import Path

import pytest

from pipeline.executor.loop import ExecutorError
from tests.pipeline.small import SETTINGS, build, small_config


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_stage_of_the_end_that_fits_no_node_is_refused_before_the_first_begins(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video, but nobody looks")
    run = SETTINGS["run"] | {"pack": {"cpus": 100}, "stylize": {"custom": {"sdxl": 1}}}
    with pytest.raises(ExecutorError, match=r"run\.pack\.cpus.*run\.stylize\.custom\.sdxl"):
        build(tmp_path / "dataset", [tmp_path / "a.mp4"], config=small_config(run=run))
    assert not list((tmp_path / "dataset").glob("artifacts/**/*.parquet"))
    assert not (tmp_path / "dataset" / "catalog" / "failures").exists()
