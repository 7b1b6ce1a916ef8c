"""People, faces and hands found frame by frame, joined into the pose artifact."""

from collections.abc import Sequence

import numpy as np

from extractors.pose.figures import pose_figures
from extractors.pose.masks import grow, skeleton_area
from extractors.pose.people import Found, face_of, follow_people, hands_of
from extractors.protocols import PoseResult
from schemas.artifacts.pose import BODY, FACE, HAND, PoseArtifact

MASK_GROWTH = 0.04
"""Share of the person's height by which the skeleton's area is grown, for hair and clothes."""


def assemble(
    people: Sequence[Sequence[Found]],
    faces: Sequence[Sequence[Found]],
    hands: Sequence[Sequence[Found]],
    *,
    size: tuple[int, int],
    count: int,
    mask_side: int,
) -> PoseResult:
    """The `count` most prominent people of a clip, each with face and hands; what is missing stays missing.

    people, faces, hands: what was found in each of L frames, with 17, 68 and 21 points. size: of the frames (W, H).
    mask_side: longer side of the mask, which covers everyone found.
    """
    length = len(people)
    body, face, hand = missing(length, count, BODY), missing(length, count, FACE), missing(length, 2 * count, HAND)
    for number, chosen in enumerate(follow_people(people, count)):
        for frame, index in enumerate(chosen):
            if index is None:
                continue
            person = people[frame][index]
            body[frame, number] = person.points
            if (best := face_of(person, faces[frame])) is not None:
                face[frame, number] = faces[frame][best].points
            for side, best in enumerate(hands_of(person, hands[frame])):
                if best is not None:
                    hand[frame, 2 * number + side] = hands[frame][best].points
    return finished(body, face, hand, people, size=size, mask_side=mask_side)


def finished(
    body: np.ndarray,
    face: np.ndarray,
    hand: np.ndarray,
    people: Sequence[Sequence[Found]],
    *,
    size: tuple[int, int],
    mask_side: int,
) -> PoseResult:
    """The artifact of keypoint arrays, with the mask of everyone found in each frame, status and quality."""
    scale = mask_side / max(size)
    grid = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    mask = np.zeros((len(people), grid[1], grid[0]), bool)
    for frame, found in enumerate(people):
        for person in found:
            area = skeleton_area(person.points[:BODY], 0.0, grid, size)
            mask[frame] |= grow(area, round(MASK_GROWTH * float(person.box[3] - person.box[1]) * scale))
    seen = body[:, 0, :, 2].max(-1) > 0
    pose = PoseArtifact(body=body, face=face, hand=hand, mask=mask)
    return PoseResult(
        pose=pose,
        status="ok" if seen.any() else "no_person",
        quality=pose_figures(pose, persons=max(len(found) for found in people), there=seen),
    )


def missing(length: int, instances: int, points: int) -> np.ndarray:
    """Keypoints none of which is known: NaN, NaN, 0."""
    empty = np.full((length, instances, points, 3), np.nan, np.float32)
    empty[..., 2] = 0
    return empty
