"""Files written here with the names that the published checkpoints have, at tiny widths."""

from pathlib import Path

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from tests.train.tiny import SIZE, tiny_config, tiny_model
from train.model.build import unet_arguments
from train.model.mikudance import MikuDance
from train.model.reference import unreachable_parameters
from train.weights.bases import load_motion_modules, load_sd15_unet
from train.weights.files import WeightsError, read_tensors
from train.weights.published import load_published

C = 16


def sd_unet(channels: int = 4) -> UNet2DConditionModel:
    torch.manual_seed(5)
    return UNet2DConditionModel(**(unet_arguments(tiny_config()) | {"in_channels": channels}))


def animatediff_names() -> dict[str, Tensor]:
    """Names of `mm_sd_v15_v2.ckpt`, for one down and two up layers a block."""
    torch.manual_seed(6)
    shapes = {
        "norm.weight": (C,),
        "norm.bias": (C,),
        "proj_in.weight": (C, C),
        "proj_in.bias": (C,),
        "proj_out.weight": (C, C),
        "proj_out.bias": (C,),
        "transformer_blocks.0.ff.net.0.proj.weight": (8 * C, C),
        "transformer_blocks.0.ff.net.0.proj.bias": (8 * C,),
        "transformer_blocks.0.ff.net.2.weight": (C, 4 * C),
        "transformer_blocks.0.ff.net.2.bias": (C,),
        "transformer_blocks.0.ff_norm.weight": (C,),
        "transformer_blocks.0.ff_norm.bias": (C,),
    }
    for k in range(2):
        block = f"transformer_blocks.0.attention_blocks.{k}"
        shapes |= {f"{block}.to_{x}.weight": (C, C) for x in "qkv"}
        shapes |= {f"{block}.to_out.0.weight": (C, C), f"{block}.to_out.0.bias": (C,)}
        shapes |= {f"{block}.pos_encoder.pe": (1, 32, C)}
        shapes |= {f"transformer_blocks.0.norms.{k}.weight": (C,), f"transformer_blocks.0.norms.{k}.bias": (C,)}
    places = [f"down_blocks.{i}.motion_modules.0" for i in range(4)] + ["mid_block.motion_modules.0"]
    places += [f"up_blocks.{i}.motion_modules.{j}" for i in range(4) for j in range(2)]
    return {f"{p}.temporal_transformer.{name}": torch.randn(shape) for p in places for name, shape in shapes.items()}


def write_published(folder: Path) -> dict[str, dict[str, Tensor]]:
    """`reference_unet-60000.pth`, `denoising_unet-60000.pth`: state dicts of the published modules."""
    unet = sd_unet(20)
    reference = {n: v for n, v in unet.state_dict().items() if not n.startswith(("conv_norm_out", "conv_out"))}
    torch.manual_seed(7)
    for i in range(4):
        shapes = {"mlp_shared.0": (8, 2, 3, 3), "mlp_gamma": (C, 8, 3, 3), "mlp_beta": (C, 8, 3, 3)}
        for name, shape in shapes.items():
            reference[f"man_blocks.{i}.{name}.weight"] = torch.randn(shape)
            reference[f"man_blocks.{i}.{name}.bias"] = torch.randn(shape[0])
    denoising = sd_unet().state_dict() | animatediff_names()
    torch.save(reference, folder / "reference_unet-60000.pth")
    torch.save(denoising, folder / "denoising_unet-60000.pth")
    return {"reference": reference, "denoising": denoising}


@pytest.fixture
def stage2() -> MikuDance:
    return tiny_model(2, seed=99)


def test_sd15_folder(tmp_path: Path) -> None:
    sd_unet().save_pretrained(tmp_path / "unet")
    unet, report = load_sd15_unet(tmp_path, tiny_config())
    assert not report.missing
    assert not report.unexpected
    for name, value in sd_unet().state_dict().items():
        assert torch.equal(unet.state_dict()[name], value)


def test_sd15_of_another_width_is_refused_with_names(tmp_path: Path) -> None:
    sd_unet().save_pretrained(tmp_path / "unet")
    wider = tiny_config().model_copy(update={"unet": SIZE.model_copy(update={"cross_attention_dim": 24})})
    with pytest.raises(WeightsError, match=r"attn2\.to_k\.weight is \(16, 16\) in the file and \(16, 24\) here"):
        load_sd15_unet(tmp_path, wider)


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_original_motion_modules(tmp_path: Path, stage2: MikuDance, suffix: str) -> None:
    tensors, path = animatediff_names(), tmp_path / f"mm_sd_v15_v2{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}}, path)
    else:
        save_file(tensors, path)
    report = load_motion_modules(path, stage2.denoiser)
    assert len(report.matched) == 13 * 26
    assert not report.missing
    state = stage2.denoiser.state_dict()
    block, theirs = "up_blocks.2.motion_modules.1", "up_blocks.2.motion_modules.1.temporal_transformer"
    for here, there in (
        ("transformer_blocks.0.attn2.to_k.weight", "transformer_blocks.0.attention_blocks.1.to_k.weight"),
        ("transformer_blocks.0.norm1.bias", "transformer_blocks.0.norms.0.bias"),
        ("transformer_blocks.0.norm3.weight", "transformer_blocks.0.ff_norm.weight"),
        ("proj_out.weight", "proj_out.weight"),
    ):
        assert torch.equal(state[f"{block}.{here}"], tensors[f"{theirs}.{there}"])


def test_motion_adapter_folder(tmp_path: Path, stage2: MikuDance) -> None:
    torch.manual_seed(8)
    adapter = MotionAdapter(
        block_out_channels=(C,) * 4, motion_layers_per_block=1, motion_num_attention_heads=2, motion_norm_num_groups=4
    )
    adapter.save_pretrained(tmp_path)
    load_motion_modules(tmp_path, stage2.denoiser)
    name = "mid_block.motion_modules.0.transformer_blocks.0.attn1.to_q.weight"
    assert torch.equal(stage2.denoiser.state_dict()[name], adapter.state_dict()[name])


def test_motion_modules_with_a_layer_less_are_refused(tmp_path: Path, stage2: MikuDance) -> None:
    tensors = {name: value for name, value in animatediff_names().items() if not name.startswith("mid_block")}
    torch.save(tensors, tmp_path / "mm.ckpt")
    with pytest.raises(WeightsError, match=r"missing: mid_block\.motion_modules\.0"):
        load_motion_modules(tmp_path / "mm.ckpt", stage2.denoiser)


def test_released_files(tmp_path: Path, stage2: MikuDance) -> None:
    written = write_published(tmp_path)
    reference, man, denoiser = load_published(tmp_path, stage2)
    assert set(reference.spare) == {n for n in unreachable_parameters(stage2.reference.unet) if n.startswith("conv_")}
    assert len(man.matched) == 24
    assert (*reference.unexpected, *man.unexpected, *denoiser.unexpected, *denoiser.missing) == ()
    assert "24 tensors matched, 0 missing" in str(man)
    for name, value in written["reference"].items():
        if not name.startswith("man_blocks."):
            assert torch.equal(stage2.reference.unet.state_dict()[name], value), name
    assert stage2.reference.man is not None
    theirs = written["reference"]["man_blocks.3.mlp_gamma.weight"]
    assert torch.equal(stage2.reference.man.blocks[3].gamma.weight, theirs)
    theirs = written["reference"]["man_blocks.0.mlp_shared.0.bias"]
    assert torch.equal(stage2.reference.man.blocks[0].shared.bias, theirs)
    spatial = "down_blocks.0.resnets.0.conv1.weight"
    assert torch.equal(stage2.denoiser.state_dict()[spatial], written["denoising"][spatial])


def test_released_files_are_of_the_highest_step_that_both_have(tmp_path: Path, stage2: MikuDance) -> None:
    write_published(tmp_path)
    for name in ("reference_unet.pth", "denoising_unet.pth", "reference_unet-9000.pth", "denoising_unet-9000.pth"):
        (tmp_path / name).touch()
    (tmp_path / "denoising_unet-70000.pth").touch()
    reports = load_published(tmp_path, stage2)
    assert [report.source for report in reports][::2] == ["reference_unet-60000.pth", "denoising_unet-60000.pth"]
    for path in (*tmp_path.glob("reference_unet*"), tmp_path / "denoising_unet.pth"):
        path.unlink()
    (tmp_path / "reference_unet.pth").touch()
    with pytest.raises(WeightsError, match=r"of the same step \(found: reference_unet\.pth, denoising_unet-60000\.pth"):
        load_published(tmp_path, stage2)


def test_released_man_computes_what_the_published_formula_says(tmp_path: Path, stage2: MikuDance) -> None:
    tensors = write_published(tmp_path)["reference"]
    load_published(tmp_path, stage2)
    features, motion = torch.randn(2, C, 8, 8), torch.randn(2, 2, 16, 16)
    mean, variance = features.mean((2, 3), keepdim=True), features.var((2, 3), keepdim=True, unbiased=False)
    small = motion[:, :, ::2, ::2]  # nearest neighbour at half the size

    def conv(x: Tensor, name: str) -> Tensor:
        own = {k: tensors[f"man_blocks.1.{name}.{k}"] for k in ("weight", "bias")}
        return torch.nn.functional.conv2d(x, own["weight"], own["bias"], padding=1)

    hidden = conv(small, "mlp_shared.0").relu()
    wanted = (features - mean) / (variance + 1e-5).sqrt() * (1 + conv(hidden, "mlp_gamma")) + conv(hidden, "mlp_beta")
    assert stage2.reference.man is not None
    torch.testing.assert_close(stage2.reference.man(1, features, motion), wanted, rtol=1e-4, atol=1e-4)


def test_strange_tensors_are_reported(tmp_path: Path, stage2: MikuDance) -> None:
    tensors = write_published(tmp_path)["denoising"]
    torch.save(tensors | {"attn_temp.weight": torch.zeros(1)}, tmp_path / "denoising_unet-60000.pth")
    assert load_published(tmp_path, stage2)[2].unexpected == ("attn_temp.weight",)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_tensors(tmp_path / "absent.pth")
    for name in ("cut.pth", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut off")
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            read_tensors(tmp_path / name)
    torch.save({"step": 3}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="something other than named tensors"):
        read_tensors(tmp_path / "other.pth")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"w": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_tensors(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
