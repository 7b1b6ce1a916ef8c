"""Batches keep order, and running out of memory halves them once."""

from collections.abc import Sequence

import pytest
import torch

from extractors.batches import in_batches
from extractors.protocols import ExtractionError


def runner(limit: int, seen: list[int]):  # type: ignore[no-untyped-def]
    def run(batch: Sequence[int]) -> list[int]:
        seen.append(len(batch))
        if len(batch) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * item for item in batch]

    return run


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_results_are_in_order(count: int) -> None:
    assert in_batches(range(count), runner(99, []), batch_size=4, backend="x") == [10 * i for i in range(count)]


def test_out_of_memory_halves_once_and_stays_there() -> None:
    seen: list[int] = []
    assert in_batches(range(10), runner(4, seen), batch_size=8, backend="x") == [10 * i for i in range(10)]
    assert seen == [8, 4, 4, 2]


def test_second_time_out_of_memory_names_the_setting() -> None:
    with pytest.raises(ExtractionError, match="lower its batch_size"):
        in_batches(range(10), runner(2, []), batch_size=8, backend="x")
    with pytest.raises(ExtractionError, match="1 frames at a time"):
        in_batches(range(3), runner(0, []), batch_size=1, backend="x")
