"""Errors of the reader. Each message names the file or setting, the cause and the next step."""


class DatasetError(RuntimeError):
    """A dataset or release that cannot be opened or read as asked."""


class ShardError(RuntimeError):
    """A shard, its index or one of its samples that breaks the contract of `schemas.sample` or `schemas.release`."""


class StateError(RuntimeError):
    """A saved reader state that does not belong to this dataset and these settings."""
