"""The shard reader against `webdataset` and `litdata` on the same samples, page cache warm.

Three questions: samples a second without decoding (our reader takes a window's bytes by offset; the others hand over
whole samples), samples a second with a 24-frame window decoded, and the time to the first sample when a run goes on
in the middle of an epoch. Every contestant runs in a fresh process, several rounds of all of them, because figures
depend on the heap's history: a reader that takes fresh memory for each picture pays for page faults or does not, as
luck has it. `--keep-heap` tells glibc to keep freed memory, which leaves such luck out, to the gain of those who need
it.

Run from the repository's root: `python -m bench.reader`. litdata gets an environment of its own under the output
folder, made on the first run (`--without-litdata` leaves it out).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from bench.reader_data import FRAMES, WINDOW, write
from schemas.release import Release
from schemas.sample import frame_member

OURS = ("ours undecoded", "ours window", "ours batch", "ours small")
WEBDATASET = (
    "webdataset undecoded",
    "webdataset window",
    "webdataset window, turbo",
    "webdataset window, all frames",
    "webdataset small",
)
LITDATA = ("litdata undecoded", "litdata window", "litdata window, turbo", "litdata small")
RESUME = ("ours resume, from nothing", "ours resume, release open", "webdataset resume")
KEEP_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}


def litdata_python(out: Path) -> str:
    """The interpreter of an environment that adds litdata to this one's packages, made if it is not there."""
    environment = out / "litdata-env"
    python = environment / "bin" / "python"
    if not (environment / "ready").exists():
        venv.create(environment, with_pip=True, clear=True)
        packages = next(environment.glob("lib/*/site-packages"))
        (packages / "parent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        install = ["install", "-q", "--no-deps", "litdata", "torchvision", "lightning-utilities", "tifffile"]
        subprocess.run([str(python), "-m", "pip", *install], check=True)
        (environment / "ready").touch()
    return str(python)


class Contest:
    """Runs contestants. large, small: the datasets; consumed: samples of the small one to have read before a resume."""

    def __init__(self, *, out: Path, large: Path, small: Path, consumed: int, keep_heap: bool) -> None:
        self._out = out
        self._arguments = [str(large), str(small), str(consumed)]
        self._environment = os.environ | (KEEP_HEAP if keep_heap else {})

    def run(self, contestant: str) -> list[float]:
        """What the contestant printed: samples a second of wall and of CPU time, or the seconds of a resume. Raises
        CalledProcessError where it fails; its own message is on stderr.
        """
        module, python = "bench.reader_contest", sys.executable
        if contestant.startswith("litdata"):
            module, python = "bench.reader_litdata", litdata_python(self._out)
        command = [python, "-m", module, contestant, *self._arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=self._environment)
        return [float(figure) for figure in json.loads(done.stdout.strip().splitlines()[-1])]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-out/reader"), help="scratch folder, about 1.5 GB")
    parser.add_argument("--clips", type=int, default=24, help="clips of 85 frames")
    parser.add_argument("--side", type=int, default=768, help="frame width and height, pixels")
    parser.add_argument("--small-clips", type=int, default=2000, help="small clips, for the resume time")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes a contestant")
    parser.add_argument("--keep-heap", action="store_true", help="glibc keeps freed memory, for all contestants")
    parser.add_argument("--without-litdata", action="store_true")
    options = parser.parse_args(argv)
    out = options.out.resolve()
    large, small = out / f"film-{options.clips}-{options.side}", out / f"small-{options.small_clips}-32"
    release = write(large, clips=options.clips, frames=FRAMES, side=options.side, textured=True, shard_samples=8)
    write(small, clips=options.small_clips, frames=26, side=32, textured=False, shard_samples=100)
    describe(large, release, options.clips)
    consumed = options.small_clips - 100
    contest = Contest(out=out, large=large, small=small, consumed=consumed, keep_heap=options.keep_heap)
    names, resume = [*OURS, *WEBDATASET], [*RESUME]
    if not options.without_litdata:
        contest.run("litdata convert")
        names += LITDATA
        resume += ["litdata resume"]
    rounds = [{name: contest.run(name) for name in names} for _ in range(options.rounds)]
    report(rounds, {name: contest.run(name)[0] for name in resume}, consumed)


def describe(root: Path, release: Release, clips: int) -> None:
    """Prints what a sample is."""
    whole = sum(shard.bytes for shard in release.shards) / clips
    picture = picture_bytes(root, release)
    print(f"{clips} clips × {FRAMES} frames: {whole / 1e6:.1f} MB a sample, {picture / 1e3:.0f} kB a picture;")
    print(f"a window reads {WINDOW + 1} pictures, the small arrays and {WINDOW} maps\n", flush=True)


def picture_bytes(root: Path, release: Release) -> int:
    """Bytes of the first picture of the first shard."""
    import pyarrow.parquet as pq

    index = pq.read_table(root / release.shards[0].index_path, use_threads=False).to_pylist()
    return next(row["size"] for row in index if row["member"] == frame_member(0))


def report(rounds: list[dict[str, list[float]]], resume: dict[str, float], consumed: int) -> None:
    """Prints the tables: medians of the rounds, and the ratios' least and greatest. Ratios are ours over theirs: above
    1, ours is faster.
    """
    print(f"  {'':32s} {'samples/s':>10s} {'samples/CPU s':>14s} {'ratio':>8s}   (rounds: {len(rounds)})")
    for name in rounds[0]:
        work = "small" if "small" in name else "undecoded" if "undecoded" in name else "window"
        wall, cpu = (statistics.median(figures[name][i] for figures in rounds) for i in (0, 1))
        ratios = [figures[f"ours {work}"][1] / figures[name][1] for figures in rounds]
        spread = f"{statistics.median(ratios):7.2f}×   ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"  {name:32s} {wall:10.1f} {cpu:14.1f} {spread}")
    print(f"\nseconds to go on after {consumed} small samples")
    for name, seconds in resume.items():
        print(f"  {name:32s} {seconds:10.6f} {seconds / resume['ours resume, from nothing']:6.1f}×")


if __name__ == "__main__":
    main()
