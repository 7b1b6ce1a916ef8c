from pathlib import Path

import pytest

from train.config import ConfigError, load_config, packaged_configs


@pytest.mark.parametrize("name", packaged_configs())
def test_packaged_configurations_load(name: str) -> None:
    assert load_config(name).stage in (1, 2)


def test_the_papers_numbers() -> None:
    one, two = load_config("stage1.yaml"), load_config("stage2.yaml")
    assert (one.reader.size, one.global_batch, one.steps) == ((768, 768), 128, 120_000)
    assert (two.reader.size, two.reader.frames, two.global_batch, two.steps) == ((768, 768), 24, 16, 60_000)
    for config in (one, two):
        assert (config.dropout.pose, config.dropout.motion) == (0.2, 0.2)
        assert config.noise.prediction == "epsilon"
        assert config.accumulation(16) == 1


def test_the_published_codes_numbers() -> None:
    two = load_config("stage2_published.yaml")
    assert (two.reader.size, two.reader.frames, two.reader.frame_step) == ((576, 576), 20, 3)
    assert (two.noise.prediction, two.noise.zero_snr, two.noise.min_snr_gamma) == ("v_prediction", True, 5.0)
    assert (two.noise.offset, two.optimizer.lr, two.optimizer.weight_decay) == (0.05, 1e-5, 0.01)
    assert (two.encoding.pose_range, two.model.motion_scale, two.dropout.pose) == ("unit", 1.0, 0.0)


def test_settings_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("steps: 5\noptimizer: {lr: 1.0e-3}\n")
    config = load_config(str(path), ["optimizer.clip=0.5", "reader.size=[128, 64]", "output=runs/x"])
    assert (config.steps, config.optimizer.lr, config.optimizer.clip) == (5, 1e-3, 0.5)
    assert config.reader.size == (128, 64)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("stage: 2", [], "make them equal"),
        ("lerning_rate: 1", [], "lerning_rate: unknown key"),
        ("optimizer: {learning_rat: 1}", [], "optimizer.learning_rat: unknown key"),
        ("noise: {ofset: 1}", [], "noise.ofset: unknown key; did you mean 'offset'"),
        ("wombat: 1", [], "wombat: unknown key; known here: .*validation"),
        ("steps: 0", [], r"steps: Input should be greater than or equal to 1 \(found 0\)"),
        ("- a", [], "holds no settings"),
        ("a: [", [], "is not valid YAML"),
        ("steps: 5", ["steps"], "key.subkey=value"),
        ("steps: 5", ["steps.x=1"], "is a value, not a section"),
        ("noise: {zero_snr: true}", [], "v_prediction"),
        ("{stage: 2, reader: {stage: 2, frames: 40}}", [], "motion_max_length"),
        ("{stage: 2, reader: {stage: 2, frames: 4, size: [64, 64]}}", [], "128 or more"),
        ("model: {guidance: controlnets, motion_injection: concat}", [], "leave motion_injection"),
    ],
)
def test_refusals_name_the_setting(tmp_path: Path, text: str, settings: list[str], message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        load_config(str(path), settings)
    assert "https://" not in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_an_output_may_be_a_uri_whose_work_is_done_in_a_scratch_folder(tmp_path: Path) -> None:
    here = load_config("tiny.yaml", [f"output={tmp_path}/run"])
    assert here.folder == here.output == tmp_path / "run"
    assert load_config("tiny.yaml", [f"output=file://{tmp_path}/run"]).output == tmp_path / "run"
    one, same, other = (
        load_config("tiny.yaml", [f"output={uri}", f"checkpoint.scratch={tmp_path}"])
        for uri in ("s3://bucket/run", "s3://bucket/run/", "s3://other/run")
    )
    assert one.output == "s3://bucket/run"
    assert one.folder == same.folder != other.folder
    assert one.folder.parent == tmp_path


def test_an_unknown_name_lists_the_packaged_ones() -> None:
    with pytest.raises(ConfigError, match=r"stage1\.yaml, stage1_published\.yaml, stage2\.yaml"):
        load_config("stage3.yaml")


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="128 is no multiple of 7 ranks"):
        load_config("stage1.yaml").accumulation(7)
