"""Which backends can run on this machine, and whether it can read videos at all."""

from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.config import DatasetConfig
from schemas.config import BackendConfig, Problem
from stages.video import ffmpeg

BACKEND_STAGES = ("pose", "camera", "depth", "stylize")


@dataclass(frozen=True)
class Check:
    """One backend of one stage, or ffmpeg: whether the configuration uses it, and why it cannot run (None: it can)."""

    stage: str
    name: str
    in_use: bool
    problem: Problem | None


def examine(config: DatasetConfig) -> list[Check]:
    """ffmpeg, then every backend of every stage: the chosen ones with their settings, the others with defaults."""
    checks = [Check("decode", "ffmpeg", True, ffmpeg.problem())]
    for stage in BACKEND_STAGES:
        section = getattr(config, stage)
        chosen: BackendConfig = section.backend
        checks.append(Check(stage, _name(chosen), True, chosen.problem()))
        for model in _members(type(section).model_fields["backend"].annotation):
            if model is not type(chosen):
                checks.append(_with_defaults(stage, model))
    return checks


def _with_defaults(stage: str, model: type[BackendConfig]) -> Check:
    name = str(model.model_fields["backend"].default)
    try:
        return Check(stage, name, False, model().problem())
    except ValidationError as error:
        needed = ", ".join(str(problem["loc"][0]) for problem in error.errors() if problem["loc"])
        cause = f"it has no defaults for {needed or 'some settings'}"
        remedy = f"set {stage}.backend to {{backend: {name}, …}} with {needed or 'them'} (docs/backends.md)"
        return Check(stage, name, False, Problem(cause=cause, remedy=remedy))


def _name(backend: BackendConfig) -> str:
    return str(getattr(backend, "backend", type(backend).__name__))


def _members(annotation: Any) -> list[type[BackendConfig]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BackendConfig) else []
    return [model for argument in get_args(annotation) for model in _members(argument)]
