"""The warp check: a frame pulled back onto a reference by the scene motion, beside the reference. The stage takes
figures of it, `mikudance check` takes them again from what is stored, and the audit site shows the pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import finite_quality
from stages.jpeg import decode_frames

WARP_SIDE = 384
"""Longer side of the pictures that are compared, pixels."""


@dataclass(frozen=True)
class Warp:
    """Two frames of a clip, uint8 RGB [h, w, 3], by index and as pictures. at: float32 [2, h, w], where (x, y) in
    `there` each pixel of `here` is found; compared: bool [h, w], where the static background shows in both.
    """

    first: int
    second: int
    here: np.ndarray
    there: np.ndarray
    at: np.ndarray
    compared: np.ndarray

    def pull(self, picture: np.ndarray) -> np.ndarray:
        """A picture [h, w] or [h, w, 3] of the second frame as the first one's camera would have seen it."""
        return cv2.remap(picture, self.at[0], self.at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def greys(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Grey levels float32 [h, w] of the first frame, of the second, and of the second pulled back."""
        here, there = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (self.here, self.there))
        return here, there, self.pull(there)


def resize_map(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A map [h, w] of the whole frame on another grid (w, h): averaged over the area where the new cells are larger,
    bilinear between centres where they are smaller. Both keep cell i's centre at (i + 0.5)·W/w − 0.5.
    """
    shrinks = grid[0] <= values.shape[1] and grid[1] <= values.shape[0]
    return cv2.resize(np.float32(values), grid, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def warps(
    frames: FramesArtifact,
    mask: np.ndarray,
    camera: CameraArtifact,
    references: tuple[int, ...],
    near: np.ndarray,
    step: int,
) -> Iterator[Warp]:
    """The warp of every reference and the frame `step` after it (before it at the end of the clip; none where there is
    neither).

    mask: bool [L, mh, mw], the character. near: [R, h, w], the references' inverse depth in the camera's unit.
    """
    import torch  # here, not above: commands that only read the configuration start in half the time without it

    from extractors.geometry.scene_motion import scene_motion

    for number, first in enumerate(references):
        second = first + step if first + step < len(frames.jpegs) else first - step
        if second < 0:
            continue
        chosen = replace(frames, jpegs=(frames.jpegs[first], frames.jpegs[second]))
        here, there = decode_frames(chosen, WARP_SIDE)
        h, w = here.shape[:2]
        phi = torch.from_numpy(resize_map(near[number], (w, h)))[None]
        pair = [first, second]
        cams, lenses = torch.from_numpy(camera.cam_to_world[pair]), torch.from_numpy(camera.intrinsics[pair])
        motion, valid = scene_motion(phi, cams, lenses, frames.size)
        scale = np.array([w / frames.size[0], h / frames.size[1]])[:, None, None]
        at = np.stack(np.meshgrid(np.arange(w), np.arange(h))) + motion[0, 1].numpy() * scale
        at = at.clip(-1e4, 1e4).astype(np.float32)
        masked, then = (cv2.resize(mask[i].astype(np.float32), (w, h)) for i in pair)
        then = np.maximum(then, cv2.remap(then, at[0], at[1], cv2.INTER_LINEAR))
        yield Warp(first, second, here, there, at, valid[0, 1].numpy() & (np.maximum(masked, then) < 0.01))


def warp_check(
    frames: FramesArtifact,
    mask: np.ndarray,
    camera: CameraArtifact,
    references: tuple[int, ...],
    near: np.ndarray,
    step: int,
) -> dict[str, float]:
    """Whether the motion is physical: the frame `step` away from each reference, pulled back by the reference's own
    map, must look like the reference wherever the static background shows in both.

    Parameters as for `warps`. Returns warp_error and, without the warp, still_error: mean absolute grey difference,
    0–255, over all references; nothing where no background is left.
    """
    warped, still = [], []
    for warp in warps(frames, mask, camera, references, near, step):
        if warp.compared.any():
            here, there, back = warp.greys()
            warped.append(float(np.abs(back - here)[warp.compared].mean()))
            still.append(float(np.abs(there - here)[warp.compared].mean()))
    return finite_quality(warp_error=float(np.mean(warped)), still_error=float(np.mean(still))) if warped else {}
