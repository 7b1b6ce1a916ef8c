"""Which frames of a clip a sample takes: the window, and a reference outside it."""

from dataclasses import dataclass

import numpy as np

from schemas.ids import frame_step as fitting_step
from schemas.sample import SampleJson
from train.data.config import ReaderConfig


@dataclass(frozen=True)
class Window:
    """frames: indices of the F target frames. reference: index of the reference frame. reference_row: its place among
    the clip's references, None where it is none of them (then it has no depth). step: frames between two of the window.
    style: number of the stylised pair that replaces both pictures, or None.
    """

    frames: tuple[int, ...]
    reference: int
    reference_row: int | None
    step: int
    style: int | None = None


def window_step(length: int, stored_step: int, config: ReaderConfig) -> int:
    """Frames between two of the window in a clip of `length` frames: the wanted step, reduced until the clip fits."""
    if config.frames == 1:
        return 1
    return fitting_step(length, config.frame_step or stored_step, config.frames)


def eligible(length: int, stored_step: int, config: ReaderConfig) -> bool:
    """Whether a clip can serve: two frames in stage 1; in stage 2 a window, with a reference outside it for certain.

    References lie in the first and the last tenth of a clip (`schemas.ids.reference_indices`). With a step of 2 or more
    any of two neighbouring windows leaves a given frame out; with step 1 the window must fit beside a whole tenth.
    """
    if config.stage == 1:
        return length >= 2
    step = window_step(length, stored_step, config)
    span = (config.frames - 1) * step + 1
    return length > span if step > 1 else length - max(1, length // 10) >= span


def choose_window(meta: SampleJson, config: ReaderConfig, styled: bool, rng: np.random.Generator) -> Window:
    """The frames of one sample, drawn from `rng`.

    Stage 1: the stylised pair if `styled` and the clip has one; else any two different frames. Stage 2: a reference
    with depth and a window whose whole span leaves it out, or, where the clip is too short for that, whose frames do.
    Raises ValueError where no window leaves any reference out.
    """
    length = len(meta.timestamps)
    if config.stage == 1:
        if styled and meta.styles:
            number = int(rng.integers(len(meta.styles)))
            pair = meta.styles[number]
            row = meta.references.index(pair.reference_index) if pair.reference_index in meta.references else None
            return Window((pair.target_index,), pair.reference_index, row, 1, number)
        reference, target = (int(i) for i in rng.choice(length, 2, replace=False))
        row = meta.references.index(reference) if reference in meta.references else None
        return Window((target,), reference, row, 1)
    step = window_step(length, meta.frame_step, config)
    span = (config.frames - 1) * step + 1
    outside = [(r, s) for r in meta.references for s in range(length - span + 1) if not s <= r < s + span]
    choices = outside or [
        (r, s) for r in meta.references for s in range(length - span + 1) if (r - s) % step or not s <= r < s + span
    ]
    if not choices:
        raise ValueError(f"no window of {config.frames} frames, step {step}, leaves out a reference {meta.references}")
    references = sorted({r for r, _ in choices})
    reference = references[int(rng.integers(len(references)))]
    starts = [s for r, s in choices if r == reference]
    start = starts[int(rng.integers(len(starts)))]
    frames = tuple(range(start, start + span, step))
    return Window(frames, reference, meta.references.index(reference), step)
