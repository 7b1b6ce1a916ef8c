"""Presets fit the configuration and keep what they do not name."""

import pytest

from pipeline.config import DatasetConfig
from pipeline.presets import PresetError, preset_settings


def test_the_paper_preset_chooses_every_backend_of_the_paper() -> None:
    settings = preset_settings("paper", {"decode": {"size": 512}, "run": {"camera": {"timeout_s": 60}}})
    config = DatasetConfig.model_validate(settings)
    chosen = [config.pose.backend, config.camera.backend, config.depth.backend, config.stylize.backend]
    assert [backend.backend for backend in chosen] == ["xpose", "droid", "depth-anything", "sdxl"]
    assert (config.decode.size, config.run.camera.timeout_s) == (512, 60)
    assert config.run.camera.gpus > 0


def test_settings_beside_a_backend_stay() -> None:
    written = DatasetConfig.model_validate({"depth": {"references": 3}}).model_dump(mode="json")
    config = DatasetConfig.model_validate(preset_settings("paper", written))
    assert config.depth.references == 3
    assert config.depth.backend.backend == "depth-anything"


def test_embedded_is_the_default() -> None:
    assert DatasetConfig.model_validate(preset_settings("embedded", {})) == DatasetConfig()


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(PresetError, match="embedded, paper"):
        preset_settings("best", {})
