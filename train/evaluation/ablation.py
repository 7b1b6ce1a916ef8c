"""Which networks make an ablation table: each row's own setting apart, they must be alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.model.saving import SavedModel, read_manifest

PAPER = {"guidance": "mixed", "motion_injection": "man", "motion": "scene_motion"}
"""What the rows change, as the paper's model has it."""
ROWS = {
    "MikuDance": {},
    "w/o MIX": {"guidance": "controlnets"},
    "w/o MAN": {"motion_injection": "concat"},
    "w/o SMT": {"motion": "none"},
    "w/ Plücker": {"motion": "plucker"},
    "w/ Flow": {"motion": "flow"},
}
"""The rows of the paper's table, each with the setting that it is trained with."""
FREE = ("encoding.chunk", "encoding.cache_bytes")
"""Settings that only change memory and time."""


class AblationError(ValueError):
    """Variants that make no table; the message names the variant, the setting and the next step."""


def check_variants(checkpoints: Mapping[str, Path]) -> None:
    """Raises AblationError where a row of the paper's name has another setting than that row, a row of another name
    changes more than one setting, or two variants differ in anything else; SavedModelError for what is no network.
    """
    manifests = {name: read_manifest(folder) for name, folder in checkpoints.items()}
    for name, saved in manifests.items():
        _check_row(name, saved)
    (first, *others) = manifests
    wanted = _shared(manifests[first])
    for name in others:
        found = _shared(manifests[name])
        unlike = [f"{key} {found.get(key)} and {value}" for key, value in wanted.items() if found.get(key) != value]
        if unlike:
            raise AblationError(
                f"variants {name!r} and {first!r} differ in more than what a row changes: {', '.join(unlike)}; an "
                "ablation compares networks that were trained alike"
            )


def _check_row(name: str, saved: SavedModel) -> None:
    own = {key: getattr(saved.model, key) for key in PAPER}
    changed = {key: value for key, value in own.items() if value != PAPER[key]}
    if name in ROWS and own != PAPER | ROWS[name]:
        row = PAPER | ROWS[name]
        wrong = [f"model.{key}={own[key]} in place of {row[key]}" for key in PAPER if own[key] != row[key]]
        raise AblationError(
            f"variant {name!r} was trained with {', '.join(wrong)}, which is not that row of the paper; give its "
            "checkpoint, or another name"
        )
    if len(changed) > 1:
        settings = ", ".join(f"model.{key}={value}" for key, value in changed.items())
        raise AblationError(f"variant {name!r} changes more than one setting ({settings}); a row is one change")


def _shared(saved: SavedModel) -> dict[str, Any]:
    """All settings but those that rows change, by dotted name."""
    flat = dict(_flat("", saved.model_dump(mode="json")))
    return {key: value for key, value in flat.items() if key not in (*FREE, *(f"model.{name}" for name in PAPER))}


def _flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _flat(f"{prefix}{key}.", value) if isinstance(value, dict) else [(prefix + key, value)]
    return found
