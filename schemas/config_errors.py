"""What is wrong with a configuration, in words: one line a key, with the nearest right name for an unknown one."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(model: type[BaseModel], error: ValidationError) -> list[str]:
    """A line for each problem that `model` found: the key, the cause, and what was found or what to do."""
    return [_explain(model, problem) for problem in error.errors()]


def _explain(model: type[BaseModel], problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if path == "schema_version":
        return f"{path}: {problem['input']!r} is not read by this version: use the one that wrote it, or a newer one"
    if problem["type"] == "extra_forbidden":
        return _unknown(model, problem, path)
    cause = problem["msg"].removeprefix("Value error, ")
    # Of settings that do not fit each other the cause names those that matter; all of them would bury it.
    found = "" if isinstance(problem["input"], dict) else f" (found {problem['input']!r:.80})"
    return f"{path}: {cause}{found}" if path else f"{cause}{found}"


def _unknown(model: type[BaseModel], problem: Any, path: str) -> str:
    unknown = str(problem["loc"][-1])
    names = _names_at(model, problem["loc"][:-1])
    close = difflib.get_close_matches(unknown, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? rename it, or" if close else f"known here: {', '.join(sorted(names))};"
    return f"{path}: unknown key; {hint} remove it"


def _names_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Field names of the section at `loc`; pydantic puts a union member's tag into `loc` after the field's name."""
    current: list[type[BaseModel]] = [model]
    for part in loc:
        following: list[type[BaseModel]] = []
        for candidate in current:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                following.extend(_models_in(field.annotation))
            elif any(str(part) == getattr(f.default, "value", f.default) for f in candidate.model_fields.values()):
                following.append(candidate)
        current = following or current
    return [name for candidate in current for name in candidate.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
