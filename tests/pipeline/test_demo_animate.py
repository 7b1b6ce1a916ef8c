import math
from pathlib import Path

import pytest

from pipeline.cli.demo_animate import lost, means, newest_export
from pipeline.config_file import ConfigError
from train.evaluation.evaluate import MethodScores


def scores(psnr: float, ssim: float, l1: float) -> dict[str, float]:
    return {"psnr": psnr, "ssim": ssim, "l1": l1}


def test_every_metric_must_be_better() -> None:
    repeat = scores(16.0, 0.30, 2e-3)
    assert lost(scores(17.0, 0.31, 1e-3), repeat) == []
    assert lost(scores(15.0, 0.31, 3e-3), repeat) == ["psnr", "l1"]
    assert lost(repeat, repeat) == ["psnr", "ssim", "l1"]
    assert lost(scores(math.nan, 0.2, math.nan), repeat) == ["psnr", "ssim", "l1"]


def test_means_are_over_the_frames_of_the_chosen_videos() -> None:
    videos = {
        "a": {"frames": 10.0} | scores(10, 0.1, 1e-3),
        "b": {"frames": 30.0} | scores(20, 0.5, 5e-3),
        "still": {"frames": 99.0} | scores(99, 1, 0),
    }
    made = means(MethodScores("ours", {}, videos), {"a", "b"})
    assert made == pytest.approx(scores(17.5, 0.4, 4e-3))
    assert lost(means(MethodScores("ours", {}, videos), set()), made) == ["psnr", "ssim", "l1"]


def test_without_a_network_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make demo-train"):
        newest_export(tmp_path / "export")
