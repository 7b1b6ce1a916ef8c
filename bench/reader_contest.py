"""One contestant of `bench.reader`, ours or webdataset's, in a process of its own. Prints one line of JSON.

Arguments: contestant, large dataset, small dataset, samples to have consumed on resume.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
import webdataset

from bench.reader_data import WINDOW, best_rate, pil, turbo, window_of
from train.data.assemble import decode_arrays, decode_motion, decode_pictures
from train.data.config import ReaderConfig
from train.data.crop import draw_crop
from train.data.encoded import EncodedSample
from train.data.fetch import LocalStore
from train.data.order import SampleOrder
from train.data.release import load_release
from train.data.rng import numpy_generator
from train.data.sample import SampleReader


class Ours:
    """The reader under test on one dataset."""

    def __init__(self, root: Path) -> None:
        self.root = root
        store = LocalStore(root=str(root))
        self.release = load_release(store)
        side = int(root.name.rpartition("-")[2])
        self.config = ReaderConfig(stage=2, frames=WINDOW, size=(side, side), workers=0)
        self.order = SampleOrder(release=self.release, config=self.config)
        self.reader = SampleReader(config=self.config, store=store, release=self.release)

    def undecoded(self) -> Iterator[EncodedSample]:
        return map(self.reader.fetch, self.order.samples(0, self.order.epoch_size))

    def window(self) -> Iterator[object]:
        """The work of `window_of`, by the functions that make a batch: all of it but the drawing of poses."""
        for sample in self.undecoded():
            rng = numpy_generator(self.config.seed, sample.global_index, "crop")
            crop = draw_crop(sample.meta.size, self.config.size, self.config.crop_scale, rng)
            pictures = decode_pictures(sample, crop, self.config.max_pixels)
            yield pictures, decode_arrays(sample), decode_motion(sample, crop)

    def batch(self) -> Iterator[object]:
        return map(self.reader.read, self.order.samples(0, self.order.epoch_size))

    def resume(self, consumed: int) -> float:
        """Seconds from nothing to the first batch of a run that goes on: release, order, index, sample."""
        start = time.perf_counter()
        reader = self.config.build(root=str(self.root), global_batch=1)
        next(reader.batches(reader.start().advanced(consumed), rank=0, world=1, micro_batch=1))
        return time.perf_counter() - start

    def jump(self, consumed: int) -> float:
        """Seconds to find and read the bytes of one sample anywhere in the order, with the release open."""
        start = time.perf_counter()
        self.reader.fetch(self.order.samples(consumed, consumed + 1)[0])
        return time.perf_counter() - start


def web_samples(root: Path) -> webdataset.WebDataset:
    """Whole samples by webdataset, in tar order (its fastest way)."""
    return webdataset.WebDataset([str(path) for path in sorted((root / "shards").glob("*.tar"))], shardshuffle=False)


def web_windows(root: Path, decode: Callable[[bytes], np.ndarray]) -> Iterator[object]:
    for number, sample in enumerate(web_samples(root)):
        members = {name: data for name, data in sample.items() if not name.startswith("__")}
        yield window_of(members, number % 10, decode)


def skip(samples: Iterable[object], count: int) -> float:
    """Seconds to pass over `count` samples and have the next: how a stream without an index goes on."""
    start = time.perf_counter()
    next(islice(iter(samples), count, None))
    return time.perf_counter() - start


def measure(contestant: str, large: Path, small: Path, consumed: int) -> Sequence[float]:
    """Samples a second of wall and of CPU time; for a resume, seconds."""
    match contestant:
        case "ours undecoded":
            return best_rate(Ours(large).undecoded, 5)
        case "ours window":
            return best_rate(Ours(large).window, 3)
        case "ours batch":
            return best_rate(Ours(large).batch, 3)
        case "ours small":
            return best_rate(Ours(small).undecoded, 5)
        case "ours resume, from nothing":
            return [min(Ours(small).resume(consumed) for _ in range(5))]
        case "ours resume, release open":
            ours = Ours(small)
            return [min(ours.jump(consumed - i) for i in range(50))]
        case "webdataset undecoded":
            return best_rate(partial(web_samples, large), 5)
        case "webdataset window":
            return best_rate(partial(web_windows, large, pil), 3)
        case "webdataset window, turbo":
            return best_rate(partial(web_windows, large, turbo), 3)
        case "webdataset window, all frames":
            return best_rate(lambda: web_samples(large).decode("rgb8"), 1)
        case "webdataset small":
            return best_rate(partial(web_samples, small), 5)
        case "webdataset resume":
            return [min(skip(web_samples(small), consumed) for _ in range(2))]
    raise ValueError(f"no contestant {contestant!r}")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    contestant, large, small, consumed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(measure(contestant, large, small, consumed)))


if __name__ == "__main__":
    main()
