"""Running a network over many items in batches that fit the memory of the GPU."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from extractors.protocols import ExtractionError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    items: Sequence[Item], run: Callable[[Sequence[Item]], Sequence[Result]], *, batch_size: int, backend: str
) -> list[Result]:
    """`run` over `items` in batches, results in order. Out of GPU memory halves the batch once, from there on.

    Raises ExtractionError, which names the setting to lower, where the halved batch does not fit either.
    """
    import torch

    results: list[Result] = []
    size, halved = batch_size, False
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            results.extend(run(batch))
        except torch.OutOfMemoryError as error:
            if halved or len(batch) == 1:
                raise ExtractionError(
                    f"{backend}: out of GPU memory with {len(batch)} frames at a time: lower its batch_size, give its "
                    "worker a larger share of the GPU, or use a lower precision"
                ) from error
            size, halved = max(1, len(batch) // 2), True
            torch.cuda.empty_cache()
    return results
