from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel, UNetMotionModel

from tests.train.tiny import tiny_encoders, tiny_model
from train.model.man import MotionAdaptiveNorm
from train.model.saving import SavedModel, SavedModelError, load_encoders, load_model, save_model
from train.networks import find_export


@pytest.mark.parametrize(
    ("stage", "changes"), [(1, {}), (2, {}), (2, {"guidance": "controlnets"}), (2, {"motion_injection": "concat"})]
)
def test_round_trip(tmp_path: Path, stage: int, changes: dict[str, object]) -> None:
    model = tiny_model(stage, **changes)
    saved = SavedModel(stage=stage, model=model.config, step=7)
    save_model(tmp_path, saved=saved, model=model, encoders=None)
    again, loaded = load_model(tmp_path)
    assert again == saved
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert not list(tmp_path.rglob("*.bin"))


def test_every_part_opens_with_its_own_class(tmp_path: Path) -> None:
    model = tiny_model(2)
    save_model(tmp_path, saved=SavedModel(stage=2, model=model.config), model=model, encoders=tiny_encoders())
    assert UNet2DConditionModel.from_pretrained(tmp_path / "reference_unet").config.in_channels == 20
    assert UNetMotionModel.from_pretrained(tmp_path / "denoising_unet").config.use_motion_mid_block
    assert len(MotionAdaptiveNorm.from_pretrained(tmp_path / "man").blocks) == 4
    assert DDIMScheduler.from_pretrained(tmp_path / "scheduler").config.timestep_spacing == "trailing"
    encoders = load_encoders(tmp_path, chunk=4)
    pictures = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(encoders.latents(pictures), tiny_encoders().latents(pictures))


def test_given_states_replace_the_modules_own(tmp_path: Path) -> None:
    model = tiny_model(1)
    states = {n: {k: v + 1 for k, v in part.state_dict().items()} for n, part in model.parts().items()}
    save_model(tmp_path, saved=SavedModel(stage=1, model=model.config), model=model, encoders=None, states=states)
    loaded = load_model(tmp_path)[1].denoiser.conv_in.weight
    assert torch.equal(loaded, model.denoiser.conv_in.weight + 1)


def test_folders_that_are_no_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(SavedModelError, match=r"mikudance\.json does not exist"):
        load_model(tmp_path)
    (tmp_path / "mikudance.json").write_text('{"stage": 3}')
    with pytest.raises(SavedModelError, match="stage"):
        load_model(tmp_path)
    (tmp_path / "mikudance.json").write_text('{"stage": 1}')
    with pytest.raises(SavedModelError, match=r"reference_unet holds no config\.json"):
        load_model(tmp_path)


def test_the_newest_export_is_found_and_half_written_ones_are_not(tmp_path: Path) -> None:
    model = tiny_model(1)
    for name in ("step-00000001", "step-00000002", "step-00000003.tmp"):
        save_model(
            tmp_path / "export" / name, saved=SavedModel(stage=1, model=model.config), model=model, encoders=None
        )
    assert find_export(tmp_path) == tmp_path / "export/step-00000002"
    assert find_export(tmp_path / "export/step-00000001") == tmp_path / "export/step-00000001"
    assert find_export(tmp_path / "export") is None
