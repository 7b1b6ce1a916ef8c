"""The character mask completed by colour: what the segmentation network leaves out of a drawn figure (long hair, wide
skirts) looks like what it found, and unlike the background.

Graph cuts with colour mixtures (Rother, Kolmogorov, Blake: "GrabCut", 2004; OpenCV's implementation, seeded).
"""

from dataclasses import dataclass

import cv2
import numpy as np

_FAR = 0.35
"""The figure reaches no farther beyond its known box than this share of the box's longer side."""
_LARGEST = 2.5
"""A cut that grows the figure beyond this factor has leaked into the background and is not taken."""
_ITERATIONS = 2
_LIKELY_CHANGE = 2.0
"""From frame to frame, the figure's area changes by no more than this factor."""


@dataclass(frozen=True)
class Colours:
    """Colour mixtures of background and figure, as OpenCV stores them: float64 [1, 65] each."""

    background: np.ndarray
    figure: np.ndarray


def cut_out(picture: np.ndarray, sure: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, Colours | None]:
    """The figure in a picture, bool [h, w], and its colours; `likely` itself and None where no cut is to be had.

    picture: uint8 RGB [h, w, 3]. sure: bool [h, w], certainly the figure. likely: bool [h, w], probably the figure.
    """
    labels = np.where(_neighbourhood(likely, _FAR), cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[likely] = cv2.GC_PR_FGD
    labels[sure] = cv2.GC_FGD
    if not sure.any() or likely.all():
        return likely, None
    colours = Colours(np.zeros((1, 65)), np.zeros((1, 65)))
    figure = _run(picture, labels, colours, cv2.GC_INIT_WITH_MASK)
    if figure.sum() > _LARGEST * likely.sum():
        return likely, None
    return figure, colours


def carry_on(picture: np.ndarray, before: np.ndarray, colours: Colours) -> np.ndarray | None:
    """The figure, bool [h, w], in a picture next to one where it is known (`before`), by its colours; None where the
    cut is unlike it.
    """
    labels = np.where(_neighbourhood(before, 0.1), cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[before] = cv2.GC_PR_FGD
    if not before.any() or before.all():
        return None
    copy = Colours(colours.background.copy(), colours.figure.copy())
    figure = _run(picture, labels, copy, cv2.GC_EVAL_FREEZE_MODEL)
    change = figure.sum() / before.sum()
    return figure if 1 / _LIKELY_CHANGE <= change <= _LIKELY_CHANGE else None


def _run(picture: np.ndarray, labels: np.ndarray, colours: Colours, mode: int) -> np.ndarray:
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    cv2.grabCut(bgr, labels, None, colours.background, colours.figure, _ITERATIONS, mode)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _neighbourhood(mask: np.ndarray, share: float) -> np.ndarray:
    """The mask's bounding box grown on all sides by a share of its longer side, bool [h, w]."""
    near = np.zeros(mask.shape, bool)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        reach = round(share * max(int(np.ptp(rows)), int(np.ptp(columns)), 1))
        top, left = max(0, rows[0] - reach), max(0, columns[0] - reach)
        near[top : rows[-1] + reach + 1, left : columns[-1] + reach + 1] = True
    return near
