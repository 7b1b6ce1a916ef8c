"""What every stage is: a pure step from a clip and the artifacts before it to one table."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import pyarrow as pa

from schemas.clip import Clip

Inputs = Mapping[str, pa.Table]
"""Artifact tables by the name of the stage that made them."""


class StageError(RuntimeError):
    """A clip that this stage cannot do; the message names the file or clip, the cause and the next step."""


class SourceLostError(StageError):
    """A source file that is gone or was replaced: no fault of the clip's, which waits for the file."""


class SourceStage(Protocol):
    """The stage that looks at whole source files, before there are clips: ingest."""

    def run(self, source_id: str, path: str, registered: tuple[int, int] | None = None) -> pa.Table:
        """The artifact of a source. registered: its size in bytes and time of change in ns when it was named. Raises
        StageError for a file that gives no clip, and SourceLostError for one that is gone or another one.
        """


class Stage(Protocol):
    """A stage with its model loaded. Constructed once in each worker: `XStage(config)`."""

    name: ClassVar[str]
    version: ClassVar[int]

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """The stage's artifact, with its header (schemas.artifacts.header). Raises StageError or ExtractionError for
        a clip that cannot be done.
        """
