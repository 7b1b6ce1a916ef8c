"""Base classes of every configuration in the project: typed, frozen, and closed to unknown keys."""

import hashlib
import json
from abc import abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class FrozenConfig(BaseModel):
    """A configuration section. Unknown keys are errors; instances never change after construction."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())
    keyless: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not change what is made (threads, limits, devices): they are left out of artifact keys. So are, by
    themselves, fields that hold a path: what lies there counts, and not the place."""

    def canonical_json(self) -> str:
        """Settings as JSON with sorted keys, the form that artifact keys are hashed from."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def key_params(self) -> dict[str, Any]:
        """The settings that decide what is made, as JSON values: all but `keyless` ones and paths. Sections within
        leave out their own.
        """
        plain = self.model_dump(mode="json")
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in self.keyless}
        return {
            name: value.key_params() if isinstance(value, FrozenConfig) else plain[name]
            for name, value in values.items()
            if not isinstance(value, Path)
        }


class BackendConfig(FrozenConfig):
    """Settings of one extractor backend; lives beside the class that `build` makes.

    Subclasses add a `backend: Literal["name"] = "name"` field, by which the configuration tells them apart, and keep
    heavy imports inside `build` and `problem`, so that configurations load without their libraries.
    """

    version: ClassVar[int] = 1
    """Raise by one whenever the same settings give different output: every artifact made with it is then made anew."""
    needs_camera: ClassVar[bool] = False
    """A depth backend that reads the camera stage's output sets this; the stage graph adds the edge."""
    keyless: ClassVar[frozenset[str]] = frozenset({"device", "batch_size"})

    def weights(self) -> tuple[Path, ...]:
        """Files whose content decides the output; their sha256 enters the artifact key. Empty where there are none."""
        return ()

    def weights_digest(self) -> str:
        """sha256 over the digests of `weights()`, or "". Raises FileNotFoundError for an absent file."""
        files = self.weights()
        if not files:
            return ""
        return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()

    def problem(self) -> "Problem | None":
        """Why this backend cannot run on this machine, with the remedy, or None if it can. Must be quick."""
        return None

    @abstractmethod
    def build(self) -> Any:
        """The extractor with its model loaded; called once in each worker process."""


class Problem(FrozenConfig):
    """A reason why something cannot run here, and the exact step that mends it."""

    cause: str
    remedy: str


class Resources(FrozenConfig):
    """What one worker of a stage takes from the cluster, and the limits on one item."""

    cpus: float = Field(1.0, ge=0, description="CPU cores a worker reserves (fractions allowed).")
    gpus: float = Field(0.0, ge=0, description="GPUs a worker reserves (fractions allowed).")
    custom: dict[str, float] = Field(default_factory=dict, description="Custom Ray resources a worker needs.")
    workers: int = Field(0, ge=0, description="Workers of this stage; 0 chooses from the cluster's size.")
    timeout_s: float = Field(1800.0, gt=0, description="Seconds one clip may take before its worker is killed.")
    attempts: int = Field(3, ge=1, description="Tries before a clip is quarantined.")
    runtime_env: dict[str, Any] = Field(default_factory=dict, description="Ray runtime_env of this stage's workers.")


def file_sha256(path: Path) -> str:
    """sha256 of a file, remembered by path, size and modification time."""
    stat = path.stat()
    return _file_sha256(str(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _file_sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
