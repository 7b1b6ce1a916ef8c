"""litdata's figures for `bench.reader`, which runs this in litdata's own environment; prints them as one line of JSON.

Arguments: scratch folder, large dataset, small dataset, samples to have consumed on resume.
"""

import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
import webdataset
from litdata import StreamingDataset, optimize

from bench.reader import best_rate, pil, window_of
from train.data.decode import decode_jpeg


def samples_of(tar: str) -> Iterator[dict[str, bytes]]:
    """The samples of a shard as the dictionaries that litdata stores."""
    for sample in webdataset.WebDataset([tar], shardshuffle=False):
        yield {name: data for name, data in sample.items() if not name.startswith("__")}


def convert(root: Path, out: Path) -> str:
    """The dataset at `root` as litdata's chunks of 64 MB, made on the first run."""
    folder = out / f"litdata-{root.name}"
    if not (folder / "index.json").exists():
        tars = [str(path) for path in sorted((root / "shards").glob("*.tar"))]
        optimize(fn=samples_of, inputs=tars, output_dir=str(folder), chunk_bytes="64MB", num_workers=1)
    return str(folder)


def first_after(folder: str, consumed: int) -> float:
    """Seconds from nothing to sample number `consumed`; litdata reads by index."""
    start = time.perf_counter()
    StreamingDataset(folder)[consumed]
    return time.perf_counter() - start


def windows(folder: str, decode: object) -> Iterator[object]:
    for number, members in enumerate(StreamingDataset(folder)):
        yield window_of(members, number % 10, decode)


def main() -> None:
    torch.set_num_threads(1)
    out, large, small, consumed = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    large_folder, small_folder = convert(large, out), convert(small, out)
    side = int(large.name.rpartition("-")[2])
    figures = {
        "litdata undecoded": best_rate(lambda: StreamingDataset(large_folder)),
        "litdata window": best_rate(partial(windows, large_folder, pil), 3),
        "litdata window, our decoder": best_rate(
            partial(windows, large_folder, lambda data: decode_jpeg(data, (side, side), 1 << 24)), 3
        ),
        "litdata small": best_rate(lambda: StreamingDataset(small_folder)),
        "resume": min(first_after(small_folder, consumed) for _ in range(3)),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
