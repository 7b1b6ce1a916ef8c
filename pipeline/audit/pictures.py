"""Pictures of one clip for its page: film strips as sprites, depth, the warp check, styled pairs."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from extractors.geometry.drawing import draw_pose
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.jpeg import decode_frames
from stages.warp import warps

TILE = 288  # longer side of a picture in a film strip, pixels
COLUMNS = 6
_ARROWS = 18  # arrows along the longer side


@dataclass(frozen=True)
class WarpPictures:
    """The warp check of one reference: frame `second` pulled back onto frame `first`, and what differs (grey levels,
    on the background) before and after. Pictures are uint8 RGB [h, w, 3].
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


def depth_picture(inverse_depth: np.ndarray) -> np.ndarray:
    """Inverse depth [h, w] in colour, uint8 RGB: near is bright, each picture stretched to its own range."""
    low, high = np.percentile(inverse_depth, [1, 99])
    grey = np.clip((inverse_depth - low) / max(high - low, 1e-9), 0, 1)
    coloured = cv2.applyColorMap((grey * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)


def warp_pictures(
    frames: FramesArtifact, pose: PoseArtifact, camera: CameraArtifact, motion: SceneMotionArtifact
) -> list[WarpPictures]:
    """The warp check of every reference, as `mikudance check` measures it; none of a clip that is too short."""
    near = motion.inverse_depth.astype(np.float32)
    found = []
    for warp in warps(frames, pose.mask, camera, motion.references, near, motion.frame_step):
        here, there, back = warp.greys()
        before, after = (_difference(np.abs(grey - here), warp.compared) for grey in (there, back))
        pictures = (warp.here, warp.there, warp.pull(warp.there), before, after)
        found.append(WarpPictures(warp.first, warp.second, *pictures))
    return found


def _difference(grey_levels: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """Grey differences [h, w] in colour (64 grey levels are brightest); what is not compared is grey."""
    level = np.clip(grey_levels / 64, 0, 1)
    coloured = cv2.cvtColor(cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_MAGMA), cv2.COLOR_BGR2RGB)
    return np.where(compared[..., None], coloured, np.uint8(110))
