"""A dataset's folder or bucket prefix: configuration, catalog, artifacts, shards and releases, and how they are found.

    config.yaml   releases/NNNN.json   catalog/<table>/   artifacts/<stage>/   shards/

Nothing inside holds an absolute path, so that it can be moved.
"""

import hashlib
import os
from pathlib import Path

from pipeline.catalog import Catalog
from pipeline.config import DatasetConfig
from pipeline.config_file import dump, parse_yaml, validate
from pipeline.storage import Storage
from schemas.release import Release, newest_number, release_path

CONFIG = "config.yaml"


class DatasetError(RuntimeError):
    """A folder that is no dataset, or one that cannot be used; the message says what to do."""


class Dataset:
    """An opened dataset."""

    def __init__(self, storage: Storage, config: DatasetConfig) -> None:
        self.storage = storage
        self.config = config
        self.catalog = Catalog(storage)

    @classmethod
    def open(cls, root: str) -> "Dataset":
        """An existing dataset. Raises DatasetError where there is none, ConfigError for a wrong configuration."""
        storage = Storage(root)
        if not storage.exists(CONFIG):
            raise DatasetError(
                f"{storage.root} holds no dataset (no {CONFIG}); `mikudance build VIDEOS --dataset {root}` makes one"
            )
        name = storage.full(CONFIG)
        return cls(storage, validate(DatasetConfig, parse_yaml(storage.read(CONFIG), name), name))

    @classmethod
    def create_or_open(cls, root: str, config: DatasetConfig | None) -> "Dataset":
        """A dataset with `config` written into it; without `config`, an existing one as it is, or one on defaults."""
        dataset = cls.prepare(root, config)
        dataset.write_config()
        return dataset

    @classmethod
    def prepare(cls, root: str, config: DatasetConfig | None) -> "Dataset":
        """As `create_or_open`, but nothing is written yet."""
        storage = Storage(root)
        if config is None and storage.exists(CONFIG):
            return cls.open(root)
        if storage.local and not storage.exists(CONFIG) and _foreign(Path(storage.root)):
            raise DatasetError(f"{storage.root} is not empty and holds no dataset: name a new or an empty folder")
        return cls(storage, config or DatasetConfig())

    def write_config(self) -> None:
        """Writes the configuration in force into the dataset, if another one or none is there."""
        text = dump(self.config, comments=True).encode()
        if not self.storage.exists(CONFIG) or self.storage.read(CONFIG) != text:
            self.storage.write(CONFIG, text)

    @property
    def root(self) -> str:
        return self.storage.root

    def config_digest(self) -> str:
        """sha256 of the configuration in force."""
        return hashlib.sha256(self.config.canonical_json().encode()).hexdigest()

    def portable_uri(self, path: str) -> str:
        """How the catalog writes down a source's path: relative to the dataset where both are local."""
        if "://" in path or not self.storage.local:
            return path
        return os.path.relpath(path, self.root)

    def resolve_uri(self, uri: str) -> str:
        """The path or URI that a worker opens."""
        if "://" in uri or not self.storage.local:
            return uri
        return os.path.normpath(str(Path(self.root) / uri))

    def newest_release(self) -> Release | None:
        """The release with the highest number, or None."""
        number = self.newest_release_number()
        return self.release(number) if number else None

    def newest_release_number(self) -> int:
        """The highest release number, 0 if there is none."""
        return newest_number(self._has_release)

    def releases(self) -> list[Release]:
        """All releases that are there, oldest first. Raises DatasetError for a damaged one."""
        return [self.release(n) for n in range(1, self.newest_release_number() + 1) if self._has_release(n)]

    def release(self, number: int) -> Release:
        """A release by number. Raises DatasetError where it is absent or damaged."""
        path = release_path(number)
        try:
            return Release.model_validate_json(self.storage.read(path))
        except FileNotFoundError as error:
            raise DatasetError(f"{self.root} has no release {number}") from error
        except ValueError as error:
            raise DatasetError(f"{self.storage.full(path)} is damaged: {error}") from error

    def _has_release(self, number: int) -> bool:
        return self.storage.exists(release_path(number))


def _foreign(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
