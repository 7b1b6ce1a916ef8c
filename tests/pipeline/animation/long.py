"""Animates a long synthetic driving and prints the peak memory, MiB, as JSON; in a process of its own, since peaks of
one process only ever grow: python -m tests.pipeline.animation.long FRAMES OUTPUT CHECKPOINT
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.animate import AnimateConfig, Animator, driven
from pipeline.animation.kept import KeptPictures
from pipeline.animation.output import write_animation
from pipeline.animation.reference import ReferencePicture
from stages.jpeg import encode_jpeg
from tests.pipeline.animation.driven import SIZE, clip, driving

CLIP = 33
PADDING = 400_000
"""Bytes added to each kept JPEG, so that a list of them in memory would show."""


def peak_mib(process: int) -> float:
    """The most memory that a process has held."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main(length: int, output: Path, checkpoint: Path) -> dict[str, float]:
    """Side by side, so that driving frames are kept too; clips overlap by one frame as those of a video do."""
    torch.set_num_threads(1)
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    kept, jpeg = KeptPictures(), encode_jpeg(picture)
    starts = range(0, length - 1, CLIP - 1)
    clips = [
        clip(s, count, jpegs=kept.add([jpeg + bytes(PADDING) for _ in range(count)]))
        for s in starts
        for count in [min(CLIP, length - s)]
    ]
    config = AnimateConfig(
        steps=1, guidance=1.0, size=SIZE, device="cpu", window=8, overlap=2, side_by_side=True, cache_bytes=1 << 20
    )
    reference = ReferencePicture(picture, clips[0].body[0], np.random.default_rng(1).random((16, 16), np.float32))
    child = 0.0

    def watched(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal child
        for frame in frames:
            yield frame
            for process in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                child = max(child, peak_mib(int(process)))

    drawn = Animator(checkpoint, config).draw(reference, driven(driving(*clips), reference, config, 1))
    frames = write_animation(output, watched(drawn), fps=30)
    return {"frames": frames, "own": peak_mib(os.getpid()), "child": child}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))))
