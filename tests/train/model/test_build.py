import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from tests.train.tiny import tiny_config, tiny_model
from train.model.attention import self_attention_names
from train.model.build import build_stage1, build_stage2, random_unet, unet_arguments
from train.model.config import ModelConfig, UNetSize
from train.model.mikudance import freeze_for_stage
from train.model.reference import unreachable_parameters


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_the_true_model() -> None:
    """Against the published checkpoints' counts (Stable Diffusion 1.5, AnimateDiff mm_sd_v15_v2, MikuDance's MAN)."""
    with torch.device("meta"):
        stage1 = build_stage1(ModelConfig())
        assert count(stage1.denoiser) == 859_520_964
        assert count(stage1.reference.unet) == 859_567_044
        assert sum(p.numel() for p in unreachable_parameters(stage1.reference.unet).values()) == 2_454_404
        assert sum(p.numel() for p in stage1.parameters() if p.requires_grad) == 859_520_964 + 859_567_044 - 2_454_404
        stage2 = build_stage2(ModelConfig(), stage1)
    assert count(stage2.denoiser) == 1_312_730_244
    assert stage2.reference.man is not None
    assert count(stage2.reference.man) == 8_126_848
    assert sum(p.numel() for p in stage2.parameters() if p.requires_grad) == 453_209_280 + 8_126_848


def test_the_unet_is_stable_diffusion_15() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_arguments(ModelConfig()))
    assert len(self_attention_names(unet)) == 16
    assert unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.heads == 8


def test_a_random_network_starts_by_looking_at_its_own_position() -> None:
    """On white noise, the share of a position's own value in what its self-attention hands over: a uniform one's is
    1/256.
    """
    unet = random_unet(ModelConfig(unet=UNetSize(block_out_channels=(32, 64, 64, 64), attention_heads=2)))
    torch.manual_seed(0)
    for name in self_attention_names(unet):
        attention = unet.get_submodule(name)
        hidden = torch.nn.functional.layer_norm(torch.randn(1, 256, attention.query_dim), [attention.query_dim])
        query, key = (attention.head_to_batch_dim(layer(hidden)) for layer in (attention.to_q, attention.to_k))
        own = attention.get_attention_scores(query, key).diagonal(dim1=1, dim2=2).mean()
        assert own > 0.2, name


def test_frames_of_a_new_stage_2_are_those_of_stage_1() -> None:
    """Temporal layers start as the identity; MAN is taken out, since it normalises from the first step."""
    config = tiny_config(motion="none")
    stage1 = build_stage1(config)
    x, t = torch.randn(2, 3, 4, 16, 16), torch.tensor([7, 500])
    inputs = {"pictures": torch.randn(2, 3, 20, 16, 16), "tokens": torch.randn(2, 5, 16), "keep": torch.ones(2)}
    before = stage1(x, t, **inputs)
    after = build_stage2(config, stage1)(x, t, **inputs)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_what_trains_in_stage_2() -> None:
    model = tiny_model(2)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names
    assert all(".motion_modules." in name or name.startswith("reference.man.") for name in names)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"motion_injection": "concat"}, "reference.unet.conv_in."),
        ({"guidance": "controlnets"}, "motion_control."),
        ({"motion": "none"}, "denoiser."),
    ],
)
def test_what_takes_the_place_of_man_trains(changes: dict[str, object], wanted: str) -> None:
    names = {
        n for n, p in tiny_model(2, **changes).named_parameters() if p.requires_grad and ".motion_modules." not in n
    }
    assert all(name.startswith(wanted) for name in names)
    assert bool(names) == (changes != {"motion": "none"})


def test_a_stage_that_the_network_is_not_built_for_is_refused() -> None:
    with pytest.raises(ValueError, match="built for stage 1"):
        freeze_for_stage(tiny_model(1), 2)


def test_a_unet_of_other_widths_is_refused() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_arguments(tiny_config()))
    with pytest.raises(ValueError, match="block_out_channels"):
        build_stage1(ModelConfig(), base=unet)
