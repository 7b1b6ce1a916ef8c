"""From boxes and keypoints found frame by frame to people who keep their identity through a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MAX_GAP = 15
"""Frames a person may be missing and still be the same."""
MIN_OVERLAP = 0.2
"""Intersection over union of boxes that follow each other, per frame of distance the more lenient."""


@dataclass(frozen=True)
class Found:
    """Something found in one frame. box: float64 [4], x0 y0 x1 y1 in frame pixels; score: 0–1; points: float32
    [K, 3], x, y in frame pixels and score.
    """

    box: np.ndarray
    score: float
    points: np.ndarray


@dataclass
class _Track:
    frames: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    box: np.ndarray = field(default_factory=lambda: np.zeros(4))
    weight: float = 0.0


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), -1)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), -1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def suppress(boxes: np.ndarray, scores: np.ndarray, limit: float) -> np.ndarray:
    """Non-maximum suppression: indices of the boxes kept, best first; those that overlap a kept one by more than
    `limit` are left out. boxes: [N, 4]; scores: [N].
    """
    order = np.argsort(-scores, kind="stable")
    common = overlap(boxes[order], boxes[order])
    kept: list[int] = []
    for i in range(len(order)):
        if not (common[i, kept] > limit).any():
            kept.append(i)
    return order[kept]


def follow_people(frames: Sequence[Sequence[Found]], count: int) -> list[list[int | None]]:
    """The `count` most prominent people of a clip: for each, the index of what was found in each frame, or None.

    Prominence is the sum over frames of score × box height. A person who is lost for longer than MAX_GAP goes on as
    the most prominent one who appears after, as far as their frames do not overlap.
    """
    tracks = sorted(_link(frames), key=lambda track: (-track.weight, track.frames[0]))
    people: list[list[int | None]] = []
    for _ in range(count):
        person: list[int | None] = [None] * len(frames)
        rest = []
        for track in tracks:
            if any(person[i] is not None for i in range(track.frames[0], track.frames[-1] + 1)):
                rest.append(track)
                continue
            for frame, index in zip(track.frames, track.chosen, strict=True):
                person[frame] = index
        tracks = rest
        people.append(person)
    return people


def _link(frames: Sequence[Sequence[Found]]) -> list[_Track]:
    """Tracks of boxes that overlap from frame to frame, the best matches first."""
    done: list[_Track] = []
    live: list[_Track] = []
    for number, found in enumerate(frames):
        done += [track for track in live if number - track.frames[-1] > MAX_GAP]
        live = [track for track in live if number - track.frames[-1] <= MAX_GAP]
        boxes = np.array([f.box for f in found]).reshape(-1, 4)
        common = overlap(np.array([t.box for t in live]).reshape(-1, 4), boxes)
        free = set(range(len(found)))
        matched: set[int] = set()
        for place in np.argsort(-common, axis=None, kind="stable"):
            row, column = (int(v) for v in np.unravel_index(place, common.shape))
            if row in matched or column not in free:
                continue
            if common[row, column] < MIN_OVERLAP / (number - live[row].frames[-1]):
                continue
            matched.add(row)
            free.discard(column)
            _extend(live[row], number, column, found[column])
        for column in sorted(free):
            track = _Track()
            _extend(track, number, column, found[column])
            live.append(track)
    return done + live


def _extend(track: _Track, frame: int, index: int, found: Found) -> None:
    track.frames.append(frame)
    track.chosen.append(index)
    track.box = found.box
    track.weight += found.score * float(found.box[3] - found.box[1])


def face_of(person: Found, faces: Sequence[Found]) -> int | None:
    """The face of a person: of those whose middle lies in the person's box (a tenth larger), the nearest to the nose
    where that is known, else the best; None if there is none.
    """
    margin = 0.1 * (person.box[2:] - person.box[:2])
    low, high = person.box[:2] - margin, person.box[2:] + margin
    inside = []
    for index, face in enumerate(faces):
        middle = (face.box[:2] + face.box[2:]) / 2
        if (middle >= low).all() and (middle <= high).all():
            nose = person.points[0, :2]
            away = float(np.linalg.norm(middle - nose)) if np.isfinite(nose).all() else -face.score
            inside.append((away, index))
    return min(inside)[1] if inside else None


def hands_of(person: Found, hands: Sequence[Found]) -> tuple[int | None, int | None]:
    """The (left, right) hand of a person: those whose wrists lie nearest to the body's, within a quarter of the
    person's box diagonal; no hand is taken twice.
    """
    reach = 0.25 * float(np.linalg.norm(person.box[2:] - person.box[:2]))
    pairs = sorted(
        (float(np.linalg.norm(hand.points[0, :2] - person.points[wrist, :2])), side, index)
        for side, wrist in enumerate((9, 10))
        for index, hand in enumerate(hands)
    )
    chosen: list[int | None] = [None, None]
    for distance, side, index in pairs:
        if distance <= reach and chosen[side] is None and index not in chosen:
            chosen[side] = index
    return chosen[0], chosen[1]
