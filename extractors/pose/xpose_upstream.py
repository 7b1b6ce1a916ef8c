"""Loading X-Pose's own code (github.com/IDEA-Research/X-Pose) from a folder that the user names.

None of it is part of this project: its licence allows non-commercial research only. It is imported under stand-ins
for what its inference does not need (torchvision, timm, OpenAI's clip package) or what would have to be compiled
(`MultiScaleDeformableAttention`), so that it runs with current torch, on CPU and GPU. Its module names (`models`,
`util`) are common ones: they are taken out of `sys.modules` again once the network is made.
"""

import argparse
import ast
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from extractors.pose import xpose_attention
from extractors.protocols import ExtractionError

SETTINGS = "config_model/UniPose_SwinT.py"
NETWORK = "models/UniPose/unipose.py"
PROMPTS = "predefined_keypoints.py"
FILES = (SETTINGS, NETWORK, PROMPTS)
GROUPS, HEADS = 50, 8
"""Instances and attention heads of the published keypoint decoder."""


def literals(path: Path) -> dict[str, Any]:
    """The assignments of literal values in a Python file, those of the files in its `_base_` first; runs nothing."""
    try:
        tree = ast.parse(path.read_text())
    except (OSError, SyntaxError) as error:
        raise ExtractionError(f"{path} cannot be read ({error}): set `source` to a checkout of X-Pose") from error
    own: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                own[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # an expression, which no setting of the published files is
    base: dict[str, Any] = {}
    for name in own.pop("_base_", []):
        base |= literals(path.parent / name)
    return base | own


def build_network(source: Path, *, device: str = "cpu") -> nn.Module:
    """The network of the published settings, random weights, in evaluation mode.

    source: a checkout of X-Pose. Raises ExtractionError where it is none.
    """
    for name in FILES:
        if not (source / name).is_file():
            raise ExtractionError(f"{source / name} is absent: set `source` to a checkout of X-Pose")
    settings = literals(source / SETTINGS) | {
        "device": device,
        "use_checkpoint": False,  # recomputation, of use in training only
        "use_transformer_ckpt": False,
    }
    with _upstream(source) as unipose:
        vars(unipose)["prepare_for_mask"] = _prepare_for_mask
        network: nn.Module = unipose.build_unipose(SimpleNamespace(**settings))
    return network.eval().requires_grad_(False)


def load_weights(network: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """Loads a published checkpoint; returns the weights of the CLIP model in it (names without their prefix).

    Raises ExtractionError where names or shapes do not fit.
    """
    try:
        # The checkpoint holds the training arguments beside the weights; nothing else is allowed in.
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        state = {name.removeprefix("module."): value for name, value in checkpoint["model"].items()}
        clip = {n.removeprefix("clip_model."): v for n, v in state.items() if n.startswith("clip_model.")}
        missing, unexpected = network.load_state_dict(
            {n: v for n, v in state.items() if not n.startswith("clip_model.")}, strict=False
        )
    except Exception as error:  # whatever a foreign file does, the message names it
        raise ExtractionError(f"{path} does not load as an X-Pose checkpoint ({error}): fetch it again") from error
    if missing or unexpected:
        raise ExtractionError(
            f"{path} does not fit the network of `source`: {len(missing)} weights missing (as {list(missing)[:3]}), "
            f"{len(unexpected)} unknown (as {list(unexpected)[:3]})"
        )
    return clip


def _prepare_for_mask(kpt_mask: torch.Tensor) -> tuple[None, None, None, torch.Tensor, None]:
    """The attention mask of the keypoint decoder, bool [N · heads, Q, Q], True where attention is blocked.

    kpt_mask: [N, 1 + 68], 1 for the box token and for keypoints in use. Queries are `GROUPS` instances of 1 + 68
    tokens; a token attends to those of its own instance that are used as it is. Upstream makes the same mask with a
    loop over all queries, on CUDA only.
    """
    length = kpt_mask.shape[1]
    alike = kpt_mask[:, :, None] == kpt_mask[:, None, :]
    blocked = torch.ones(len(kpt_mask), GROUPS, length, GROUPS, length, dtype=torch.bool, device=kpt_mask.device)
    own = torch.arange(GROUPS, device=kpt_mask.device)
    blocked[:, own, :, own] = ~alike
    size = GROUPS * length
    mask = blocked.reshape(-1, 1, size, size).expand(-1, HEADS, -1, -1).reshape(-1, size, size)
    return None, None, None, mask, None


@contextmanager
def _upstream(source: Path) -> Iterator[ModuleType]:
    """Upstream's `models.UniPose.unipose`, imported under the stand-ins; `sys` is left as it was found."""
    importlib.import_module("transformers.activations")  # before the stand-ins, which it would take for the real ones
    stand_ins = _stand_ins()
    taken = [name for name in sys.modules if name.partition(".")[0] in {*stand_ins, "models", "util"}]
    before = {name: sys.modules.pop(name) for name in taken}
    path = list(sys.path)
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(source))
    try:
        yield importlib.import_module("models.UniPose.unipose")
    except ImportError as error:
        raise ExtractionError(f"X-Pose's code in {source} does not import ({error}): check the checkout") from error
    finally:
        sys.path[:] = path
        roots = {name.partition(".")[0] for name in stand_ins} | {"models", "util"}
        for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
            del sys.modules[name]
        sys.modules.update(before)


class _Identity(nn.Module):
    """DropPath at inference: nothing is dropped."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class _NoClip(nn.Module):
    """Stands for the CLIP model, whose text embeddings are computed apart (xpose_text)."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Module()


def _unused(*_: object, **__: object) -> None:
    raise NotImplementedError("X-Pose's inference does not call this function")


def _stand_ins() -> dict[str, ModuleType]:
    """Modules by name; each has what upstream's files import from it."""
    contents: dict[str, dict[str, Any]] = {
        "MultiScaleDeformableAttention": {
            "ms_deform_attn_forward": xpose_attention.ms_deform_attn_forward,
            "ms_deform_attn_backward": _unused,
        },
        "clip": {"load": lambda *_, **__: (_NoClip(), None)},
        "timm": {},
        "timm.models": {},
        "timm.models.layers": {
            "DropPath": _Identity,
            "to_2tuple": lambda value: value if isinstance(value, tuple) else (value, value),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "torchvision": {"__version__": "0.20", "_is_tracing": lambda: False},
        "torchvision.models": {},
        "torchvision.models._utils": {"IntermediateLayerGetter": nn.Module},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"nms": _unused, "box_area": _unused},
    }
    modules = {}
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        modules[name] = module
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    return modules
