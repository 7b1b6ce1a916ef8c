"""One of litdata's contestants of `bench.reader`, in litdata's own environment. Prints one line of JSON.

Arguments: contestant, large dataset, small dataset, samples to have consumed on resume.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import webdataset
from litdata import StreamingDataset, optimize

from bench.reader_data import best_rate, pil, turbo, window_of


def samples_of(tar: str) -> Iterator[dict[str, bytes]]:
    """The samples of a shard as the dictionaries that litdata stores."""
    for sample in webdataset.WebDataset([tar], shardshuffle=False):
        yield {name: data for name, data in sample.items() if not name.startswith("__")}


def folder_of(root: Path) -> str:
    """Where litdata's chunks of the dataset at `root` lie."""
    return str(root.with_name(f"litdata-{root.name}"))


def convert(root: Path) -> None:
    """The dataset at `root` as litdata's chunks of 64 MB, made on the first run."""
    folder = Path(folder_of(root))
    if not (folder / "index.json").exists():
        tars = [str(path) for path in sorted((root / "shards").glob("*.tar"))]
        optimize(fn=samples_of, inputs=tars, output_dir=str(folder), chunk_bytes="64MB", num_workers=1)


def first_after(folder: str, consumed: int) -> float:
    """Seconds from nothing to sample number `consumed`; litdata reads by index."""
    start = time.perf_counter()
    StreamingDataset(folder)[consumed]
    return time.perf_counter() - start


def windows(folder: str, decode: Callable[[bytes], np.ndarray]) -> Iterator[object]:
    for number, members in enumerate(StreamingDataset(folder)):
        yield window_of(members, number % 10, decode)


def measure(contestant: str, large: Path, small: Path, consumed: int) -> Sequence[float]:
    """Samples a second of wall and of CPU time; for a resume, seconds; "litdata convert" only writes the chunks."""
    match contestant:
        case "litdata convert":
            convert(large)
            convert(small)
            return []
        case "litdata undecoded":
            return best_rate(lambda: StreamingDataset(folder_of(large)), 5)
        case "litdata window":
            return best_rate(partial(windows, folder_of(large), pil), 3)
        case "litdata window, turbo":
            return best_rate(partial(windows, folder_of(large), turbo), 3)
        case "litdata small":
            return best_rate(lambda: StreamingDataset(folder_of(small)), 5)
        case "litdata resume":
            return [min(first_after(folder_of(small), consumed) for _ in range(3))]
    raise ValueError(f"no contestant {contestant!r}")


def main() -> None:
    torch.set_num_threads(1)
    contestant, large, small, consumed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(measure(contestant, large, small, consumed)))


if __name__ == "__main__":
    main()
