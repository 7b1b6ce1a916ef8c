"""What a run starts from: what is refused, and what the reports say."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.train.ranks import stage2, tiny_train
from train.config import ConfigError, load_config
from train.loop import train
from train.model.saving import SavedModelError
from train.networks import open_encoders, open_model


@pytest.fixture(scope="module")
def trained(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step of stage 1; read only."""
    run = tmp_path_factory.mktemp("networks") / "run"
    train(tiny_train(small_shards, run, "steps=1", "micro_batch=4"))
    return run


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["noise={prediction: v_prediction, zero_snr: true}"], r"noise\.prediction = epsilon, now v_prediction"),
        (["noise.beta_schedule=linear"], r"noise\.beta_schedule = scaled_linear, now linear"),
        (["encoding.pose_range=unit"], r"encoding\.pose_range = signed, now unit"),
        (["model.unet.block_out_channels=[16, 16, 32, 32]"], r"block_out_channels = \[16, 16, 16, 16\], now"),
        (["model.reference_attention=concat"], r"model\.reference_attention = add, now concat"),
    ],
)
def test_a_stage_1_of_other_inputs_or_outputs_is_refused(
    trained: Path, tmp_path: Path, settings: list[str], message: str
) -> None:
    """From its export and, where there is none, from its checkpoint."""
    given = ["weights.random=false", *settings]
    with pytest.raises(ConfigError, match=message):
        open_model(stage2(tmp_path, tmp_path, f"weights.stage1={trained}", *given))
    with pytest.raises(ConfigError, match=message):
        open_model(stage2(tmp_path, tmp_path, f"weights.stage1={trained / 'checkpoints/step-00000001'}", *given))


def test_weighting_may_differ_between_the_stages(trained: Path, tmp_path: Path) -> None:
    settings = ["weights.random=false", "noise={min_snr_gamma: 5, offset: 0.05}", "encoding.sample_target=false"]
    for start in (trained, trained / "checkpoints/step-00000001"):
        open_model(stage2(tmp_path, tmp_path, f"weights.stage1={start}", *settings))


def test_reference_unets_of_other_inputs_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 20 input channels, the configuration's 22"):
        open_model(stage2(tmp_path, tmp_path, f"weights.stage1={trained}", "model.motion_injection=concat"))


def test_stage_2_does_not_start_from_stable_diffusion_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set weights\.stage1"):
        open_model(stage2(tmp_path, tmp_path, "weights.random=false", f"weights.sd15={tmp_path}"))


def test_released_weights_want_the_settings_that_they_were_trained_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"noise\.prediction = v_prediction \(it is epsilon\), .*motion_compat"):
        open_model(load_config("stage2.yaml", [f"weights.published={tmp_path}"]))


def test_weights_that_are_absent_are_named_and_not_drawn(trained: Path, tmp_path: Path) -> None:
    whole = next((trained / "export").iterdir())
    config = stage2(tmp_path, tmp_path, "weights.random=false", f"weights.stage1={tmp_path / 'export'}")
    for part, file, end in (
        ("vae", "diffusion_pytorch_model.safetensors", "encoder.conv_in.weight"),
        ("image_encoder", "model.safetensors", "layers.0.mlp.fc1.weight"),
        ("denoising_unet", "diffusion_pytorch_model.safetensors", "conv_in.weight"),
    ):
        shutil.copytree(whole, tmp_path / "export")
        tensors = load_file(tmp_path / "export" / part / file)
        tensors["stranger"] = tensors.pop(next(name for name in tensors if name.endswith(end)))
        save_file(tensors, tmp_path / "export" / part / file, metadata={"format": "pt"})
        with pytest.raises(SavedModelError, match=rf"{part} lacks weights[\s\S]*missing: \S*{end}[\s\S]*stranger"):
            (open_model if part == "denoising_unet" else open_encoders)(config)
        shutil.rmtree(tmp_path / "export")


def test_reports_cover_exports_and_encoders(trained: Path, tmp_path: Path) -> None:
    config = stage2(tmp_path, tmp_path, "weights.random=false", f"weights.stage1={trained}")
    reports = (*open_model(config)[1], *open_encoders(config)[1])
    names = [Path(report.source).name for report in reports]
    assert names == ["reference_unet", "denoising_unet", "vae", "image_encoder"]
    assert all(report.matched and not report.missing and not report.unexpected for report in reports)
