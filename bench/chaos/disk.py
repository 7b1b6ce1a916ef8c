"""Full and read-only disks: a file system in memory (tmpfs) of a chosen size under the dataset. Mounting needs root."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.chaos import builds
from bench.chaos.ground import Ground, NotPossibleError

SHARES = (0.03, 0.5, 0.97)
"""Sizes of the disk as shares of what the dataset takes, each made smaller by chance: catalog, artifacts, shards."""
MINIMUM = 65_536
ROOMY = 512_000_000


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(folder)]).returncode != 0:
        raise NotPossibleError("mounting a tmpfs is not allowed here (it needs root)")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, option: str, *, patience_s: float = 60.0) -> None:
    """Changes a mount; a switch to read-only waits for a moment in which no file is open for writing."""
    deadline = time.monotonic() + patience_s
    while (done := subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], capture_output=True)).returncode:
        if time.monotonic() > deadline:
            raise NotPossibleError(f"remount,{option}: {done.stderr.decode().strip()}")
        time.sleep(0.02)


def used(folder: Path) -> int:
    """Bytes that a folder takes on a tmpfs: whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def full_disk(ground: Ground) -> str:
    """A build on a disk that is too small, grown a little again and again: refused each time, then identical."""
    rng, whole = ground.rng("full disk"), used(ground.folder / "quiet")
    folder = ground.folder / "full"
    with tmpfs(folder, MINIMUM):
        root = folder / "dataset"
        for share in SHARES:
            size = max(int(whole * share * rng.uniform(0.9, 1.0)), MINIMUM)
            remount(folder, f"size={size}")
            said = ground.must_be_refused(*ground.build(root), "No space left on device")
            print(f"  {size} of {whole} bytes: {said}", flush=True)
        remount(folder, f"size={ROOMY}")
        ground.must_be_identical(root, *ground.build(root))
    return f"tmpfs of {', '.join(map(str, SHARES))} of the need: refused each time by name; byte-identical with room"


def read_only_disk(ground: Ground) -> str:
    """A disk that turns read-only in mid-build, and a build that begins on one: refused, then identical."""
    rng, moments = ground.rng("read-only disk"), 1
    for number in range(moments):
        folder = ground.folder / f"readonly-{number}"
        with tmpfs(folder, ROOMY):
            root = folder / "dataset"
            process = builds.start_build(root, ground.videos, ground.config)
            wait_for_artifacts(root, rng.randint(1, len(ground.quiet.artifacts) - 2), process)
            remount(folder, "ro")
            words = ("Read-only file system", "read-only")
            print(f"  {ground.must_be_refused(*builds.finish(process), *words)[:200]}", flush=True)
            print(f"  {ground.must_be_refused(*ground.build(root), *words)[:200]}", flush=True)
            remount(folder, "rw")
            ground.must_be_identical(root, *ground.build(root))
    return f"{moments} disks made read-only at random moments: refused, refused again, byte-identical once writable"


def wait_for_artifacts(root: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Returns once a running build has made `count` artifacts (or has ended). Raises RuntimeError after LIMIT_S."""
    deadline = time.monotonic() + builds.LIMIT_S
    while process.poll() is None and sum(1 for _ in root.glob("artifacts/**/*.parquet")) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a build has not made {count} artifacts in {builds.LIMIT_S:g} s")
        time.sleep(0.02)
