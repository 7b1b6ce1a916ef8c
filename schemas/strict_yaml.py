"""YAML from strangers: plain values only, no aliases, no repeated keys, and one kind of error."""

from typing import Any

import yaml

MAX_BYTES = 1_000_000


class YamlError(ValueError):
    """A text that is refused; the message says why, and where in the text."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (they can blow up in memory) and repeated keys (one would be lost)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not supported", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node.value, str):
                message = "a key must be a plain word, not a list or a mapping"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            if key_node.value in seen:
                message = f"key {key_node.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(text: str | bytes) -> Any:
    """The value of a YAML text, or of the UTF-8 bytes of one. Raises YamlError."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise YamlError(f"larger than {MAX_BYTES} bytes: that is no configuration")
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    # Dates and numbers that look like such and are none raise ValueError and its like inside the loader.
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise YamlError(f"not valid YAML: {error}") from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")  # some editors put a byte order mark first
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(
            f"not UTF-8 text: byte 0x{data[error.start]:02x} in line {line} ({error.reason}); save it as UTF-8"
        ) from error
