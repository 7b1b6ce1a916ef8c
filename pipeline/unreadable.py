"""Files that were named as sources and could not be read: their place in the quarantine, which goes by their path."""

import os
from pathlib import Path

from pipeline.dataset import Dataset
from pipeline.ingest.sources import SourceFile
from pipeline.work import SourceWork, WorkItem, digest

CAUSE = "unreadable"


def unreadable_item(dataset: Dataset, file: SourceFile) -> WorkItem:
    """What stands in the quarantine for a file that cannot be read, whatever the settings."""
    uri = dataset.portable_uri(file.path)
    return WorkItem("ingest", digest(CAUSE, uri), uri, file.source_id, SourceWork(file.source_id, file.path))


def unreadable_before(dataset: Dataset) -> dict[str, str]:
    """Keys of such failures by the file's portable uri."""
    rows = dataset.catalog.select("failures", "cause", {CAUSE}, ["key", "item_id"])
    return {row["item_id"]: row["key"] for row in rows}


def stays_unreadable(dataset: Dataset, uri: str) -> bool:
    """Whether a file is there and still cannot be read."""
    path = Path(dataset.resolve_uri(uri))
    if not os.path.lexists(path):
        return False
    try:
        with path.open("rb") as file:
            return not file.read(1)
    except OSError:
        return True
