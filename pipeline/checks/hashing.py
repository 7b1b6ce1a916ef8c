"""Perceptual hashes of frames, and the search for equal ones among many. Pure.

A hash is the signs of the lowest 16 × 16 cosine coefficients of a 64 × 64 grey picture against their median (the
"pHash" of Zauner, 2010, with 256 bits instead of 64): re-encoding, scaling and slight changes of colour turn few bits.
"""

from collections.abc import Sequence

import cv2
import numpy as np

BITS = 256
_SIDE, _LOW = 64, 16
_FLAT = 4.0  # grey levels of standard deviation below which a picture (black, fog) has no structure to hash
_BANDS = 16
_SHUFFLED = np.random.default_rng(0).permutation(BITS)


def frame_hash(image: np.ndarray) -> bytes:
    """32 bytes for a picture uint8 RGB [H, W, 3]; b"" for one without structure."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if float(grey.std()) < _FLAT:
        return b""
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_LOW, :_LOW].reshape(-1)
    return np.packbits(low > np.median(low[1:])).tobytes()


def distance(first: bytes, second: bytes) -> int:
    """Bits that differ."""
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


def near_pairs(hashes: Sequence[bytes], groups: Sequence[int], limit: int) -> list[tuple[int, int, int]]:
    """(i, j, bits) of all pairs i < j of hashes in different groups that differ in at most `limit` bits.

    Exact for limit < 16: among 16 bands of 16 bits, two such hashes agree in at least one, so only hashes that share a
    band are compared. Raises ValueError for a larger limit.
    """
    if limit >= _BANDS:
        raise ValueError(f"near_pairs finds all pairs up to {_BANDS - 1} bits apart, not {limit}")
    if not hashes:
        return []
    # Neighbouring coefficients agree with each other; shuffled, every band tells clips apart equally well.
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1)
    words = np.ascontiguousarray(np.packbits(bits[:, _SHUFFLED], axis=1)).view(np.uint16)
    wide = np.frombuffer(b"".join(hashes), np.uint64).reshape(len(hashes), BITS // 64)
    group = np.asarray(groups)
    found: dict[tuple[int, int], int] = {}
    for band in range(_BANDS):
        order = np.argsort(words[:, band], kind="stable")
        starts = np.flatnonzero(np.diff(words[order, band], prepend=-1, append=-1).astype(bool))
        first, stop = starts[:-1], starts[1:]
        mixed = np.minimum.reduceat(group[order], first) != np.maximum.reduceat(group[order], first)
        for bucket in (order[a:b] for a, b in zip(first[mixed], stop[mixed], strict=True)):
            largest = np.bincount(group[bucket]).argmax()
            for i in bucket[group[bucket] != largest]:  # each pair of groups has one member outside the largest
                others = bucket[group[bucket] != group[i]]
                apart = np.bitwise_count(wide[others] ^ wide[i]).sum(axis=1)
                for j, count in zip(others[apart <= limit], apart[apart <= limit], strict=True):
                    found[min(int(i), int(j)), max(int(i), int(j))] = int(count)
    return [(i, j, bits) for (i, j), bits in sorted(found.items())]
