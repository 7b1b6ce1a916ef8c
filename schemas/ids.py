"""Identifiers and seeds. All are pure functions of content, so that a rerun anywhere gives the same ones."""

import hashlib
import re

SOURCE_ID_LENGTH = 16
CLIP_ID = re.compile(r"^[0-9a-f]{16}_[0-9]{6,}_[0-9]{4,}$")


def clip_id(source_id: str, first_frame: int, frame_count: int) -> str:
    """`<source>_<first frame>_<frames>`, frames counted on the source's constant-rate timeline.

    No dots: WebDataset splits a sample's name from its member at the first one. Zeros fill small numbers up and larger
    ones grow, so that ids sort by time within a source's first million frames only: nothing may rely on it.
    """
    return f"{source_id[:SOURCE_ID_LENGTH]}_{first_frame:06d}_{frame_count:04d}"


def seed_from(*parts: str | int) -> int:
    """A 63-bit seed from any names, stable across machines and Python versions."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def reference_indices(clip: str, length: int, count: int = 2) -> tuple[int, ...]:
    """Frames that serve as reference pictures of a clip: one from its first tenth, one from its last, alternating.

    The trainer takes a window that excludes the chosen one, which a reference at either end leaves room for. Those of
    a smaller count are among those of a larger one.
    """
    tenth = max(1, length // 10)
    chosen: list[int] = []
    for number in range(count):
        start = 0 if number % 2 == 0 else length - tenth
        free = [i for i in range(start, start + tenth) if i not in chosen] or [
            i for i in range(length) if i not in chosen
        ]
        if not free:
            break
        chosen.append(free[seed_from("reference", clip, number) % len(free)])
    return tuple(sorted(chosen))


def frame_step(length: int, wanted: int = 3, window: int = 24) -> int:
    """The largest step up to `wanted` with which `window` frames and one reference outside them fit a clip.

    A clip of fewer than `window + 1` frames serves single-frame training only; its step is 1.
    """
    return max(1, min(wanted, (length - 2) // (window - 1)))
