"""The shard reader against `webdataset` and `litdata` on the same samples, one process each, page cache warm.

Three questions: samples a second without decoding (our reader takes a window's bytes by offset; the others hand over
whole samples), samples a second with a 24-frame window decoded, and the time to the first sample when a run goes on
in the middle of an epoch. Run from the repository's root: `python -m bench.reader`. litdata gets an environment of its
own under the output folder, made on the first run (`--without-litdata` leaves it out).
"""

import argparse
import io
import json
import subprocess
import sysconfig
import time
import venv
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import webdataset
from PIL import Image

from schemas.release import Release
from schemas.sample import frame_member
from tests.train.shards import ClipSpec, jpeg, sample_members, write_release, write_shard
from train.data.config import ReaderConfig
from train.data.decode import decode_jpeg
from train.data.encoded import EncodedSample
from train.data.fetch import LocalStore
from train.data.order import SampleOrder
from train.data.release import load_release
from train.data.sample import SampleReader

FRAMES, WINDOW, STEP = 85, 24, 3
PASSES = 5
Members = dict[str, bytes]


def write(root: Path, *, clips: int, frames: int, side: int, textured: bool, shard_samples: int) -> Release:
    """A dataset of equal clips under `root`, or the one that is there. With `textured`, the pictures carry fine
    texture, so that a JPEG of 768² is about as large as one of a film frame.
    """
    if (root / "releases" / "0001.json").exists():
        return load_release(LocalStore(root=str(root)))
    rng = np.random.default_rng(0)
    noise = sum(
        cv2.resize(
            rng.normal(0, 14, (side // s + 2, side // s + 2, 3)), (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC
        )
        for s in (2, 4, 8, 32, 128)
    )
    canvas = (noise + 120).clip(0, 255).astype(np.uint8)
    pictures = [jpeg(canvas[i : i + side, 2 * i : 2 * i + side]) for i in range(frames)] if textured else []
    shards = []
    for start in range(0, clips, shard_samples):
        part = []
        for number in range(start, min(clips, start + shard_samples)):
            spec = ClipSpec(number=number, frames=frames, size=(side, side), styles=0)
            members = sample_members(spec)
            part.append((spec, members | {frame_member(i): data for i, data in enumerate(pictures)}))
        shards.append(write_shard(root, f"train-character-{start:06d}", part))
    return write_release(root, Release(number=1, shards=tuple(shards)))


def best_rate(samples: Callable[[], Iterable[object]], passes: int = PASSES) -> tuple[float, float]:
    """Samples a second of wall time and of CPU time (all threads of this process), each of the fastest of some passes:
    the one that other load on the machine disturbed least. On a busy machine only the CPU time means something.
    """
    rates = []
    for _ in range(passes):
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in samples())
        rates.append((count / (time.perf_counter() - wall), count / (time.process_time() - cpu)))
    return max(rate for rate, _ in rates), max(rate for _, rate in rates)


def pil(data: bytes) -> np.ndarray:
    """What webdataset's own image handler does with one picture."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def window_of(members: Members, start: int, decode: Callable[[bytes], np.ndarray]) -> list[np.ndarray]:
    """A decoded window from a whole sample's bytes: 24 frames and the reference, arrays, the window's motion."""
    meta = json.loads(members["json"])
    frames = list(range(start, start + WINDOW * STEP, STEP))[:WINDOW]
    decoded = [decode(members[frame_member(i)]) for i in (meta["references"][-1], *frames)]
    for name, data in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(data), allow_pickle=False)
            decoded.append(array[0, frames] if name.startswith("scene_motion") else array)
    return decoded


class Ours:
    """The reader under test on one dataset."""

    def __init__(self, root: Path, frames: int, side: int) -> None:
        self.root, self.side = root, side
        self.config = ReaderConfig(stage=2, frames=frames, size=(side, side), workers=0)
        store = LocalStore(root=str(root))
        self.release = load_release(store)
        self.order = SampleOrder(release=self.release, config=self.config)
        self.reader = SampleReader(config=self.config, store=store, release=self.release)

    def undecoded(self) -> Iterator[EncodedSample]:
        return map(self.reader.fetch, self.order.samples(0, self.order.epoch_size))

    def decoded(self) -> Iterator[object]:
        """The work of `window_of`: pictures and arrays, no pose drawing."""
        for sample in self.undecoded():
            pictures = [decode_jpeg(d, (self.side, self.side), 1 << 24) for d in sample.pictures.values()]
            arrays = [np.load(io.BytesIO(data), allow_pickle=False) for data in sample.arrays.values()]
            maps = [np.frombuffer(part, np.uint8) for part in sample.maps.values()]
            yield pictures, arrays, maps

    def batches(self) -> Iterator[object]:
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


def litdata_figures(out: Path, roots: dict[str, Path], consumed: int) -> dict[str, Any]:
    """Figures of `bench.reader_litdata`, run in an environment that adds litdata to this one's packages."""
    environment = out / "litdata-env"
    python = environment / "bin" / "python"
    if not (environment / "ready").exists():
        venv.create(environment, with_pip=True, clear=True)
        packages = next(environment.glob("lib/*/site-packages"))
        (packages / "parent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        install = ["install", "-q", "--no-deps", "litdata", "torchvision", "lightning-utilities", "tifffile"]
        subprocess.run([str(python), "-m", "pip", *install], check=True)
        (environment / "ready").touch()
    arguments = [str(out), str(roots["large"]), str(roots["small"]), str(consumed)]
    done = subprocess.run(
        [str(python), "-m", "bench.reader_litdata", *arguments], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-out/reader"), help="scratch folder, about 1.5 GB")
    parser.add_argument("--clips", type=int, default=24, help="clips of 85 frames")
    parser.add_argument("--side", type=int, default=768, help="frame width and height, pixels")
    parser.add_argument("--small-clips", type=int, default=2000, help="small clips, for the resume time")
    parser.add_argument("--without-litdata", action="store_true")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    out = options.out.resolve()
    roots = {"large": out / f"large-{options.clips}-{options.side}", "small": out / f"small-{options.small_clips}"}
    write(roots["large"], clips=options.clips, frames=FRAMES, side=options.side, textured=True, shard_samples=8)
    write(roots["small"], clips=options.small_clips, frames=26, side=32, textured=False, shard_samples=100)
    ours, consumed = Ours(roots["large"], WINDOW, options.side), options.small_clips - 100
    small = Ours(roots["small"], WINDOW, 32)

    def fast(data: bytes) -> np.ndarray:
        return decode_jpeg(data, (options.side, options.side), 1 << 24)

    parts = [(sample.pictures, sample.arrays, sample.maps) for sample in ours.undecoded()]
    sizes = [sum(len(data) for part in sample for data in part.values()) for sample in parts]
    whole = sum(shard.bytes for shard in ours.release.shards) / options.clips
    print(f"{options.clips} clips × {FRAMES} frames × {options.side}²: {whole / 1e6:.1f} MB a sample,")
    print(f"of which a window of {WINDOW} frames is {np.mean(sizes) / 1e6:.1f} MB\n")
    figures = {
        "ours undecoded": best_rate(ours.undecoded),
        "ours window": best_rate(ours.decoded, 3),
        "ours batch": best_rate(ours.batches, 2),
        "ours small": best_rate(small.undecoded),
        "webdataset undecoded": best_rate(lambda: web_samples(roots["large"])),
        "webdataset window": best_rate(lambda: web_windows(roots["large"], pil), 3),
        "webdataset window, our decoder": best_rate(lambda: web_windows(roots["large"], fast), 3),
        "webdataset all frames": best_rate(lambda: web_samples(roots["large"]).decode("rgb8"), 1),
        "webdataset small": best_rate(lambda: web_samples(roots["small"])),
    }
    resume = {
        "ours, from nothing": min(small.resume(consumed) for _ in range(PASSES)),
        "ours, release open": min(small.jump(consumed - i) for i in range(50)),
        "webdataset": min(skip(web_samples(roots["small"]), consumed) for _ in range(2)),
    }
    if not options.without_litdata:
        theirs = litdata_figures(out, roots, consumed)
        resume["litdata"] = theirs.pop("resume")
        figures |= {name: (wall, cpu) for name, (wall, cpu) in theirs.items()}
    report(figures, resume, consumed)


def report(figures: dict[str, tuple[float, float]], resume: dict[str, float], consumed: int) -> None:
    """Prints the tables. Ratios are ours over theirs: above 1, ours is faster."""
    print(f"  {'':32s} {'samples/s':>10s} {'ratio':>7s} {'samples/CPU s':>14s} {'ratio':>7s}")
    for name, (wall, cpu) in figures.items():
        work = "small" if "small" in name else "undecoded" if "undecoded" in name else "window"
        ours = figures[f"ours {work}"]
        print(f"  {name:32s} {wall:10.1f} {ours[0] / wall:6.2f}× {cpu:14.1f} {ours[1] / cpu:6.2f}×")
    print(f"\nseconds to go on after {consumed} small samples")
    for name, seconds in resume.items():
        print(f"  {name:32s} {seconds:10.6f} {seconds / resume['ours, from nothing']:6.1f}×")


if __name__ == "__main__":
    main()
