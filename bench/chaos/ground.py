"""What every fault is judged by: the quiet run's bytes, and `mikudance verify`."""

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bench.chaos import builds
from bench.chaos.builds import Dataset

ATTEMPTS = 30
"""Tries of an item: more than a campaign kills workers, so that no victim of chance is quarantined."""


class NotPossibleError(Exception):
    """A fault that cannot be made on this machine."""


class SilentDamageError(Exception):
    """A command ended well over data that are not those of the quiet run, or badly without saying why."""


@dataclass(frozen=True)
class Ground:
    """Videos, configuration and the quiet run. length: seconds that the quiet run took."""

    folder: Path
    videos: Path
    config: Path
    quiet: Dataset
    length: float
    seed: int

    @classmethod
    def prepare(cls, folder: Path, seed: int) -> "Ground":
        videos, config = builds.render(folder / "videos"), folder / "config.yaml"
        config.write_text(builds.config_text(attempts=ATTEMPTS))
        began = time.monotonic()
        code, output = builds.finish(builds.start_build(folder / "quiet", videos, config))
        if code != 0:
            raise RuntimeError(f"the quiet run failed:\n{output}")
        return cls(folder, videos, config, Dataset.read(folder / "quiet"), time.monotonic() - began, seed)

    def rng(self, case: str) -> random.Random:
        """Chance of one case, the same whether or not others ran before."""
        return random.Random(f"{self.seed} {case}")  # noqa: S311 (faults, no secrets)

    def copy(self, name: str) -> Path:
        """The quiet run's dataset once more."""
        shutil.copytree(self.folder / "quiet", self.folder / name)
        return self.folder / name

    def build(self, root: Path | str, *options: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
        return builds.finish(builds.start_build(root, self.videos, self.config, *options, environment=environment))

    def must_be_identical(self, root: Path, code: int, output: str) -> None:
        """Raises SilentDamageError unless a command that ended left the quiet run's bytes and `verify` agrees."""
        if code != 0:
            raise SilentDamageError(f"the last command should have succeeded but ended with {code}:\n{output}")
        found = Dataset.read(root)
        for name, wanted, made in (
            ("artifacts", self.quiet.artifacts, found.artifacts),
            ("shards", self.quiet.shards, found.shards),
            ("releases", self.quiet.releases, found.releases),
        ):
            wrong = sorted(path for path in wanted.keys() | made.keys() if wanted.get(path) != made.get(path))
            if wrong:
                raise SilentDamageError(f"{len(wrong)} {name} are not those of the quiet run: {', '.join(wrong[:5])}")
        self.must_be_sound(root)

    def must_be_sound(self, root: Path) -> None:
        """Raises SilentDamageError where `verify` finds damage."""
        code, output = builds.run("verify", "--dataset", root)
        if code != 0:
            raise SilentDamageError(f"verify ended with {code}:\n{output}")

    def must_be_refused(self, code: int, output: str, *words: str) -> str:
        """The line that tells the user why; it holds one of `words`.

        Raises SilentDamageError for success, for a traceback, and where no line has the words.
        """
        lines = [line for line in output.splitlines() if any(word in line for word in words)]
        if code == 0 or not lines or "Traceback (most recent call last)" in output:
            raise SilentDamageError(f"no clear refusal (code {code}, looked for {words}):\n{output}")
        return lines[-1].strip()
