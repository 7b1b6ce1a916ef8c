"""SDXL with a depth ControlNet, the true classes with random weights."""

from pathlib import Path

import numpy as np
import pytest

from extractors.depth.depth_anything import DepthAnythingConfig
from extractors.protocols import ExtractionError
from extractors.style.sdxl import SdxlConfig, SdxlStylizer, working_size
from tests.extractors.style import tiny_sdxl


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SdxlConfig:
    checkpoint, controlnet, depth = tiny_sdxl.save(tmp_path_factory.mktemp("sdxl"))
    return SdxlConfig(
        checkpoint=checkpoint,
        controlnet=controlnet,
        depth=DepthAnythingConfig(folder=depth),
        prompts=("ink drawing", "oil painting"),
        steps=4,
        precision="float32",
        device="cpu",
    )


@pytest.fixture(scope="module")
def stylizer(config: SdxlConfig) -> SdxlStylizer:
    return config.build()


PAIR = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)


def test_pair_keeps_its_size_and_the_prompt_is_recorded(stylizer: SdxlStylizer) -> None:
    styled, style = stylizer(PAIR, seed=1)
    assert styled.shape == PAIR.shape
    assert styled.dtype == np.uint8
    assert style in ("ink drawing", "oil painting")
    again, same_style = stylizer(PAIR, seed=1)
    np.testing.assert_array_equal(again, styled)
    assert same_style == style
    assert {stylizer(PAIR, seed=seed)[1] for seed in range(8)} == {"ink drawing", "oil painting"}


def test_every_setting_reaches_the_network(config: SdxlConfig, stylizer: SdxlStylizer) -> None:
    """Changing one setting, and nothing else, changes the picture."""
    one = config.model_copy(update={"prompts": ("ink drawing",)})

    def picture(changed: SdxlConfig, seed: int = 3) -> np.ndarray:
        return SdxlStylizer(pipeline=stylizer._pipeline, depth=stylizer._depth, config=changed)(PAIR, seed=seed)[0]

    base = picture(one)
    for changes in (
        {"prompts": ("a red car",)},
        {"negative_prompt": "green"},
        {"strength": 0.9},
        {"guidance": 1.5},
        {"control": 0.0},
        {"steps": 8},
    ):
        assert (picture(one.model_copy(update=changes)) != base).any(), changes
    assert (picture(one, seed=4) != base).any()


def test_depth_picture_spans_the_pair(stylizer: SdxlStylizer) -> None:
    depth = stylizer._depth_picture(PAIR)
    assert depth.dtype == np.uint8
    assert depth.shape[1] == 2 * depth.shape[0]
    assert depth.min() == 0
    assert depth.max() == 255


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1536, 768), (1536, 768)), ((1024, 1516), (896, 1344)), ((2560, 720), (2048, 576)), ((100, 40), (128, 64))],
)
def test_working_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    width, height = working_size(size, 1536 * 768)
    assert width % 64 == height % 64 == 0
    assert (width, height) == expected


def test_key_counts_content_of_every_weights_file(config: SdxlConfig, tmp_path: Path) -> None:
    names = {path.name for path in config.weights()}
    assert {
        "model_index.json",
        "diffusion_pytorch_model.safetensors",
        "model.safetensors",
        "tokenizer_config.json",
    } <= names
    assert "checkpoint" not in config.key_params()
    moved = config.model_copy(update={"checkpoint": tmp_path})
    assert moved.key_params() == config.key_params()
    assert config.key_params() != config.model_copy(update={"strength": 0.5}).key_params()
    with pytest.raises(FileNotFoundError, match="model_index"):
        config.model_copy(update={"checkpoint": tmp_path / "absent-1.0"}).weights_digest()
    nested = config.model_copy(update={"depth": DepthAnythingConfig(folder=tmp_path)})
    assert nested.key_params() == config.key_params()


def test_problem_names_what_is_missing(config: SdxlConfig, tmp_path: Path) -> None:
    assert config.problem() is None
    problem = config.model_copy(update={"checkpoint": tmp_path}).problem()
    assert problem is not None
    assert "model_index.json" in problem.cause
    problem = config.model_copy(update={"controlnet": tmp_path}).problem()
    assert problem is not None
    assert "weights fetch sdxl-depth-controlnet" in problem.remedy
    with pytest.raises(ExtractionError, match="model_index"):
        config.model_copy(update={"checkpoint": tmp_path}).build()
