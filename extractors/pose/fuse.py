"""Many readings of a clip made into one motion: joints vote frame by frame, and a path through the votes is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extractors.pose.layout import BODY_FROM_POSE
from extractors.pose.readings import Reading

_BODY = list(BODY_FROM_POSE)
_VOTE_WIDTH = 0.05
"""Standard deviation of a vote, as a share of the body's extent (its joints' bounding box diagonal)."""
_MOVE_WIDTH = 0.08
"""Standard deviation of a joint's move in a frame, relative to the body, as a share of the extent."""
_JUMP_COST = 4.0
"""Cost of any move beyond what `_MOVE_WIDTH` explains, in log probability: jumps are possible, not free."""
_AGREEMENT = 0.08
"""A reading agrees on a joint if it puts it within this share of the extent."""
_FEWEST_JOINTS = 9
"""Support is a mean over the joints in the frame, but over no fewer than this: a few alone are no person."""


@dataclass(frozen=True)
class Consensus:
    """points: float64 [33, 2]; confidence: float64 [33], 0–1 (heatmap peaks of the votes that agree × their share).

    support: 0–1, the readings' confidence in the body joints inside the frame where they agree with the consensus. A
    person is seen the same way through regions of different size, place and turn; what the network imagines in a wall
    moves with the region, which tells them apart better than any score of the network's own.
    """

    points: np.ndarray
    confidence: np.ndarray
    support: float


@dataclass(frozen=True)
class _Votes:
    """All readings of a frame: points [n, 33, 2], confidence [n, 33], inside (of the frame) bool [n, 33], weight
    [n, 33]; extent: the body's size in pixels.
    """

    points: np.ndarray
    confidence: np.ndarray
    inside: np.ndarray
    weight: np.ndarray
    extent: float

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> "_Votes":
        points = np.stack([r.points for r in readings])
        confidence = np.stack([r.confidence for r in readings])
        quality = np.array([r.quality for r in readings])
        weight = (0.05 + confidence) ** 3 * np.exp(6 * (quality - quality.max()))[:, None]
        extents = np.linalg.norm(np.ptp(points[:, _BODY], axis=1), axis=-1)
        extent = max(1.0, float(np.average(extents, weights=weight.mean(1))))
        return cls(points, confidence, np.stack([r.inside for r in readings]), weight, extent)

    def density(self) -> np.ndarray:
        """Share of the votes near each vote, [n, 33]."""
        near = self.closeness(self.points)
        return np.einsum("nmj,mj->nj", near, self.weight) / self.weight.sum(0)

    def closeness(self, to: np.ndarray) -> np.ndarray:
        """[m, n, 33] closeness (0–1) of each vote to points [m, 33, 2]."""
        square = ((to[:, None] - self.points[None]) ** 2).sum(-1)
        return np.exp(-square / (2 * (_VOTE_WIDTH * self.extent) ** 2))

    def middle(self) -> np.ndarray:
        """Middle of the body, [2]."""
        return np.average(self.points[:, _BODY].mean(1), axis=0, weights=self.weight.mean(1))

    def settle(self, choice: np.ndarray) -> Consensus:
        """The mean of the votes near each joint's chosen one. choice: [33] index of a reading."""
        share = self.closeness(self.points[choice, np.arange(self.points.shape[1])][None])[0] * self.weight
        total = share.sum(0)
        points = np.einsum("nj,njc->jc", share, self.points) / total[:, None]
        peak = (share * self.confidence).sum(0) / total
        inside = ((share * self.inside).sum(0) > 0.5 * total)[_BODY]
        agrees = np.linalg.norm(self.points[:, _BODY] - points[_BODY], axis=-1) < _AGREEMENT * self.extent
        sure = (self.confidence[:, _BODY] * agrees).mean(0)[inside]
        support = float(sure.sum() / max(len(sure), _FEWEST_JOINTS))
        return Consensus(points, peak * np.sqrt(total / self.weight.sum(0)), support)


def consensus(readings: Sequence[Reading]) -> Consensus:
    """The readings of one frame joined, each joint at the densest spot of its votes."""
    votes = _Votes.of(readings)
    return votes.settle(votes.density().argmax(0))


def path(frames: Sequence[Sequence[Reading]]) -> list[Consensus]:
    """Consensus of consecutive frames (none empty), each joint on its most probable path (Viterbi) through the votes.

    Emission: log density of votes. Transition: Gaussian in the joint's move less the body's, of bounded cost, so that
    an outlier of one frame is stepped over and a real fast move is followed.
    """
    votes = [_Votes.of(readings) for readings in frames]
    emission = [np.log(v.density() + 1e-9) for v in votes]
    score, back = emission[0], []
    for t in range(1, len(votes)):
        now, before = votes[t], votes[t - 1]
        move = (now.points - now.middle())[:, None] - (before.points - before.middle())[None]  # [n, m, 33, 2]
        width = _MOVE_WIDTH * 0.5 * (now.extent + before.extent)
        total = score[None] - np.minimum((move**2).sum(-1) / (2 * width**2), _JUMP_COST)
        back.append(total.argmax(1))
        score = total.max(1) + emission[t]
    choice = score.argmax(0)
    found = []
    for t in range(len(votes) - 1, -1, -1):
        found.append(votes[t].settle(choice))
        if t:
            choice = back[t - 1][choice, np.arange(choice.size)]
    return found[::-1]
