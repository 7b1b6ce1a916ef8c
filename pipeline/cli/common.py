"""What the commands share: options, exit codes, signals."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from pipeline.config_file import ConfigError, load, override, parse_yaml, validate
from pipeline.dataset import CONFIG, Dataset
from pipeline.storage import Storage

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Exit(IntEnum):
    """Exit codes of all commands."""

    OK = 0
    ERROR = 1
    USAGE = 2
    QUARANTINE = 3
    DAMAGED = 4
    INTERRUPTED = 130


EXIT_CODES = """Exit codes: 0 done; 1 error (the message says what to do); 2 wrong usage; 3 done, but something is in
quarantine; 4 damage found; 130 interrupted (run it again to go on)."""

DatasetOption = Annotated[
    str, typer.Option("--dataset", "-d", help="Dataset folder, or a URI such as s3://bucket/name.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML configuration; written into the dataset.", dir_okay=False)
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting laid over the configuration, e.g. decode.size=384.")
]
RayOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="Ray cluster to join, e.g. auto or ray://head:10001. Default: a local one."),
]


def open_for_build(root: str, config: Path | None, settings: list[str] | None, preset: str | None = None) -> Dataset:
    """The dataset of a build: its own configuration, or `config`, with preset and settings laid over it. Nothing is
    written yet.
    """
    from pipeline.config import DatasetConfig
    from pipeline.presets import preset_settings

    storage = Storage(root)
    if config is None and not settings and not preset:
        return Dataset.prepare(root, None)
    if config is not None:
        data = load(DatasetConfig, config).model_dump(mode="json")
    elif storage.exists(CONFIG):
        data = parse_yaml(storage.read(CONFIG), storage.full(CONFIG))
    else:
        data = {}
    if preset:
        data = preset_settings(preset, data)
    merged = validate(DatasetConfig, override(data, settings or []), str(config or "the configuration with --set"))
    return Dataset.prepare(root, merged)


class Stopper:
    """Turns the first Ctrl-C or SIGTERM into a clean stop; a second one ends at once."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self) -> bool:
        return self.stopped

    @contextmanager
    def installed(self) -> Iterator["Stopper"]:
        names = (signal.SIGINT, signal.SIGTERM)
        before = {name: signal.getsignal(name) for name in names}
        for name in names:
            signal.signal(name, self._handle)
        try:
            yield self
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            sys.exit(Exit.INTERRUPTED)
        self.stopped = True
        errors.print("stopping after the items in flight; press Ctrl-C again to stop at once", style="yellow")


__all__ = [
    "EXIT_CODES",
    "ConfigError",
    "ConfigOption",
    "DatasetOption",
    "Exit",
    "RayOption",
    "SetOption",
    "Stopper",
    "console",
    "errors",
    "open_for_build",
]
