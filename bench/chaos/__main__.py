"""The fault campaign: every fault, one after another, each judged by the quiet run's bytes.

    python -m bench.chaos --seed 7 --only kills,full-disk

Ends with 0 if every fault ended soundly, 1 if any did silent damage or could not be judged, 3 if all that were run
ended soundly but some cannot be made on this machine (the disks need root). A seed repeats which bytes are hurt, which
victims are drawn and when; the moments of kills depend on the machine too.
"""

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from bench.chaos.damage import damaged_artifacts, damaged_shards
from bench.chaos.disk import full_disk, read_only_disk
from bench.chaos.ground import Ground, NotPossibleError, SilentDamageError
from bench.chaos.kills import head_node, kills
from bench.chaos.memory import out_of_memory
from bench.chaos.slow import slow_storage

End = Literal["sound", "not run", "DAMAGE", "FAILED"]
"""DAMAGE: silent damage. FAILED: the campaign itself could not go on, so that nothing can be said of the fault."""


class Exit(IntEnum):
    """How a campaign ends."""

    SOUND = 0
    FAILED = 1
    INCOMPLETE = 3


def judge(fault: Callable[[Ground], str], ground: Ground) -> tuple[End, str]:
    """Makes one fault; says how it ended, and what was seen or what stood in the way."""
    try:
        return "sound", fault(ground)
    except NotPossibleError as error:
        return "not run", str(error)
    except SilentDamageError as error:
        return "DAMAGE", str(error)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # the others are still to be made
        return "FAILED", f"{type(error).__name__}: {error}"


def verdict(ends: Mapping[str, End]) -> tuple[Exit, str]:
    """Exit status and last line of a campaign. ends: by fault."""
    named = {end: [name for name in ends if ends[name] == end] for end in ("sound", "not run", "DAMAGE", "FAILED")}
    counts = [f"{len(named['sound'])} of {len(ends)} faults ended soundly"]
    counts += [f"{end}: {', '.join(names)}" for end, names in named.items() if names and end != "sound"]
    if named["DAMAGE"] or named["FAILED"]:
        return Exit.FAILED, "; ".join(counts)
    return (Exit.INCOMPLETE if named["not run"] else Exit.SOUND), "; ".join(counts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default="", help="names of faults, separated by commas")
    arguments = parser.parse_args()
    faults: dict[str, Callable[[Ground], str]] = {
        "kills": partial(kills, count=arguments.kills),
        "head-node": head_node,
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
    ends: dict[str, End] = {}
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
            ends[name], text = judge(faults[name], ground)
            print(f"{name}: {ends[name]}: {text[:300] if ends[name] == 'sound' else text}", flush=True)
            table.add_row(name, ends[name], text[:300], f"{time.monotonic() - began:.0f}")
    Console(width=160).print(table)
    status, line = verdict(ends)
    print(line, flush=True)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
