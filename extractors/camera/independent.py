"""Where a clip moves otherwise than its camera explains: the character, where no network finds one.

Nothing is reconstructed. A still or turning camera (the models of this folder) says where every point goes; with a
moving one each point goes as one of the background points near it does, which are those that keep to the epipolar
geometry. What looks like itself in none of these places, in most of the frames around, is not part of the scene.
Colours are compared, not flow: a figure's hair and clothes are often too smooth and too fast to be followed.
"""

from collections.abc import Callable

import cv2
import numpy as np

from extractors.camera.motion_model import stillness
from extractors.camera.rotation import fit_rotation
from extractors.camera.tracks import Tracks, track_points, working_pictures

SIDE = 256
"""Longer side of the pictures that are compared."""
LIVE = 400
GAPS = (4, 10)
"""Frames between compared pictures."""
NEIGHBOURS = 4
CELL = 8
"""Pixels of a square in which points are expected to move alike."""
REACH = 0.12
"""Share of the picture's width within which a background point must lie for a prediction."""
OUTSIDE = -1e4
STAY = 0.7
"""Share of a frame's points that must still be seen in another one for a comparison of the two."""
SPREAD = 4.0
"""Pixels by which the motions of neighbouring background points may differ: more, and between them anything may be."""
TOLERANCE = 2
"""Pixels by which a place may be missed."""
NOISE = 16
"""Difference (0-255, of a colour) beyond what the tolerance explains from which a point looks different."""
TURN_SHARE = 0.8
SHARE = 0.6
"""Share of the frames around in which a figure's points are not explained."""
WINDOW = (5, 9, 9)
"""Frames, rows and columns that vote together."""
LEAST_FRAMES = 8
LEAST_AREA = 0.005
"""Share of the picture that a figure covers on average, in the frames in which it is."""

Model = Callable[[int, int], list[np.ndarray]]
"""Places float32 [h, w, 2] in frame j where the points of frame i may be, the likeliest first; outside of the picture,
or empty: not known.
"""


def independent_motion(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [L, h, w] for frames uint8 RGB [L, H, W, 3]; size: (w, h) of the result. All False where the camera explains
    what moves, and where nothing can be tracked. Deterministic: one OpenCV thread, fixed seeds.
    """
    nothing = np.zeros((len(frames), size[1], size[0]), bool)
    if len(frames) < LEAST_FRAMES:
        return nothing
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        greys, masks, _ = working_pictures(frames, np.zeros((len(frames), 1, 1), bool), SIDE)
        model = _camera_model(track_points(greys, masks, live=LIVE))
        if model is None:
            return nothing
        shape = (greys[0].shape[1], greys[0].shape[0])
        small = [cv2.resize(frame, shape, interpolation=cv2.INTER_AREA) for frame in frames]
        moving = _figures(*_votes(small, model))
    finally:
        cv2.setNumThreads(threads)
    return np.stack([cv2.resize(m.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5 for m in moving])


def _votes(pictures: list[np.ndarray], model: Model) -> tuple[np.ndarray, np.ndarray]:
    """In how many frames around it each point is not found, and is found, where it should be: uint8 [L, h, w] each."""
    shape = (len(pictures), *pictures[0].shape[:2])
    lost, found = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    around = np.ones((2 * TOLERANCE + 1, 2 * TOLERANCE + 1), np.uint8)
    darkest, brightest = ([change(p, around) for p in pictures] for change in (cv2.erode, cv2.dilate))
    for i, picture in enumerate(pictures):
        for j in (i + step for gap in GAPS for step in (-gap, gap)):
            places = model(i, j) if 0 <= j < len(pictures) else []
            if not places:
                continue
            difference = np.min([_difference(picture, darkest[j], brightest[j], place) for place in places], axis=0)
            inside = (places[0] >= 0).all(-1) & (places[0] <= (shape[2] - 1, shape[1] - 1)).all(-1)
            lost[i] += inside & (difference > NOISE)
            found[i] += inside & (difference <= NOISE)
    return lost, found


def _difference(picture: np.ndarray, low: np.ndarray, high: np.ndarray, place: np.ndarray) -> np.ndarray:
    """How far each pixel's colour lies outside the range of colours around its place in another frame, uint8 [h, w]."""
    low = cv2.remap(low, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    high = cv2.remap(high, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255))
    return np.asarray(np.maximum(cv2.subtract(low, picture), cv2.subtract(picture, high)).max(axis=-1))


def _figures(lost: np.ndarray, found: np.ndarray) -> np.ndarray:
    """bool [L, h, w]: what moves by itself over space and time. A wrong match is small, or gone after a moment."""
    from scipy import ndimage  # slow to load: not for commands that only read settings

    lost, found = (ndimage.uniform_filter(votes.astype(np.float32), WINDOW) for votes in (lost, found))
    labels, _ = ndimage.label(lost > SHARE * (lost + found) + 1e-3)
    result = np.zeros(lost.shape, bool)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        figure = labels[box] == number
        frames = int(figure.any(axis=(1, 2)).sum())
        if frames >= LEAST_FRAMES and figure.sum() >= LEAST_AREA * frames * lost[0].size:
            result[box] |= figure
    return result


def _camera_model(tracks: Tracks) -> Model | None:
    """The simplest motion of the camera that explains most tracks; None where frames share too few."""
    width, height = tracks.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    if stillness(tracks).static:
        return lambda i, j: [pixels]
    turning = fit_rotation(tracks, focal=1.5 * SIDE, zoom=True, fix_focal=False, limit=SIDE / 512)
    if turning is None:
        return None
    if turning.explained >= TURN_SHARE:
        K = np.zeros((len(turning.focal), 3, 3))
        K[:, 0, 0] = K[:, 1, 1] = turning.focal
        K[:, :2, 2], K[:, 2, 2] = tracks.centre, 1.0
        there, back = K @ turning.rotation, np.linalg.inv(K @ turning.rotation)
        return lambda i, j: [cv2.perspectiveTransform(pixels, there[j] @ back[i])]
    from scipy.spatial import cKDTree  # as above

    centres = pixels[CELL // 2 :: CELL, CELL // 2 :: CELL]

    def near(i: int, j: int) -> list[np.ndarray]:
        p, q = _background(tracks, i, j)
        if len(p) < 4 * NEIGHBOURS:
            return []
        away, neighbours = cKDTree(p).query(centres, NEIGHBOURS)
        shifts = (q - p)[neighbours].astype(np.float32)
        spread = np.linalg.norm(shifts - shifts[:, :, :1], axis=-1).max(axis=-1)
        shifts[(away[..., 0] > REACH * SIDE) | (spread > SPREAD)] = OUTSIDE
        return [
            pixels + cv2.resize(shifts[:, :, k], tracks.size, interpolation=cv2.INTER_NEAREST)
            for k in range(NEIGHBOURS)
        ]

    return near


def _background(tracks: Tracks, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] in frames i and j that keep to the epipolar geometry of most."""
    both = tracks.seen[i] & tracks.seen[j]
    p, q = tracks.xy[i, both], tracks.xy[j, both]
    if len(p) < max(20, STAY * tracks.seen[i].sum()):
        return p[:0], q[:0]
    _, inlier = cv2.findFundamentalMat(p, q, cv2.FM_RANSAC, 0.7, 0.99, 500)
    kept = np.zeros(len(p), bool) if inlier is None else inlier.ravel() > 0
    return p[kept], q[kept]
