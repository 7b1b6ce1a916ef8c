"""A trained network that lies in an object store, for whoever opens it: fetched once into this machine's cache."""

import fcntl
from pathlib import Path

from schemas.cache import cache_folder, uri_name
from train.checkpoint import CheckpointError
from train.run_store import find_folder
from train.weights.config import place


def local_export(checkpoint: str) -> Path:
    """The folder of an export on this machine.

    checkpoint: a folder; or the URI of a run (its newest export is taken) or of one export in it
    (`s3://bucket/stage2/export/step-00060000`). Raises CheckpointError where the store names none, does not answer or
    cannot be copied from.
    """
    where = place(checkpoint)
    if isinstance(where, Path):
        return where
    store, stored = find_folder(where, exports_only=True)
    folder = cache_folder("exports") / uri_name(store.uri) / stored.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.parent / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # processes of one machine fetch once, not each for itself
            store.get_folder(stored, folder)
    except OSError as error:
        raise CheckpointError(
            f"{store.uri}/{stored.name} cannot be copied to {folder}: {error}; free space there, or set "
            "MIKUDANCE_CACHE to another folder"
        ) from error
    return folder
