"""The released MikuDance files: `reference_unet.pth` and `denoising_unet.pth` (`Kebii/MikuDance`).

| in the file | here |
| --- | --- |
| `man_blocks.i.mlp_shared.0`, `.mlp_gamma`, `.mlp_beta` | `blocks.i.shared`, `.gamma`, `.beta` of MotionAdaptiveNorm |
| `….temporal_transformer.….attention_blocks.0 / .norms.0 / .ff_norm` | diffusers' `….attn1 / .norm1 / .norm3` |
| `….pos_encoder.pe` | computed, not stored |
| everything else | the same names |

The file of the Reference UNet has no output layers; nothing reads them. Their temporal layers normalise each frame by
itself, diffusers' (in the UNetMotionModel used here) all frames of a window together, so that outputs are close to
those of the published code and not equal.
"""

from pathlib import Path

from diffusers import UNetMotionModel
from torch import Tensor

from train.model.mikudance import MikuDance
from train.model.reference import unreachable_parameters
from train.weights.bases import POSITIONS, motion_names
from train.weights.files import LoadReport, WeightsError, lay_over, read_tensors


def load_published(folder: Path, model: MikuDance) -> tuple[LoadReport, ...]:
    """Lays the released files over a stage-2 network: reports for Reference UNet, MAN, denoising UNet.

    Files may carry a step number (`reference_unet-60000.pth`). Raises WeightsError where a tensor that is needed is
    absent or of another shape.
    """
    denoiser, man = model.denoiser, model.reference.man
    if not isinstance(denoiser, UNetMotionModel) or man is None:
        raise WeightsError("the released weights are of stage 2 with MAN; set stage: 2 and leave model.motion as it is")
    path = _find(folder, "reference_unet")
    tensors = read_tensors(path)
    own = {_man_name(name): value for name, value in tensors.items() if name.startswith("man_blocks.")}
    rest = {name: value for name, value in tensors.items() if not name.startswith("man_blocks.")}
    unet = model.reference.unet
    reports = [
        lay_over(unet, rest, source=path.name, spare=frozenset(unreachable_parameters(unet))),
        lay_over(man, own, source=f"{path.name} (MAN)"),
    ]
    path = _find(folder, "denoising_unet")
    reports.append(_denoiser(path, denoiser, read_tensors(path)))
    return tuple(report.require_complete() for report in reports)


def _denoiser(path: Path, denoiser: UNetMotionModel, tensors: dict[str, Tensor]) -> LoadReport:
    spatial = {name: value for name, value in tensors.items() if "motion_modules" not in name}
    positions = frozenset(name for name in denoiser.state_dict() if name.endswith(POSITIONS))
    return lay_over(denoiser, spatial | motion_names(tensors), source=path.name, spare=positions)


def _man_name(name: str) -> str:
    name = name.removeprefix("man_blocks.").replace("mlp_shared.0", "shared")
    return "blocks." + name.replace("mlp_gamma", "gamma").replace("mlp_beta", "beta")


def _find(folder: Path, stem: str) -> Path:
    files = sorted(folder.glob(f"{stem}*.pth"))
    if not files:
        raise WeightsError(f"{folder} holds no {stem}*.pth; download the released files into it")
    return files[-1]
