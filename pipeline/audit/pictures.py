"""Pictures of one clip for its page: film strips as sprites, depth, the warp check, styled pairs."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from extractors.geometry.drawing import draw_pose
from extractors.geometry.scene_motion import scene_motion
from pipeline.contact_sheet import depth_picture
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.jpeg import decode_frames, scaled_size
from stages.scene_motion import resize_map

TILE = 288  # longer side of a picture in a film strip, pixels
COLUMNS = 6
_ARROWS = 18  # arrows along the longer side


@dataclass(frozen=True)
class WarpPictures:
    """The warp check of one reference: frame `second` pulled back onto frame `first`, and what differs (grey levels,
    on the background) before and after.
    """

    first: int
    second: int
    reference: np.ndarray
    other: np.ndarray
    warped: np.ndarray
    before: np.ndarray
    after: np.ndarray


def sprite(images: list[np.ndarray]) -> np.ndarray:
    """Pictures uint8 [H, W, 3] side by side, `COLUMNS` a row, in order."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // COLUMNS)
    canvas = np.zeros((rows * height, min(COLUMNS, len(images)) * width, 3), np.uint8)
    for number, image in enumerate(images):
        y, x = divmod(number, COLUMNS)
        canvas[y * height : (y + 1) * height, x * width : (x + 1) * width] = image
    return canvas


def small_frames(frames: FramesArtifact, indices: list[int]) -> list[np.ndarray]:
    """Some frames, at most `TILE` pixels long, uint8 RGB."""
    return list(decode_frames(replace(frames, jpegs=tuple(frames.jpegs[i] for i in indices)), TILE))


def with_keypoints(image: np.ndarray, pose: PoseArtifact, frame: int, size: tuple[int, int]) -> np.ndarray:
    """A small frame, darkened, under the drawn keypoints of `frame`. size: (W, H) of the keypoints' frame."""
    height, width = image.shape[:2]
    scale = np.array([width / size[0], height / size[1], 1.0], np.float32)
    shift = np.array([0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5, 0.0], np.float32)
    parts = [part[frame] * scale + shift for part in (pose.body, pose.face, pose.hand)]
    drawn = np.max(draw_pose(parts[0], parts[1], parts[2], (width, height)), axis=0)
    return np.where(drawn.max(-1, keepdims=True) > 0, drawn, image // 2)


def motion_colours(motion: np.ndarray, valid: np.ndarray, longest: float, size: tuple[int, int]) -> np.ndarray:
    """Motion [2, h, w] on the colour wheel at `size` (W, H): hue is direction, saturation the length over `longest`
    (pixels, one for the whole clip so that frames compare); what is not valid is dark.
    """
    hue = (np.degrees(np.arctan2(motion[1], motion[0])) % 360) / 2
    strength = np.clip(np.hypot(motion[0], motion[1]) / max(longest, 1e-6), 0, 1) * 255
    light = np.where(valid, 255, 90)
    wheel = cv2.cvtColor(np.stack([hue, strength, light], axis=-1).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return cv2.resize(wheel, size, interpolation=cv2.INTER_NEAREST)


def motion_arrows(image: np.ndarray, motion: np.ndarray, valid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A small frame, darkened, with the motion [2, h, w] (pixels of a frame of `size`) as arrows of its true length."""
    picture = image // 2
    height, width = image.shape[:2]
    h, w = motion.shape[1:]
    step = max(1, round(max(h, w) / _ARROWS))
    scale = np.array([width / size[0], height / size[1]])
    for y in range(step // 2, h, step):
        for x in range(step // 2, w, step):
            if valid[y, x]:
                tip = np.array([(x + 0.5) * width / w, (y + 0.5) * height / h])
                tail = tip - motion[:, y, x] * scale  # the motion arrives here
                points = [tuple(int(v) for v in np.clip(p, -4 * TILE, 4 * TILE) * 8) for p in (tail, tip)]
                cv2.line(picture, points[0], points[1], (120, 220, 255), 1, cv2.LINE_AA, 3)
                cv2.circle(picture, points[1], 7, (255, 210, 90), -1, cv2.LINE_AA, 3)
    return picture


def colour_wheel(side: int = 96) -> np.ndarray:
    """The legend of `motion_colours`, uint8 RGBA, transparent outside the disc."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    motion = np.stack([x, y]) / (side / 2)
    disc = motion_colours(motion, np.ones((side, side), bool), 1.0, (side, side))
    alpha = ((np.hypot(x, y) <= side / 2) * 255).astype(np.uint8)
    return np.concatenate([disc, alpha[..., None]], axis=-1)


def depth_colours(inverse_depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Inverse depth in colour at `size` (W, H): near is bright."""
    return cv2.resize(depth_picture(inverse_depth.astype(np.float32)), size, interpolation=cv2.INTER_LINEAR)


def warp_pictures(
    frames: FramesArtifact, pose: PoseArtifact, camera: CameraArtifact, motion: SceneMotionArtifact, number: int
) -> WarpPictures | None:
    """The warp check of reference `number`, where frame l is the reference; None where the clip is too short."""
    first, step = motion.references[number], motion.frame_step
    second = first + step if first + step < len(frames.jpegs) else first - step
    if second < 0:
        return None
    width, height = scaled_size(frames.size, TILE)
    here, there = small_frames(frames, [first, second])
    near = torch.from_numpy(resize_map(motion.inverse_depth[number].astype(np.float32), (width, height)))[None]
    pair = [first, second]
    cams, lenses = torch.tensor(camera.cam_to_world[pair]), torch.tensor(camera.intrinsics[pair])
    maps, valid = scene_motion(near, cams, lenses, frames.size)
    scale = np.array([width / frames.size[0], height / frames.size[1]])[:, None, None]
    columns, rows = (np.stack(np.meshgrid(np.arange(width), np.arange(height))) + maps[0, 1].numpy() * scale).astype(
        np.float32
    )
    warped = cv2.remap(there, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    masks = [cv2.resize(pose.mask[i].astype(np.float32), (width, height)) for i in pair]
    masks[1] = np.maximum(masks[1], cv2.remap(masks[1], columns, rows, cv2.INTER_LINEAR))
    compared = valid[0, 1].numpy() & (np.maximum(masks[0], masks[1]) < 0.01)
    return WarpPictures(
        first, second, here, there, warped, _difference(here, there, compared), _difference(here, warped, compared)
    )


def _difference(first: np.ndarray, second: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """Absolute grey difference in colour (64 grey levels are brightest); what is not compared is grey."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (first, second)]
    level = np.clip(np.abs(grey[0] - grey[1]) / 64, 0, 1)
    coloured = cv2.cvtColor(cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
    return np.where(compared[..., None], coloured, np.uint8(110))
