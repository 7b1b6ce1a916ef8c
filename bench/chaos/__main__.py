"""The fault campaign: every fault, one after another, each judged by the quiet run's bytes.

    python -m bench.chaos --seed 7 --only kills,full-disk

Ends with 1 if any fault did silent damage. A seed repeats which bytes are hurt, which victims are drawn and when; the
moments of kills depend on the machine too.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.chaos.damage import damaged_artifacts, damaged_shards
from bench.chaos.disk import full_disk, read_only_disk
from bench.chaos.ground import Ground, NotPossibleError, SilentDamageError
from bench.chaos.kills import kills
from bench.chaos.memory import out_of_memory
from bench.chaos.slow import slow_storage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default="", help="names of faults, separated by commas")
    arguments = parser.parse_args()
    faults: dict[str, Callable[[Ground], str]] = {
        "kills": partial(kills, count=arguments.kills),
        "full-disk": full_disk,
        "read-only-disk": read_only_disk,
        "damaged-artifacts": damaged_artifacts,
        "damaged-shards": damaged_shards,
        "slow-storage": slow_storage,
        "out-of-memory": out_of_memory,
    }
    chosen = arguments.only.split(",") if arguments.only else list(faults)
    if unknown := [name for name in chosen if name not in faults]:
        parser.error(f"unknown faults {unknown}: choose from {list(faults)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"seed {arguments.seed}", flush=True)
    table = Table("fault", "end", "what was seen", "s", title=f"Fault campaign, seed {arguments.seed}")
    damage = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        ground = Ground.prepare(Path(folder), arguments.seed)
        clips = len({p for p in ground.quiet.artifacts if "/stylize/" in p})
        print(
            f"quiet run: {clips} clips, {len(ground.quiet.artifacts)} artifacts, {len(ground.quiet.shards)} files of "
            f"shards, {ground.quiet.bytes()} bytes, {ground.length:.0f} s",
            flush=True,
        )
        for name in chosen:
            print(f"== {name}", flush=True)
            began = time.monotonic()
            try:
                end, text = "sound", faults[name](ground)
            except NotPossibleError as error:
                end, text = "not run", str(error)
            except SilentDamageError as error:
                end, text, damage = "DAMAGE", str(error), damage + 1
                print(text, file=sys.stderr, flush=True)
            print(f"{name}: {end}: {text[:300]}", flush=True)
            table.add_row(name, end, text[:300], f"{time.monotonic() - began:.0f}")
    Console(width=160).print(table)
    return 1 if damage else 0


if __name__ == "__main__":
    raise SystemExit(main())
