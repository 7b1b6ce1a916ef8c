"""The order of training samples: a pure function of (release digest, seed, settings), cut by global batch.

Samples are counted through the whole run by their global index; epoch e holds the indices [e·N, (e+1)·N). Ranks and
workers only decide who reads a sample, never which one comes next.

| setting | an epoch is |
| --- | --- |
| camera_share None | every eligible clip of either kind once, mixed |
| camera_share 0 or 1 | every eligible character (camera) clip once |
| camera_share c | every eligible character clip once, and camera clips (one or more) evenly between them to make c |

Camera clips under a share go on from epoch to epoch through permutations of all of them: each is seen equally often.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from schemas.ids import seed_from
from schemas.release import Release
from train.data.config import ReaderConfig
from train.data.errors import DatasetError
from train.data.window import eligible

ORDER_SETTINGS = ("stage", "split", "frames", "frame_step", "camera_share", "style_share", "seed", "shuffle_window")
"""The settings that decide the order; all others may change between save and resume."""


class SampleRef(NamedTuple):
    """One place in the order. shard: number in the release; row: number in the shard; styled: take a stylised pair."""

    global_index: int
    shard: int
    row: int
    styled: bool


class SampleOrder:
    """The infinite sequence of samples of one release under one configuration."""

    def __init__(self, *, release: Release, config: ReaderConfig) -> None:
        self._config = config
        self.digest = release.digest()
        kinds: dict[str, list[np.ndarray]] = {"character": [], "camera": []}
        for number, shard in enumerate(release.shards):
            if shard.split != config.split:
                continue
            rows = [
                row
                for row, (length, step) in enumerate(zip(shard.frames, shard.frame_steps, strict=True))
                if eligible(length, step, config)
            ]
            if rows:
                kinds[shard.kind].append(np.array([(number, row) for row in rows], np.int64))
        share = config.camera_share
        self._extra: list[np.ndarray] = []
        if share is None:
            self._main = kinds["character"] + kinds["camera"]
        elif share in (0.0, 1.0):
            self._main = kinds["camera" if share else "character"]
        else:
            self._main, self._extra = kinds["character"], kinds["camera"]
        self._main_size = sum(map(len, self._main))
        self._extra_total = sum(map(len, self._extra))
        # A small share of few clips is still a share: one camera clip, not none.
        self._extra_size = max(1, round(self._main_size * share / (1 - share))) if share and share < 1 else 0
        if not self._main_size or (self._extra_size and not self._extra_total):
            raise DatasetError(self._empty(release, kinds))

    @property
    def epoch_size(self) -> int:
        """Samples of one epoch."""
        return self._main_size + self._extra_size

    @property
    def fingerprint(self) -> str:
        """sha256 of everything the order depends on, the release's digest included."""
        settings = self._config.model_dump(mode="json", include=set(ORDER_SETTINGS))
        text = "\n".join([self.digest, *(f"{name}={settings[name]!r}" for name in ORDER_SETTINGS)])
        return hashlib.sha256(text.encode()).hexdigest()

    def samples(self, start: int, stop: int) -> list[SampleRef]:
        """The samples of global indices [start, stop). Its cost does not depend on `start`."""
        if not 0 <= start <= stop:
            raise ValueError(f"samples [{start}, {stop}) is not a range of the order")
        return [self._sample(index) for index in range(start, stop)]

    def _sample(self, index: int) -> SampleRef:
        epoch, place = divmod(index, self.epoch_size)
        # Slot `place` holds an extra sample where the rounded-down line place · extra / size takes a step.
        before = place * self._extra_size // self.epoch_size
        extra = (place + 1) * self._extra_size // self.epoch_size > before
        if extra:
            cycle, at = divmod(epoch * self._extra_size + before, self._extra_total)
            shard, row = self._permutation("extra", cycle)[at]
        else:
            shard, row = self._permutation("main", epoch)[place - before]
        return SampleRef(index, int(shard), int(row), bool(self._styled(epoch)[place]))

    @lru_cache(maxsize=6)  # noqa: B019 - an order lives as long as the run
    def _permutation(self, stream: str, cycle: int) -> np.ndarray:
        """(shard, row) int64 [n, 2]: shards permuted, then the samples shuffled inside windows of the row of them, so
        that the shards in use at a time are few.
        """
        rng = np.random.Generator(np.random.Philox(seed_from("order", self.digest, self._config.seed, stream, cycle)))
        groups = self._main if stream == "main" else self._extra
        rows = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
        window = np.arange(len(rows)) // self._config.shuffle_window
        return rows[np.lexsort((rng.random(len(rows)), window))]

    @lru_cache(maxsize=2)  # noqa: B019
    def _styled(self, epoch: int) -> np.ndarray:
        """bool [epoch_size]: which samples of an epoch take a stylised pair."""
        rng = np.random.Generator(np.random.Philox(seed_from("styled", self.digest, self._config.seed, epoch)))
        return rng.random(self.epoch_size) < self._config.style_share

    def _empty(self, release: Release, kinds: dict[str, list[np.ndarray]]) -> str:
        config = self._config
        total = {kind: sum(len(s.samples) for s in release.shards if s.kind == kind) for kind in kinds}
        splits = sorted({shard.split for shard in release.shards})
        able = {kind: sum(map(len, groups)) for kind, groups in kinds.items()}
        return (
            f"release {release.number} has no clips to train on with camera_share {config.camera_share}: of {total} "
            f"clips in splits {splits}, {able} are in split {config.split!r} and long enough for {config.frames} "
            f"frames at step {config.frame_step or 'as stored'}. Change split, frames, frame_step or camera_share"
        )
