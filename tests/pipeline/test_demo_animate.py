import math
from pathlib import Path

import pytest

from pipeline.cli.demo_animate import lost, newest_export
from pipeline.config_file import ConfigError
from train.evaluation.config import Metric


def scores(psnr: float, ssim: float, l1: float) -> dict[Metric, float]:
    return {"psnr": psnr, "ssim": ssim, "l1": l1}


def test_every_metric_must_be_better() -> None:
    repeat = scores(16.0, 0.30, 2e-3)
    assert lost(scores(17.0, 0.31, 1e-3), repeat) == []
    assert lost(scores(15.0, 0.31, 3e-3), repeat) == ["psnr", "l1"]
    assert lost(repeat, repeat) == ["psnr", "ssim", "l1"]
    assert lost(scores(math.nan, 0.2, math.nan), repeat) == ["psnr", "ssim", "l1"]


def test_without_a_network_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make demo-train"):
        newest_export(tmp_path / "export")
