"""Where the results of other programs lie: one path a source, by a template."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from schemas.clip import Clip


def _names_the_source(value: str) -> str:
    if value and "{stem}" not in value and "{source_id}" not in value:
        raise ValueError("the template must hold {stem} or {source_id}, else all videos would get the same result")
    return value


Template = Annotated[str, AfterValidator(_names_the_source)]
"""A path with {stem} (the video's file name without its ending) or {source_id}; "" where none is configured."""


def place(template: str, clip: Clip) -> Path:
    """The template's path for the source of a clip."""
    return Path(template.replace("{stem}", stem(clip)).replace("{source_id}", clip.source_id))


def stem(clip: Clip) -> str:
    """The source's file name without its ending, by which ViPE names its files."""
    return Path(clip.video).stem
