"""Asking a store again that throttles, or whose answer was lost."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from train.data.errors import DatasetError, ShardError

logger = logging.getLogger(__name__)

T = TypeVar("T")
FINAL = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
    ValueError,
    DatasetError,
    ShardError,
)
"""Errors that trying again does not mend."""


def again(
    what: str,
    action: Callable[[], T],
    *,
    attempts: int,
    failure: type[Exception],
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """What `action` gives, tried `attempts` times in all with pauses of 0.5, 1, 2, … 30 s. Errors that are final go on
    as they are; after the last try `failure` is raised, which names `what` and the last error.
    """
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except FINAL:
            raise
        except Exception as error:
            if attempt == attempts:
                raise failure(f"{what}: {attempt} tries failed, the last with: {error!r}") from error
            wait = min(30.0, 0.5 * 2 ** (attempt - 1))
            logger.warning("%s: %r; trying again in %.1f s", what, error, wait)
            pause(wait)
    raise AssertionError("unreachable: attempts ≥ 1")
