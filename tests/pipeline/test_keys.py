"""Which settings enter artifact keys: all that change what is made, and no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extractors.camera.droid import DroidCameraConfig
from extractors.camera.imported import ImportedCameraConfig
from extractors.depth.depth_anything import DepthAnythingClipConfig, DepthAnythingConfig
from extractors.depth.imported import ImportedDepthConfig
from extractors.depth.onnx import OnnxDepthConfig
from extractors.pose.rtmw import RtmwConfig
from extractors.pose.xpose import XPoseConfig
from extractors.style.multistyle import MultistyleConfig
from extractors.style.sdxl import SdxlConfig
from pipeline.config import DatasetConfig
from pipeline.graph import CLIP_STAGES, build_graph
from pipeline.planner import ingest_item, plan_ingest
from schemas.config import FrozenConfig

LIMITS = {"limits.max_bytes", "limits.max_pixels", "limits.max_frames", "limits.timeout_s", "limits.stall_s"}
NETWORK = {"folder", "accept_non_commercial_licence", "device", "batch_size"}
SECTIONS: dict[str, tuple[FrozenConfig, set[str]]] = {
    "ingest": (DatasetConfig().ingest, LIMITS | {"splits.train", "splits.val", "splits.test"}),
    "decode": (DatasetConfig().decode, LIMITS | {"threads"}),
    "pose": (DatasetConfig().pose, set()),
    "camera": (DatasetConfig().camera, {"backend.solver_hang_s"}),
    "depth": (DatasetConfig().depth, set()),
    "scene_motion": (DatasetConfig().scene_motion, set()),
    "stylize": (DatasetConfig().stylize, set()),
    "droid": (DroidCameraConfig(), {"source", "checkpoint", "device", "classifier.solver_hang_s"}),
    "imported camera": (ImportedCameraConfig(template="/a/{stem}"), {"template"}),
    "imported depth": (ImportedDepthConfig(template="/a/{stem}"), {"template"}),
    "onnx": (OnnxDepthConfig(path=Path("/a.onnx")), {"path"}),
    "depth-anything": (DepthAnythingConfig(), NETWORK),
    "depth-anything-clip": (DepthAnythingClipConfig(), NETWORK),
    "rtmw": (RtmwConfig(), {"folder", "model", "device"}),
    "xpose": (XPoseConfig(), {"source", "checkpoint", "tokenizer"} | NETWORK - {"folder"}),
    "multistyle": (MultistyleConfig(), {"model"}),
    "sdxl": (
        SdxlConfig(),
        {"checkpoint", "controlnet", "vae_tiling", "device", *(f"depth.{name}" for name in NETWORK)},
    ),
}  # fmt: skip


def leaves(config: FrozenConfig, name: str = "") -> Iterator[str]:
    for field in type(config).model_fields:
        value = getattr(config, field)
        if isinstance(value, FrozenConfig):
            yield from leaves(value, f"{name}{field}.")
        else:
            yield name + field


def other(value: Any) -> Any:
    """A value of the same type that differs (nothing validates it: a key does not care)."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, Path):
        return value / "other"
    return "other" if value is None or isinstance(value, str) else (*value, *value)


def changed(config: FrozenConfig, name: str) -> FrozenConfig:
    first, _, rest = name.partition(".")
    value = getattr(config, first)
    return config.model_copy(update={first: changed(value, rest) if rest else other(value)})


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # values of other types are keys like any
@pytest.mark.parametrize("section", SECTIONS)
def test_a_setting_enters_the_key_if_it_changes_what_is_made_and_only_then(section: str) -> None:
    config, keyless = SECTIONS[section]
    names = set(leaves(config))
    assert keyless <= names
    assert {name for name in names if changed(config, name).key_params() == config.key_params()} == keyless


def test_the_graph_s_keys_do_not_hold_settings_without_effect() -> None:
    config = DatasetConfig()
    keyless = {"ingest": "limits.stall_s", "decode": "threads", "camera": "backend.solver_hang_s"}
    touched = config.model_copy(update={name: changed(getattr(config, name), field) for name, field in keyless.items()})
    before, after = build_graph(config), build_graph(touched)
    assert {name: spec.prefix for name, spec in before.items()} == {name: spec.prefix for name, spec in after.items()}
    finer = config.model_copy(update={"decode": changed(config.decode, "jpeg_quality")})
    assert [n for n in ("ingest", *CLIP_STAGES) if build_graph(finer)[n].prefix != before[n].prefix] == ["decode"]


def test_a_raised_limit_leaves_a_refused_source_in_quarantine_until_retry() -> None:
    config = DatasetConfig()
    raised = config.model_copy(update={"ingest": changed(config.ingest, "limits.max_frames")})
    refused = ingest_item(build_graph(config)["ingest"], "a" * 16, "a" * 64, "/videos/a.mp4")
    again = ingest_item(build_graph(raised)["ingest"], "a" * 16, "a" * 64, "/videos/a.mp4")
    assert plan_ingest([again], have=set(), failed={refused.key}).todo == ()
    assert plan_ingest([again], have=set(), failed=set()).todo == (again,)  # what `retry` plans with
