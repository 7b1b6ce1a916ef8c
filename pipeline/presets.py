"""Named sets of backends that `--preset` lays over a configuration."""

from typing import Any


class PresetError(ValueError):
    """A preset that does not exist."""


EMBEDDED: dict[str, Any] = {
    "pose": {"backend": {"backend": "mediapipe"}},
    "camera": {"backend": {"backend": "sfm"}},
    "depth": {"backend": {"backend": "reconstruction"}},
    "stylize": {"backend": {"backend": "opencv"}},
}
"""Runs anywhere on a CPU; the default."""

PAPER: dict[str, Any] = {
    "pose": {"backend": {"backend": "xpose"}},
    "camera": {"backend": {"backend": "droid"}},
    "depth": {"backend": {"backend": "depth-anything"}},
    "stylize": {"backend": {"backend": "sdxl"}},
    "run": {"pose": {"gpus": 0.5}, "camera": {"gpus": 1.0}, "depth": {"gpus": 0.25}, "stylize": {"gpus": 1.0}},
}
"""What the paper used: X-Pose, DROID-SLAM, Depth-Anything, SDXL. Needs CUDA, weights and their licences."""


def preset_settings(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """`data` with a preset's settings over it. Raises PresetError for an unknown name."""
    presets = {"embedded": EMBEDDED, "paper": PAPER}
    if name not in presets:
        raise PresetError(f"there is no preset {name!r}; presets are {', '.join(presets)}")
    return _merge(data, presets[name])


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and _tag(value) in ("", _tag(old)):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _tag(section: dict[str, Any]) -> str:
    """The name in a backend's section; "" for other sections. Another backend's settings would not fit, so they go."""
    name = section.get("backend")
    return name if isinstance(name, str) else ""
