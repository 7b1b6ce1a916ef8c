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

import re
from pathlib import Path

from diffusers import UNetMotionModel
from torch import Tensor

from train.model.mikudance import MikuDance
from train.model.reference import unreachable_parameters
from train.weights.bases import POSITIONS, motion_names
from train.weights.files import LoadReport, WeightsError, lay_over, read_tensors

STEMS = ("reference_unet", "denoising_unet")
NAME = re.compile(rf"({'|'.join(STEMS)})(?:-(\d+))?\.pth")


def load_published(folder: Path, model: MikuDance) -> tuple[LoadReport, ...]:
    """Lays the released files over a stage-2 network: reports for Reference UNet, MAN, denoising UNet.

    Files may carry a step number (`reference_unet-60000.pth`); those of the highest are taken. Raises WeightsError
    where a tensor that is needed is absent or of another shape.
    """
    denoiser, man = model.denoiser, model.reference.man
    if not isinstance(denoiser, UNetMotionModel) or man is None:
        raise WeightsError("the released weights are of stage 2 with MAN; set stage: 2 and leave model.motion as it is")
    path, denoising = _find(folder)
    tensors = read_tensors(path)
    own = {_man_name(name): value for name, value in tensors.items() if name.startswith("man_blocks.")}
    rest = {name: value for name, value in tensors.items() if not name.startswith("man_blocks.")}
    unet = model.reference.unet
    reports = [
        lay_over(unet, rest, source=path.name, spare=frozenset(unreachable_parameters(unet))),
        lay_over(man, own, source=f"{path.name} (MAN)"),
    ]
    reports.append(_denoiser(denoising, denoiser, read_tensors(denoising)))
    return tuple(report.require_complete() for report in reports)


def _denoiser(path: Path, denoiser: UNetMotionModel, tensors: dict[str, Tensor]) -> LoadReport:
    spatial = {name: value for name, value in tensors.items() if "motion_modules" not in name}
    positions = frozenset(name for name in denoiser.state_dict() if name.endswith(POSITIONS))
    return lay_over(denoiser, spatial | motion_names(tensors), source=path.name, spare=positions)


def _man_name(name: str) -> str:
    name = name.removeprefix("man_blocks.").replace("mlp_shared.0", "shared")
    return "blocks." + name.replace("mlp_gamma", "gamma").replace("mlp_beta", "beta")


def _find(folder: Path) -> tuple[Path, Path]:
    """Both files of the highest step that both have; names without a number count as step 0."""
    found: dict[str, dict[int, Path]] = {stem: {} for stem in STEMS}
    for path in sorted(folder.glob("*.pth")):
        if match := NAME.fullmatch(path.name):
            found[match[1]][int(match[2] or 0)] = path
    reference, denoising = found.values()
    steps = reference.keys() & denoising.keys()
    if not steps:
        names = [path.name for files in found.values() for path in files.values()]
        raise WeightsError(
            f"{folder} holds no reference_unet-STEP.pth and denoising_unet-STEP.pth of the same step (found: "
            f"{', '.join(names) or 'neither'}); download the released files into it"
        )
    return reference[max(steps)], denoising[max(steps)]
