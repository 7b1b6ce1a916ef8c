"""Reads and writes the YAML form of a configuration; errors name the key, the cause and the nearest right name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.config import FrozenConfig
from schemas.config_errors import explain
from schemas.strict_yaml import YamlError, read_yaml

Config = TypeVar("Config", bound=FrozenConfig)


_OF_ANOTHER_VERSION = frozenset({"extra_forbidden", "union_tag_invalid", "literal_error"})
"""What pydantic calls keys and choices that this version does not know."""
_ANOTHER_VERSION = (
    "if another version wrote this: rename or remove these keys (`mikudance config show` prints today's; a key that is "
    "left out takes its default), then `mikudance plan` says what is made again, and why"
)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message lists every wrong key with cause and remedy."""


def parse_yaml(text: str | bytes, name: str) -> dict[str, Any]:
    """A YAML mapping of a text, or of a file's bytes. Raises ConfigError naming `name` and the line."""
    try:
        data = read_yaml(text)
    except YamlError as error:
        raise ConfigError(f"{name} is {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name} holds a {type(data).__name__}, a configuration is a mapping of sections")
    return data


def validate(model: type[Config], data: dict[str, Any], name: str) -> Config:
    """The configuration of `data`. Raises ConfigError listing every key that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = explain(model, error)
        if any(problem["type"] in _OF_ANOTHER_VERSION for problem in error.errors()):
            lines.append(_ANOTHER_VERSION)
        raise ConfigError(f"{name}:\n" + "\n".join(f"  {line}" for line in lines)) from error


def load(model: type[Config], path: Path) -> Config:
    """A configuration from a YAML file. Raises ConfigError; a missing file is one too."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return validate(model, parse_yaml(data, str(path)), str(path))


def override(data: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """`section.key=value` settings laid over a configuration's data; values are YAML."""
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not name:
            raise ConfigError(f"--set {assignment!r}: write it as section.key=value")
        try:
            value = read_yaml(text)
        except YamlError as error:
            raise ConfigError(f"--set {assignment!r}: the value is {error}") from error
        place = data
        *sections, key = name.split(".")
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--set {assignment!r}: {section!r} is not a section")
        place[key] = value
    return data


def dump(config: FrozenConfig, *, comments: bool = False) -> str:
    """A configuration as YAML; with `comments`, each field's description stands above it."""
    data = config.model_dump(mode="json")
    if not comments:
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return "\n".join(_commented(config, "")) + "\n"


def _commented(config: BaseModel, indent: str) -> list[str]:
    lines: list[str] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if field.description:
            lines.append(f"{indent}# {field.description}")
        if isinstance(value, BaseModel) and type(value).model_fields:
            lines.append(f"{indent}{name}:")
            lines.extend(_commented(value, indent + "  "))
        else:
            dumped = config.model_dump(mode="json", include={name})[name]
            text = yaml.safe_dump(dumped, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
            lines.append(f"{indent}{name}: {text.strip().removesuffix('...').strip()}")
    return lines
