"""Frames a second of keypoint drawing (body, face and both hands together) on one core."""

import argparse
import time

import cv2
import numpy as np

from extractors.geometry.drawing import draw_pose


def moving_person(frames: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A full-figure body, face and two hands that sway, with the extent they have in an ordinary dance video."""
    body = np.array(
        [
            *((0.50, 0.17), (0.52, 0.15), (0.48, 0.15), (0.54, 0.16), (0.46, 0.16), (0.58, 0.27), (0.42, 0.27)),
            *((0.66, 0.40), (0.33, 0.38), (0.72, 0.28), (0.25, 0.50), (0.55, 0.53), (0.45, 0.53)),
            *((0.56, 0.72), (0.44, 0.72), (0.57, 0.92), (0.43, 0.92)),
        ]
    )
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = np.stack([0.5 + 0.04 * np.cos(turn), 0.17 + 0.05 * np.sin(turn)], -1)
    finger = np.stack([np.repeat(np.linspace(-0.02, 0.02, 5), 4), np.tile(np.linspace(0.01, 0.05, 4), 5)], -1)
    hand = np.concatenate([[[0.0, 0.0]], finger])
    hands = np.stack([hand + body[9], hand + body[10]])
    sway = 0.05 * np.sin(np.arange(frames) / 7)[:, None, None, None] * [1, 0.3]

    def points(shape: np.ndarray) -> np.ndarray:
        xy = (shape + sway) * size
        return np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], -1).astype(np.float32)

    return points(body[None]), points(face[None]), points(hands)


def main() -> None:
    """Prints one line: frames/s and milliseconds a frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=768, help="side of the square pictures, pixels")
    parser.add_argument("--frames", type=int, default=300, help="frames to draw")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    size = (arguments.size, arguments.size)
    body, face, hand = moving_person(arguments.frames, size)
    draw_pose(body[0], face[0], hand[0], size)
    started = time.process_time()
    for frame in range(arguments.frames):
        draw_pose(body[frame], face[frame], hand[frame], size)
    seconds = time.process_time() - started
    print(
        f"drawing: {arguments.frames / seconds:.0f} frames/s at {size[0]} × {size[1]} (body, face and two hands, one "
        f"core; {1e3 * seconds / arguments.frames:.2f} ms a frame)"
    )


if __name__ == "__main__":
    main()
