"""The reader: an endless stream of micro batches for one rank, from any point of the global order."""

import os
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from schemas.release import Release
from train.data.batch import TrainBatch, join
from train.data.config import ReaderConfig
from train.data.errors import DatasetError
from train.data.fetch import open_store
from train.data.order import SampleOrder, SampleRef
from train.data.release import load_release
from train.data.sample import SampleReader
from train.data.state import ReaderState
from train.data.workers import start_server, start_worker, stream


class Reader:
    """Training batches of one release. `state = reader.start()` (or a saved one), then
    `for batch in reader.batches(state, …)`; after each optimizer step `state = state.advanced()`.
    """

    def __init__(self, *, config: ReaderConfig, root: str, global_batch: int) -> None:
        """Opens the release and makes its order; reads no shard. Raises DatasetError or ShardError."""
        if global_batch < 1:
            raise ValueError(f"global_batch must be at least 1, got {global_batch}")
        self.config = config
        self.global_batch = global_batch
        self.release = load_release(open_store(root, config), config.release, config.digest)
        self.order = SampleOrder(release=self.release, config=config)
        self._start = ReaderState(
            release=self.release.number,
            digest=self.order.digest,
            order=self.order.fingerprint,
            seed=config.seed,
            global_batch=global_batch,
            epoch_size=self.order.epoch_size,
        )
        self._samples = _Samples(config=config, root=root, release=self.release)

    def start(self) -> ReaderState:
        """The state of a run that has read nothing."""
        return self._start

    def batches(
        self, state: ReaderState, *, rank: int, world: int, micro_batch: int
    ) -> Generator[TrainBatch, None, None]:
        """This rank's micro batches from `state` on, without end; `global_batch / (world · micro_batch)` of them make
        one optimizer step. Uint8 and in (pinned, with a GPU) host memory: pass each through `train.data.motion.finish`.
        `close()` ends the workers; left to the garbage collector, that can take seconds for each of them.

        Raises StateError where the state belongs to other data or settings, DatasetError where ranks and micro batches
        do not divide the global batch.
        """
        state.check(self._start)
        chunks = RankSampler(self.order, self.global_batch, state.consumed, rank, world, micro_batch)
        workers = self.config.workers
        if workers:
            start_server()
        loader = DataLoader(
            self._samples,
            sampler=chunks,
            batch_size=None,
            collate_fn=_as_is,
            num_workers=workers,
            prefetch_factor=self.config.prefetch if workers else None,
            timeout=self.config.timeout_s if workers else 0,
            # A plain fork copies whatever locks this process's other threads hold, and the worker waits for ever.
            multiprocessing_context="forkserver" if workers else None,
            worker_init_fn=start_worker,
            pin_memory=torch.cuda.is_available(),
            # A generator of its own: the default would draw from the trainer's and change its noise.
            generator=torch.Generator().manual_seed(self.config.seed),
        )
        return stream(loader)

    def at(self, global_indices: Sequence[int]) -> TrainBatch:
        """The samples of any global indices as one batch, read in this process (validation pictures, tests)."""
        return self._samples[[self.order.samples(i, i + 1)[0] for i in global_indices]]


class RankSampler(Sampler[list[SampleRef]]):
    """Lists of samples, one a micro batch of one rank. Rank r takes the r-th equal part of every global batch."""

    def __init__(
        self, order: SampleOrder, global_batch: int, consumed: int, rank: int, world: int, micro_batch: int
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not one of {world}")
        if micro_batch < 1 or global_batch % (world * micro_batch):
            raise DatasetError(
                f"global batch {global_batch} does not split into {world} ranks of micro batches of {micro_batch}; "
                "choose a micro batch such that ranks · micro batch divides it"
            )
        self._order = order
        self._global_batch = global_batch
        self._consumed = consumed
        self._rank_batch = global_batch // world
        self._first = rank * self._rank_batch
        self._micro_batch = micro_batch

    def __iter__(self) -> Iterator[list[SampleRef]]:
        start = self._consumed + self._first
        while True:
            for offset in range(0, self._rank_batch, self._micro_batch):
                yield self._order.samples(start + offset, start + offset + self._micro_batch)
            start += self._global_batch


class _Samples(Dataset[TrainBatch]):
    """Lists of samples to batches; opens the dataset anew in every process that reads."""

    def __init__(self, *, config: ReaderConfig, root: str, release: Release) -> None:
        self._config = config
        self._root = root
        self._release = release
        self._opened: tuple[int, SampleReader] | None = None

    def __getitem__(self, refs: list[SampleRef]) -> TrainBatch:
        if self._opened is None or self._opened[0] != os.getpid():
            store = open_store(self._root, self._config)
            self._opened = os.getpid(), SampleReader(config=self._config, store=store, release=self._release)
        return join([self._opened[1].read(ref) for ref in refs])

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_opened": None}


def _as_is(batch: Any) -> Any:
    return batch
