"""One crop and resize for every signal of a sample, so that pictures, keypoints, cameras and scene motion stay one."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from extractors.geometry.cameras import cell_centres, crop_intrinsics, rescale_intrinsics

CELL = 8
"""Frame pixels a side of a latent cell."""


@dataclass(frozen=True)
class Crop:
    """The box [left, left + width) × [top, top + height) of a frame, in whole pixels, resized to `size` (W, H).

    frame: (width, height) of the frame, pixels.
    """

    frame: tuple[int, int]
    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]

    @property
    def scale(self) -> np.ndarray:
        """Output pixels a frame pixel, float64 [2] (x, y)."""
        return np.array([self.size[0] / self.width, self.size[1] / self.height])

    @property
    def whole(self) -> bool:
        """Whether frames pass unchanged."""
        return self.frame == self.size and (self.width, self.height) == self.frame

    def image(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 [height, width, 3] of the frame as [H, W, 3]: area averages where it shrinks, else bilinear."""
        if self.whole:
            return image
        cut = image[self.top : self.top + self.height, self.left : self.left + self.width]
        shrinks = self.width > self.size[0] and self.height > self.size[1]
        return cv2.resize(cut, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def keypoints(self, points: np.ndarray) -> np.ndarray:
        """Keypoints [..., 3] (x, y, score) in frame pixels, in output pixels; those outside the crop keep their place
        outside.
        """
        moved = points.copy()
        moved[..., :2] = (points[..., :2] - [self.left, self.top] + 0.5) * self.scale - 0.5
        return moved

    def intrinsics(self, intrinsics: np.ndarray) -> np.ndarray:
        """Intrinsics [..., 4] of the frame as those of the output."""
        cut = crop_intrinsics(intrinsics, self.left, self.top)
        return rescale_intrinsics(cut, (self.width, self.height), self.size)

    def grid(self, maps: Tensor) -> Tensor:
        """Maps float32 [N, C, h, w] on the frame's latent grid as [N, C, H/8, W/8] on the output's, bilinear; values
        are not scaled. Beyond the outermost cell centres the border value stands.
        """
        if self.whole:
            return maps
        # Output cell centres in frame pixels, then in grid_sample's units: −1 … 1 over the frame's full extent.
        centres = cell_centres((self.size[0] // CELL, self.size[1] // CELL), self.size)
        pixels = (centres + 0.5) / self.scale + [self.left, self.top]
        places = torch.from_numpy(pixels / self.frame * 2 - 1).to(maps.dtype)
        return grid_sample(maps, places.expand(len(maps), -1, -1, -1), padding_mode="border", align_corners=False)

    def scene_motion(self, motion: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Motion float32 [F, 2, h, w] in frame pixels and valid bool [F, h, w] as [F, 2, H/8, W/8] in output pixels
        and [F, H/8, W/8]. A cell is valid where all cells that it mixes are, and its point lands inside the output.
        """
        if self.whole:
            return motion, valid
        moved = self.grid(motion) * torch.from_numpy(self.scale).to(motion.dtype).view(1, 2, 1, 1)
        sound = self.grid(valid.unsqueeze(1).to(motion.dtype)).squeeze(1) > 0.999
        centres = cell_centres((self.size[0] // CELL, self.size[1] // CELL), self.size)
        landing = torch.from_numpy(centres).to(motion.dtype).permute(2, 0, 1) + moved
        limit = torch.tensor(self.size, dtype=motion.dtype).view(2, 1, 1) - 0.5
        inside = ((landing >= -0.5) & (landing <= limit)).all(dim=1)
        return moved, sound & inside


def draw_crop(frame: tuple[int, int], size: tuple[int, int], least: float, rng: np.random.Generator) -> Crop:
    """A crop of the output's aspect ratio: its scale uniform in [least, 1] of the largest one that fits the frame, its
    place uniform. frame, size: (width, height), pixels. With least = 1 the largest crop, centred.
    """
    fit = min(frame[0] / size[0], frame[1] / size[1])
    scale = fit * float(rng.uniform(least, 1.0)) if least < 1 else fit
    width, height = (max(1, min(f, round(s * scale))) for f, s in zip(frame, size, strict=True))
    spare = frame[0] - width, frame[1] - height
    left, top = (int(rng.integers(s + 1)) if least < 1 else s // 2 for s in spare)
    return Crop(frame, left, top, width, height, size)
