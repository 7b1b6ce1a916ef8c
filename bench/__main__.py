"""Runs every benchmark in a process of its own and prints their lines; a failing one does not hide the others."""

import subprocess
import sys

BENCHES = (
    ("bench.decode",),
    ("bench.drawing",),
    ("bench.feature_cache",),
    ("bench.pipeline", "overhead"),
    ("bench.pipeline", "memory"),
    ("bench.pipeline", "noop"),
    ("bench.reader",),
    ("bench.scale", "run", "--sizes", "100,300"),
    ("bench.train_step",),
)


def main() -> int:
    failed = 0
    for module, *arguments in BENCHES:
        print(f"== {' '.join((module, *arguments))}", flush=True)
        failed += subprocess.run([sys.executable, "-m", module, *arguments]).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
