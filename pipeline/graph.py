"""The stage graph: what each stage needs and makes, as pure data built from a dataset's configuration."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from extractors.weights.store import WeightsError
from pipeline.config import DatasetConfig
from pipeline.work import digest
from schemas.clip import Clip
from schemas.config import BackendConfig, FrozenConfig, Resources
from stages.camera import CameraStage
from stages.decode import DecodeStage
from stages.depth import DepthStage
from stages.ingest import IngestStage
from stages.pose import PoseStage
from stages.scene_motion import SceneMotionStage
from stages.stylize import StylizeStage

CLIP_STAGES = ("decode", "pose", "camera", "depth", "scene_motion", "stylize")
"""Stages that run once a clip, inputs before what needs them; `ingest` runs once a source, `pack` once a shard."""


AbsentWeights = Callable[[str, str, int], str | None]
"""From stage, backend and the backend's version to the digest of its weights, None where that is not known."""


@dataclass(frozen=True)
class StageSpec:
    """One stage: identity (what enters its keys), edges, resources, and how a worker builds it."""

    name: str
    version: int
    inputs: tuple[str, ...]
    params: str
    backend: str
    backend_version: int
    weights_digest: str
    resources: Resources
    build: Callable[[], Any]

    @property
    def prefix(self) -> str:
        """The part of an artifact key that all items of the stage share."""
        return digest(
            self.name, str(self.version), self.params, self.backend, str(self.backend_version), self.weights_digest
        )


def make_spec(
    name: str,
    stage: type,
    config: FrozenConfig,
    *,
    inputs: tuple[str, ...],
    resources: Resources,
    backend: BackendConfig | None = None,
    absent: AbsentWeights | None = None,
) -> StageSpec:
    """The spec of one stage; `stage` is its class, constructed with `config` in each worker. absent: as build_graph."""
    params = _canonical(config.key_params())
    return StageSpec(
        name=name,
        version=stage.version,  # type: ignore[attr-defined]
        inputs=inputs,
        params=params,
        backend=str(getattr(backend, "backend", "")),
        backend_version=backend.version if backend else 0,
        weights_digest=_weights_digest(name, backend, absent) if backend else "",
        resources=resources,
        build=partial(stage, config),
    )


def _weights_digest(stage: str, backend: BackendConfig, absent: AbsentWeights | None) -> str:
    try:
        return backend.weights_digest()
    except OSError as error:
        known = absent(stage, str(getattr(backend, "backend", "")), backend.version) if absent else None
        if known is not None:
            return known
        problem = backend.problem()
        advice = (
            f"{problem.cause}: {problem.remedy}" if problem else "`mikudance weights list` says where they come from"
        )
        raise WeightsError(
            f"{stage}: the backend {getattr(backend, 'backend', '')} cannot be used: {error.filename}, whose content "
            f"is part of the artifact keys, cannot be read here ({error.strerror}). {advice}"
        ) from error


def build_graph(config: DatasetConfig, absent: AbsentWeights | None = None) -> dict[str, StageSpec]:
    """Specs by stage name, `ingest` first, then the clip stages in topological order. absent: gives the digest of
    weights that cannot be read here, for commands that only look. Raises WeightsError where nobody knows it.
    """
    run = config.run
    make = partial(make_spec, absent=absent)
    depth_inputs = ("decode", "pose", "camera") if config.depth.backend.needs_camera else ("decode", "pose")
    specs = [
        make("ingest", IngestStage, config.ingest, inputs=(), resources=run.ingest),
        make("decode", DecodeStage, config.decode, inputs=(), resources=run.decode),
        make("pose", PoseStage, config.pose, inputs=("decode",), resources=run.pose, backend=config.pose.backend),
        make(
            "camera",
            CameraStage,
            config.camera,
            inputs=("decode", "pose"),
            resources=run.camera,
            backend=config.camera.backend,
        ),
        make("depth", DepthStage, config.depth, inputs=depth_inputs, resources=run.depth, backend=config.depth.backend),
        make(
            "scene_motion",
            SceneMotionStage,
            config.scene_motion,
            inputs=("decode", "pose", "camera", "depth"),
            resources=run.scene_motion,
        ),
        make(
            "stylize",
            StylizeStage,
            config.stylize,
            inputs=("decode",),
            resources=run.stylize,
            backend=config.stylize.backend,
        ),
    ]
    return {spec.name: spec for spec in specs}


def clip_part(stage: str, clip: Clip, source_sha256: str, camera_track_sha256: str) -> str:
    """What of a clip itself enters the key of a stage; everything else comes in by the keys of its inputs."""
    if stage == "decode":
        rate = f"{clip.fps[0]}/{clip.fps[1]}"
        return f"{source_sha256}|{clip.kind}|{clip.first_frame}|{clip.frame_count}|{rate}|{clip.start_s!r}"
    if stage == "camera":
        return f"{clip.focal!r}|{camera_track_sha256}|{clip.camera_track_offset_s!r}"
    return ""


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
