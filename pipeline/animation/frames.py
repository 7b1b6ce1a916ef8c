"""Driving frames as drawings and scene motion, made one at a time as they are asked for: memory does not grow."""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch

from extractors.geometry.drawing import draw_pose
from extractors.geometry.published import published_scene_motion
from extractors.geometry.scene_motion import scene_motion
from pipeline.animation.driving import Driving, DrivingClip
from stages.scene_motion import CELL

Compat = Literal["paper", "published"]
Drawings = tuple[np.ndarray, np.ndarray, np.ndarray]
NOBODY = np.zeros((0, 1, 3), np.float32)


class DrivenFrames:
    """Frame n of the animation shows the driving's frame first + n · step.

    depth: gives the inverse depth [h, w] of the reference in the unit of a clip's cameras. With motion off the maps are
    zero; with poses off (a picture without a character) the drawings are black. compat: which scene motion the network
    takes (`ModelConfig.motion_compat`). reference_pose: cam_to_world float64 [4, 4] of the reference in the clip's
    world, where it is a frame of it.
    """

    def __init__(
        self,
        driving: Driving,
        *,
        depth: Callable[[DrivingClip], np.ndarray],
        first: int = 0,
        step: int = 1,
        poses: bool = True,
        motion: bool = True,
        compat: Compat = "paper",
        reference_pose: np.ndarray | None = None,
    ) -> None:
        self.driving = driving
        self.reference_pose = reference_pose
        self.numbers = range(first, driving.frames, step)
        self._depth = depth
        self._step = step
        self._poses = poses
        self._motion = motion
        self.compat = compat
        self._depths: dict[int, np.ndarray] = {}  # of the clip that was asked for last, as is the next
        self._published: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def fps(self) -> float:
        """Frames a second of the animation."""
        return self.driving.fps / self._step

    def drawings(self, number: int) -> Drawings:
        """Body, face and hands of a frame, uint8 RGB [H, W, 3] each."""
        found = self.driving.at(self.numbers[number], self._step) if self._poses else None
        if found is None:
            width, height = self.driving.size
            black = np.zeros((height, width, 3), np.uint8)
            return black, black, black
        clip, place = found
        return draw_pose(clip.body[place], clip.face[place], clip.hand[place], self.driving.size)

    def follows(self, number: int) -> bool:
        """Whether a frame follows the one before it in the same shot; not so at the first and after a cut."""
        found = self.driving.at(self.numbers[number], self._step) if number else None
        return found is not None and found[1] >= self._step

    def motion(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Scene motion float32 [2, h, w] arriving at a frame, in output pixels (`compat` published: in the published
        code's unit), and valid bool [h, w]. Zero at the first frame, after a cut, and where the camera rests or is not
        known.
        """
        width, height = self.driving.size
        still = np.zeros((2, height // CELL, width // CELL), np.float32), np.ones((height // CELL, width // CELL), bool)
        found = self.driving.at(self.numbers[number], self._step) if self._motion and self.follows(number) else None
        if found is None or not found[0].moves:
            return still
        clip, place = found
        if self.compat == "published":
            return self._published_maps(clip)[place], still[1]
        pair = [place - self._step, place]
        maps, valid = scene_motion(
            torch.from_numpy(self._depth_of(clip))[None],
            torch.from_numpy(clip.cam_to_world[pair]),
            torch.from_numpy(clip.intrinsics[pair]),
            self.driving.size,
        )
        return maps[0, 1].numpy(), valid[0, 1].numpy()

    def _depth_of(self, clip: DrivingClip) -> np.ndarray:
        if clip.first not in self._depths:
            self._depths = {clip.first: self._depth(clip)}
        return self._depths[clip.first]

    def _published_maps(self, clip: DrivingClip) -> np.ndarray:
        """[L, 2, h, w] of a whole clip: the published code clips the values by their spread over it."""
        if clip.first not in self._published:
            depth, poses = torch.from_numpy(self._depth_of(clip)), torch.from_numpy(clip.cam_to_world)
            self._published = {clip.first: published_scene_motion(depth[None], poses, self._step)[0].numpy()}
        return self._published[clip.first]

    def camera(self, number: int) -> tuple[np.ndarray, np.ndarray] | None:
        """cam_to_world [4, 4] and intrinsics [4] of a frame, where a clip covers it."""
        found = self.driving.at(self.numbers[number], self._step)
        return None if found is None else (found[0].cam_to_world[found[1]], found[0].intrinsics[found[1]])

    def picture(self, number: int) -> np.ndarray | None:
        """The driving video's own frame, uint8 RGB [H, W, 3], where frames were kept."""
        found = self.driving.at(self.numbers[number], self._step)
        if found is None or not found[0].jpegs:
            return None
        data = np.frombuffer(found[0].jpegs[found[1]], np.uint8)
        picture = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return picture if picture.shape[1::-1] == self.driving.size else cv2.resize(picture, self.driving.size)


def body_drawing(body: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """The reference's own pose, uint8 RGB [H, W, 3]; black for nobody. body: [I, 17, 3] or None."""
    if body is None:
        return np.zeros((size[1], size[0], 3), np.uint8)
    return draw_pose(body, NOBODY, NOBODY, size)[0]
