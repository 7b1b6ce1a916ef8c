"""Errors of the reader. Each message names the file or setting, the cause and the next step."""


class DatasetError(RuntimeError):
    """A dataset or release that cannot be opened or read as asked."""


class ShardError(RuntimeError):
    """A shard, its index or one of its samples that breaks the contract of `schemas.sample` or `schemas.release`."""


class StateError(RuntimeError):
    """A saved reader state that does not belong to this dataset and these settings."""


def broken_member(place: str, member: str, cause: Exception | str) -> ShardError:
    """The error for one member of a sample; place: shard and clip."""
    return ShardError(f"{place}: {member}: {cause}. Compare the shard with its .sha256 file, and copy or pack it again")
