"""Sliding windows over a sequence of any length. Open loop: the end is never blended into the beginning."""


def window_starts(length: int, window: int, overlap: int) -> tuple[int, ...]:
    """First frames of windows that cover `length` frames, each sharing at least `overlap` frames with the next.

    All windows are full (the temporal layers were trained on full ones) unless the sequence is shorter than one; the
    last is moved back to end with the sequence.
    """
    if length < 1:
        raise ValueError("there are no frames to cover")
    if not 0 <= overlap < window:
        raise ValueError(f"overlap {overlap} must be from 0 to window {window} less one")
    if length <= window:
        return (0,)
    stride = window - overlap
    starts = list(range(0, length - window, stride))
    return (*starts, length - window)
