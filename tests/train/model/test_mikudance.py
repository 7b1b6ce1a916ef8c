import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tests.train.tiny import tiny_config, tiny_model
from train.model.attention import self_attention_names
from train.model.bank import ReferenceBank
from train.model.build import unet_arguments
from train.model.mikudance import MikuDance
from train.model.reference import unreachable_parameters, widen_conv_in


def inputs(frames: int = 3, motion: int = 2, channels: int = 20) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "noisy": torch.randn(2, frames, 4, 16, 16),
        "timesteps": torch.tensor([3, 700]),
        "pictures": torch.randn(2, frames, channels, 16, 16),
        "tokens": torch.randn(2, 5, 16),
        "keep": torch.ones(2),
        **({"motion": torch.randn(2, frames, motion, 16, 16)} if motion else {}),
    }


@pytest.fixture(scope="module")
def stage1() -> MikuDance:
    return tiny_model(1)


def test_new_inputs_change_nothing_at_the_start() -> None:
    torch.manual_seed(0)
    plain = UNet2DConditionModel(**unet_arguments(tiny_config()))
    wide = UNet2DConditionModel.from_config(plain.config)
    wide.load_state_dict(plain.state_dict())
    widen_conv_in(wide, 20)
    assert wide.config.in_channels == 20
    picture, rest = torch.randn(2, 4, 16, 16), torch.randn(2, 16, 16, 16) * 100
    tokens = torch.randn(2, 5, 16)
    expected = plain(picture, 0, tokens).sample
    torch.testing.assert_close(wide(torch.cat([picture, rest], dim=1), 0, tokens).sample, expected, rtol=0, atol=0)


def test_bank_holds_what_the_plain_unet_feeds_its_self_attentions(stage1: MikuDance) -> None:
    """The hand-written forward pass against diffusers' own, by hooks on an untouched UNet of the same weights."""
    reference = stage1.reference.unet
    plain = UNet2DConditionModel.from_config(reference.config)
    plain.load_state_dict(reference.state_dict())
    seen: dict[str, Tensor] = {}
    for name in self_attention_names(plain):
        plain.get_submodule(name).register_forward_pre_hook(
            lambda module, args, name=name: seen.__setitem__(name, args[0])
        )
    given = inputs()
    plain(given["pictures"].flatten(0, 1), 0, given["tokens"].repeat_interleave(3, dim=0))
    bank = stage1.features(given["pictures"], given["tokens"], None)
    assert bank.layers == tuple(seen)
    for name, value in seen.items():
        torch.testing.assert_close(bank.read(name), value, rtol=1e-5, atol=1e-5)


def test_hidden_reference_is_the_plain_unet(stage1: MikuDance) -> None:
    given = inputs() | {"keep": torch.tensor([1.0, 0.0]), "motion": None}
    out = stage1(**given)
    plain = UNet2DConditionModel.from_config(stage1.denoiser.config)
    plain.load_state_dict(stage1.denoiser.state_dict())
    tokens = torch.zeros_like(given["tokens"][1:]).repeat_interleave(3, dim=0)
    alone = plain(given["noisy"][1], given["timesteps"][1], tokens).sample
    torch.testing.assert_close(out[1], alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out[0], plain(given["noisy"][0], given["timesteps"][0], tokens).sample, atol=1e-2)


def test_added_keys_and_values(stage1: MikuDance) -> None:
    """The processor against the formula of the attention, written out."""
    layer = self_attention_names(stage1.denoiser)[0]
    attention = stage1.denoiser.get_submodule(layer)
    hidden, feature = torch.randn(2, 6, 16), torch.randn(2, 6, 16)
    bank = ReferenceBank(keep=torch.tensor([1.0, 0.5]))
    bank.write(layer, feature)
    mixed = hidden + torch.tensor([1.0, 0.5])[:, None, None] * feature

    def heads(value: Tensor) -> Tensor:
        return value.unflatten(2, (2, 8)).transpose(1, 2)

    query, key, value = heads(attention.to_q(hidden)), heads(attention.to_k(mixed)), heads(attention.to_v(mixed))
    weights = (query @ key.transpose(2, 3) / 8**0.5).softmax(dim=-1)
    expected = attention.to_out[0]((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(hidden, bank=bank), expected, rtol=1e-5, atol=1e-5)


def test_concatenated_keys_and_their_mask() -> None:
    model = tiny_model(1, reference_attention="concat")
    layer = self_attention_names(model.denoiser)[0]
    attention = model.denoiser.get_submodule(layer)
    hidden, feature = torch.randn(2, 6, 16), torch.randn(2, 6, 16)
    bank = ReferenceBank(keep=torch.tensor([1.0, 0.0]))
    bank.write(layer, feature)
    out = attention(hidden, bank=bank)
    torch.testing.assert_close(out[1], attention(hidden[1:])[0], rtol=1e-5, atol=1e-5)
    keys = torch.cat([hidden, feature], dim=1)[:1]
    unmasked = attention(hidden[:1], encoder_hidden_states=keys)
    torch.testing.assert_close(out[:1], unmasked, rtol=1e-5, atol=1e-5)


def test_frames_see_each_other_only_with_temporal_layers(stage1: MikuDance) -> None:
    given = inputs()
    model = tiny_model(2)
    for name, parameter in model.denoiser.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    changed = given | {"noisy": given["noisy"].clone()}
    changed["noisy"][:, 2] += 1
    assert not torch.allclose(model(**given)[:, 0], model(**changed)[:, 0], atol=1e-4)
    given, changed = given | {"motion": None}, changed | {"motion": None}
    torch.testing.assert_close(stage1(**given)[:, 0], stage1(**changed)[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stage", [1, 2])
def test_gradients_reach_exactly_what_trains(stage: int) -> None:
    model = tiny_model(stage)
    if stage == 2:
        for name, parameter in model.denoiser.named_parameters():
            if "motion_modules" in name and "proj_out" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    model(**(inputs() if stage == 2 else inputs(motion=0))).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    if stage == 1:
        assert all(p.grad is None for p in unreachable_parameters(model.reference.unet).values())


@pytest.mark.parametrize("stage", [1, 2])
def test_checkpointing_changes_no_gradient(stage: int) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = tiny_model(stage).train()
        if checkpointing:
            model.enable_checkpointing()
        model(**(inputs() if stage == 2 else inputs(motion=0))).square().mean().backward()
        named = {n.replace("_checkpoint_wrapped_module.", ""): p.grad for n, p in model.named_parameters()}
        gradients.append({n: g for n, g in named.items() if g is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("changes", [{"motion_injection": "concat"}, {"motion": "plucker"}, {"motion": "none"}])
def test_ablations_run_and_train(changes: dict[str, object]) -> None:
    model = tiny_model(2, **changes)
    model(**inputs(motion=model.config.motion_channels)).square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_without_mix_poses_and_motion_come_through_controlnets() -> None:
    model = tiny_model(2, guidance="controlnets")
    assert model.reference.unet.config.in_channels == 4
    for control in (model.pose_control, model.motion_control):
        torch.nn.init.normal_(control.controlnet_mid_block.weight, std=0.1)
        torch.nn.init.normal_(control.controlnet_cond_embedding.conv_out.weight, std=0.5)
    given = inputs(channels=4) | {"pose_images": torch.rand(2, 3, 9, 128, 128)}
    out = model(**given)
    for name in ("motion", "pose_images"):
        assert not torch.allclose(model(**(given | {name: given[name] * 0})), out, atol=1e-6), name


def test_a_missing_map_is_named() -> None:
    with pytest.raises(ValueError, match="motion map"):
        tiny_model(2)(**inputs(motion=0))


def test_sealed_bank_ignores_recomputation_and_names_missing_layers() -> None:
    bank = ReferenceBank()
    bank.write("a", torch.zeros(1))
    bank.seal()
    bank.write("a", torch.ones(1))
    assert bank.read("a").item() == 0
    with pytest.raises(KeyError, match="'b'"):
        bank.read("b")
