"""Opening a release of a dataset, and checking that its shards are the ones it names."""

import hashlib
import re
from collections.abc import Iterator

from pydantic import ValidationError

from schemas.ids import CLIP_ID
from schemas.release import Release, ShardEntry, newest_number, release_path
from train.data.errors import DatasetError, ShardError
from train.data.fetch import Store

MAX_RELEASE_BYTES = 512 << 20
SHARD_PATH = re.compile(r"^shards/(?:[A-Za-z0-9_=-][A-Za-z0-9._=-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*\.tar$")
HASH_CHUNK = 8 << 20


def newest_release_number(store: Store) -> int:
    """The highest release number, 0 if there is none."""
    return newest_number(lambda number: store.exists(release_path(number)))


def load_release(store: Store, number: int | None = None, digest: str = "") -> Release:
    """Release `number`, or the newest. Raises DatasetError where it is absent, malformed, or not of the wanted
    `digest`, and ShardError for an entry that cannot be trusted (a path outside shards/, lists that do not fit).
    """
    if number is None or not store.exists(release_path(number)):
        newest = newest_release_number(store)
        if not newest:
            raise DatasetError(f"{store.root}: no releases/NNNN.json here; give the dataset's root or pack a release")
        if number is not None:
            raise DatasetError(f"{store.root}: no release {number}; the newest is {newest}")
        number = newest
    path = release_path(number)
    try:
        release = Release.model_validate_json(store.read_file(path, MAX_RELEASE_BYTES))
    except ValidationError as error:
        raise DatasetError(f"{store.root}/{path}: not a release of schema version 1: {error}") from error
    if release.number != number:
        raise DatasetError(f"{store.root}/{path}: holds release {release.number}: the file was renamed or copied over")
    if digest and release.digest() != digest:
        raise DatasetError(f"{store.root}/{path}: digest is {release.digest()}, the settings ask for {digest}")
    seen: set[str] = set()
    for shard in release.shards:
        _check_entry(shard, path)
        twice = seen.intersection(shard.samples)
        if twice:
            raise ShardError(f"{path}: clip {min(twice)} stands in two shards, the second is {shard.path}")
        seen.update(shard.samples)
    return release


def verify_shards(store: Store, release: Release) -> Iterator[str]:
    """Reads every shard whole and yields a line for each whose sha256 is not the release's. Takes as long as reading
    the dataset does: for an audit, not for the start of a run.
    """
    for shard in release.shards:
        total = hashlib.sha256()
        try:
            for offset in range(0, shard.bytes, HASH_CHUNK):
                total.update(store.read(shard, [(offset, min(HASH_CHUNK, shard.bytes - offset))])[0])
        except (DatasetError, ShardError) as error:
            yield str(error)
            continue
        if total.hexdigest() != shard.sha256:
            yield f"{shard.path}: sha256 is {total.hexdigest()}, the release says {shard.sha256}"


def _check_entry(shard: ShardEntry, path: str) -> None:
    if not SHARD_PATH.fullmatch(shard.path) or ".." in shard.path.split("/"):
        raise ShardError(f"{path}: shard path {shard.path!r} is refused: shards lie under shards/ and end in .tar")
    if not len(shard.samples) == len(shard.frames) == len(shard.frame_steps):
        raise ShardError(f"{path}: {shard.path} lists {len(shard.samples)} samples, but frames or steps of others")
    if shard.bytes < 0 or len(set(shard.samples)) != len(shard.samples):
        raise ShardError(f"{path}: {shard.path} lists a sample twice or has a negative size")
    for sample, frames, step in zip(shard.samples, shard.frames, shard.frame_steps, strict=True):
        if not CLIP_ID.fullmatch(sample) or frames < 1 or step < 1:
            raise ShardError(f"{path}: {shard.path} lists {sample!r} of {frames} frames at step {step}: not a clip")
