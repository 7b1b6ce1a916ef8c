"""Truncated and bit-flipped artifacts and shards: named by `verify`, refused by whoever reads them, and mended."""

import shutil
from pathlib import Path
from random import Random

from bench.chaos import builds
from bench.chaos.disk import wait_for_artifacts
from bench.chaos.ground import Ground, SilentDamageError

HITS = 12
HALF_BUILT = 2


def hurt(path: Path, rng: Random) -> str:
    """Flips one bit of a file or cuts it off, anywhere."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.5:
        data[place] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        return f"bit flipped at {place} of {len(data)}"
    path.write_bytes(data[:place])
    return f"cut to {place} of {len(data)} bytes"


def damaged_artifacts(ground: Ground) -> str:
    """Damage after a build (verify names it), and in the middle of one (readers refuse, a rerun mends)."""
    rng = ground.rng("damaged artifacts")
    root = ground.copy("artifacts")
    paths = [path for path in sorted(ground.quiet.artifacts) if "/pack/" not in path]
    for path in (victims := rng.sample(paths, min(HITS, len(paths)))):
        hurt(root / path, rng)
    code, output = builds.run("verify", "--dataset", root)
    unnoticed = [path for path in victims if path not in output]
    if code != 4 or unnoticed:
        raise SilentDamageError(f"verify ended with {code} and does not name {unnoticed}:\n{output}")
    builds.run("verify", "--dataset", root, "--repair")
    ground.must_be_identical(root, *ground.build(root))
    refused = sum(_half_built(ground, f"half-{number}", rng) for number in range(HALF_BUILT))
    return (
        f"{len(victims)} finished artifacts: all named, repaired, byte-identical; {HALF_BUILT} builds killed half-way "
        f"with half of the artifacts damaged: {refused} needed `verify --repair`, all byte-identical in the end"
    )


def _half_built(ground: Ground, name: str, rng: Random) -> bool:
    """Kills a build half-way, damages half of what it has made, runs it again. Returns whether it took a repair."""
    root = ground.folder / name
    process = builds.start_build(root, ground.videos, ground.config)
    wait_for_artifacts(root, rng.randint(2, len(ground.quiet.artifacts) - 1), process)
    builds.kill_session(process.pid)
    builds.finish(process)
    made = sorted(root.glob("artifacts/**/*.parquet"))
    for path in (victims := rng.sample(made, (len(made) + 1) // 2)):
        hurt(path, rng)
    code, output = ground.build(root)
    print(f"  {len(victims)} of {len(made)} artifacts damaged; the rerun ended with {code}", flush=True)
    if code == 0:
        # What had not been recorded was made again; what had been, and is read by nobody any more, verify finds.
        code, text = builds.run("verify", "--dataset", root)
        if code == 0:
            ground.must_be_identical(root, code, output)
            return False
        wrong = {k for k, v in ground.quiet.shards.items() if builds.Dataset.read(root).shards.get(k) != v}
        if wrong:
            raise SilentDamageError(f"damage went into {wrong}:\n{output}\n{text}")
    else:
        ground.must_be_refused(code, output, "mikudance verify")
    builds.run("verify", "--dataset", root, "--repair")
    ground.must_be_identical(root, *ground.build(root))
    return True


def damaged_shards(ground: Ground) -> str:
    """Every file of every shard in turn: verify names it, and a build without it and its release makes it again."""
    rng = ground.rng("damaged shards")
    root = ground.copy("shards")
    for path in sorted(ground.quiet.shards):
        how = hurt(root / path, rng)
        code, output = builds.run("verify", "--dataset", root)
        stem = path.removesuffix(".index.parquet").removesuffix(".sha256").removesuffix(".tar")
        if code != 4 or stem not in output:
            raise SilentDamageError(f"{path}, {how}: verify ended with {code}:\n{output}")
        shutil.copyfile(ground.folder / "quiet" / path, root / path)
    ground.must_be_sound(root)
    lost = rng.choice([path for path in sorted(ground.quiet.shards) if path.endswith(".tar")])
    for path in (lost, *ground.quiet.releases):
        (root / path).unlink()
    ground.must_be_identical(root, *ground.build(root))
    return f"{len(ground.quiet.shards)} files of shards, each cut or flipped in turn: all named; a lost one made again"
