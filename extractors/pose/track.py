"""Following one person through a clip: search where nobody is known, read around where the person was."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, pi

import numpy as np

from extractors.pose.fuse import Consensus, consensus
from extractors.pose.networks import Detector
from extractors.pose.readings import Reader, Reading, roi_around, usable
from extractors.pose.roi import Roi, from_alignment

Variant = tuple[float, float, float, float]
"""How a region is varied: factor of its side, shifts right and down as shares of it, turn in radians."""

_WIDE: tuple[Variant, ...] = (
    (0.75, 0.0, 0.0, 0.0),
    (0.87, 0.05, -0.05, 0.15),
    (1.0, 0.0, 0.08, -0.15),
    (1.15, -0.06, 0.0, 0.1),
    (1.3, 0.0, 0.0, -0.1),
    (1.5, 0.05, 0.05, 0.0),
)
_FORWARD: tuple[Variant, ...] = ((0.86, 0, 0, 0), (1, 0.05, 0.03, 0.12), (1.2, -0.04, -0.05, -0.12), (1, 0, 0.06, 0))
_BACKWARD: tuple[Variant, ...] = (
    (0.93, 0.04, -0.04, -0.15),
    (1.1, 0, 0.05, 0.1),
    (0.8, -0.03, 0.03, 0),
    (1.3, 0, 0, 0),
)


@dataclass(frozen=True)
class SearchPlan:
    """every: frames between searches while nobody is followed, again: while somebody is. detect: lowest detector score
    that is followed up; sides: of the regions tried blindly, as shares of the frame's shorter side; step: their
    distance as a share of their side; finalists: how many are looked at closely; support: below it a person is not
    believed; lost: below it a followed person is lost; shortest: frames that a person must last.
    """

    every: int
    again: int

    detect: float
    sides: tuple[float, ...]
    step: float
    finalists: int
    support: float
    lost: float
    shortest: int


def search(reader: Reader, detector: Detector, frame: int, plan: SearchPlan) -> list[Reading]:
    """Readings of the main person in one frame; empty if there is none to be believed.

    Regions come from detections at several scales and from a blind grid. The best are read closer, and the one on which
    regions of different size, place and turn agree best wins.
    """
    image, (width, height) = reader.frames[frame], reader.size
    regions: list[Roi] = []
    for tile in tiles(width, height):
        for found in detector(image, tile, plan.detect)[:3]:
            regions.append(from_alignment(found.points[0], found.points[1], pi / 2, 1.1))
    regions += [*grid(width, height, plan), *close_ups(width, height)]
    regions = [roi for roi in regions if usable(roi, reader.size)]
    readings = [reader(frame, roi, mirrored=bool(i % 2)) for i, roi in enumerate(regions)]
    best: list[Reading] = []
    top = 0.0
    for reading in finalists(readings, plan.finalists):
        close = read_around(reader, frame, reading.points, reading.confidence, _FORWARD)
        if not close:
            continue
        joined = consensus(close)
        close = read_around(reader, frame, joined.points, joined.confidence, _WIDE)
        support = consensus(close).support if close else 0.0
        if support > max(top, plan.support):
            best, top = close, support
    return best


def finalists(readings: list[Reading], count: int) -> list[Reading]:
    """The best readings, none on the same body as a better one."""
    found: list[Reading] = []
    for reading in sorted(readings, key=lambda r: -(r.quality + 0.2 * r.score)):
        extent = float(np.linalg.norm(np.ptp(reading.points, axis=0)))
        far = (float(np.median(np.linalg.norm(reading.points - other.points, axis=-1))) for other in found)
        if all(distance > 0.1 * extent for distance in far):
            found.append(reading)
        if len(found) == count:
            break
    return found


def tiles(width: int, height: int) -> Iterable[Roi]:
    """Square regions for the detector: the whole frame (padded), then parts of it that overlap."""
    yield Roi((width - 1) / 2, (height - 1) / 2, max(width, height))
    side = 0.6 * max(width, height)
    for y in _spread(height, side):
        for x in _spread(width, side):
            yield Roi(x, y, side)


def grid(width: int, height: int, plan: SearchPlan) -> list[Roi]:
    """Square regions that cover the frame at several scales; their centres lie in the frame."""
    found = []
    for share in plan.sides:
        side = share * min(width, height)
        found += [
            Roi(x, y, side) for y in _centres(height, plan.step * side) for x in _centres(width, plan.step * side)
        ]
    return found


def close_ups(width: int, height: int) -> list[Roi]:
    """Regions of figures that are cut off at the hips or thighs: larger than the frame, centred near its lower edge."""
    shares = [(x, y) for y in (0.8, 1.0) for x in (0.3, 0.5, 0.7)]
    side = min(width, height)
    return [Roi(x * width, y * height, factor * side) for factor in (1.6, 2.1) for x, y in shares]


def _spread(length: int, side: float) -> list[float]:
    """Centres of as many regions of a side as cover a length, flush with its ends."""
    if side >= length:
        return [(length - 1) / 2]
    count = ceil((length - side) / (0.7 * side)) + 1
    return [float(v) for v in np.linspace(side / 2, length - side / 2, count) - 0.5]


def _centres(length: int, step: float) -> list[float]:
    count = max(1, round(length / step))
    return [(i + 0.5) * length / count - 0.5 for i in range(count)]


def read_around(
    reader: Reader, frame: int, points: np.ndarray, confidence: np.ndarray, variants: tuple[Variant, ...]
) -> list[Reading]:
    """Readings of variants of the region around a body, every other one mirrored."""
    base = roi_around(points, confidence)
    found = []
    for i, (factor, right, down, turn) in enumerate(variants):
        roi = base.shifted(right, down).scaled(factor).turned(turn)
        if usable(roi, reader.size):
            found.append(reader(frame, roi, mirrored=bool((i + frame) % 2)))
    return found


def read_clip(reader: Reader, detector: Detector, plan: SearchPlan) -> list[list[Reading]]:
    """Readings of the main person in every frame; a frame without any is one where nobody is believed to be.

    Forward first, searching where nobody is followed (every `plan.every` frames) and now and then in any case
    (`plan.again`), then backward from wherever the forward pass had somebody.
    """
    length = len(reader.frames)
    pool: list[list[Reading]] = [[] for _ in range(length)]
    current: Consensus | None = None
    for frame in range(length):
        current = _step(reader, frame, current, pool[frame], _FORWARD, plan.lost)
        due = plan.again if current is not None else plan.every
        if frame % due == 0 or frame == length - 1:
            found = search(reader, detector, frame, plan)
            if found and (current is None or consensus(found).support > current.support + 0.1):
                current = consensus(found)
                pool[frame] = found
    current = None
    for frame in range(length - 1, -1, -1):
        before = consensus(pool[frame]) if pool[frame] else None
        current = _step(reader, frame, current, pool[frame], _BACKWARD, plan.lost)
        if before is not None and (current is None or before.support > current.support + 0.1):
            current = before
    return [readings if keep else [] for readings, keep in zip(pool, _lasting(pool, plan), strict=True)]


def _lasting(pool: list[list[Reading]], plan: SearchPlan) -> list[bool]:
    """Which frames belong to a run in which the person is believed: long enough, and supported well on the whole.

    What the network imagines for a moment does not last; one that does last is supported poorly.
    """
    support = [consensus(readings).support if readings else 0.0 for readings in pool]
    keep = [False] * len(pool)
    start = 0
    for frame in range(len(pool) + 1):
        if frame == len(pool) or not pool[frame]:
            run = support[start:frame]
            if len(run) >= min(plan.shortest, len(pool)) and float(np.median(run)) >= plan.support:
                keep[start:frame] = [True] * len(run)
            start = frame + 1
    return keep


def _step(
    reader: Reader,
    frame: int,
    current: Consensus | None,
    pool: list[Reading],
    variants: tuple[Variant, ...],
    lost: float,
) -> Consensus | None:
    """Reads a frame around where the person was in the one before; adds to the pool unless the person is lost."""
    if current is None:
        return None
    found = read_around(reader, frame, current.points, current.confidence, variants)
    joined = consensus(found) if found else None
    if joined is None or joined.support < lost:
        return None
    pool += found
    return joined
