"""A rendered shot and its exact ground truth."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.demo.camera import CameraPath
from pipeline.demo.character import Character, build_solids
from pipeline.demo.raster import Body, View, cast
from pipeline.demo.scene import Scene
from pipeline.demo.shading import shade
from pipeline.demo.skeleton import KEYPOINT_NAMES

LATENT = 8
"""Frame pixels a cell of the latent grid."""
_COVER_M = np.array([0.11] * 11 + [0.22] * 2 + [0.11] * 4)
"""Joints lie inside the body (hips under the skirt): what is up to this much nearer is its own limb, not before it."""


@dataclass(frozen=True)
class ShotTruth:
    """What is exactly known of L rendered frames of H × W pixels; h × w is the latent grid (frame size / 8).

    cam_to_world: float64 [L, 4, 4], OpenCV axes, metres. K: float64 [L, 3, 3], pixels. inverse_depth and
    inverse_depth_background: float32 [L, h, w], 1/z with and without the character at the centres of the grid's cells
    ((i + 0.5)·W/w − 0.5), 0 is sky. full_frames: int [F]; inverse_depth_full: float32 [F, H, W] of these frames, with
    the character. keypoints: float64 [L, 17, 3], x, y in pixels and visibility (0 out of the picture, 1 hidden, 2 seen;
    also 0 where there is no character). keypoints_world: float64 [L, 17, 3]. mask: bool [L, H, W], the
    character's pixels. shot_starts: int [S].
    """

    cam_to_world: np.ndarray
    K: np.ndarray
    inverse_depth: np.ndarray
    inverse_depth_background: np.ndarray
    full_frames: np.ndarray
    inverse_depth_full: np.ndarray
    keypoints: np.ndarray
    keypoints_world: np.ndarray
    mask: np.ndarray
    shot_starts: np.ndarray
    fps: float
    keypoint_names: tuple[str, ...] = KEYPOINT_NAMES

    def save(self, path: Path) -> None:
        """Writes a compressed npz of the fields; the mask as bits along x (`mask_bits`)."""
        arrays = {name: value for name, value in vars(self).items() if name not in ("mask", "keypoint_names")}
        np.savez_compressed(path, mask_bits=np.packbits(self.mask, axis=-1), mask_width=np.array(self.mask.shape[2]),
                            keypoint_names=np.array(self.keypoint_names), **arrays)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "ShotTruth":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            mask = np.unpackbits(file["mask_bits"], axis=-1, count=int(file["mask_width"])).astype(bool)
            names = tuple(str(name) for name in file["keypoint_names"])
            kept = [name for name in file.files if name not in ("mask_bits", "mask_width", "keypoint_names", "fps")]
            return cls(mask=mask, keypoint_names=names, fps=float(file["fps"]), **{name: file[name] for name in kept})


def render_shot(
    camera: CameraPath,
    scene: Scene,
    character: Character | None = None,
    *,
    size: tuple[int, int] = (384, 384),
    fps: float = 30.0,
    oversampling: int = 2,
    full_depth_frames: tuple[int, ...] = (),
) -> tuple[np.ndarray, ShotTruth]:
    """Renders every frame of a camera path. Returns frames uint8 RGB [L, H, W, 3] and the truth.

    size: (width, height), pixels, multiples of 8. oversampling: rays a pixel along x and along y.
    full_depth_frames: frames whose depth is kept at full resolution.
    """
    width, height = size
    if width % LATENT or height % LATENT or min(size) < LATENT:
        raise ValueError(f"the frame size is {width} × {height} pixels; both sides must be multiples of {LATENT}")
    intrinsics = camera.intrinsics(size)
    frames = np.empty((len(camera), height, width, 3), np.uint8)
    mask = np.zeros((len(camera), height, width), bool)
    with_character, background, full, points, points_world = [], [], {}, [], []
    for index, (pose, K) in enumerate(zip(camera.cam_to_world, intrinsics, strict=True)):
        skeleton = character.at(index / fps) if character else None
        body = Body(build_solids(skeleton, character.palette)) if character and skeleton else None
        view = View(pose, K, _centres(width, width * oversampling), _centres(height, height * oversampling))
        hits = cast(view, scene, body)
        image = shade(view, scene, body, hits, skeleton.pelvis[:3, 3] if skeleton else None)
        frames[index] = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if oversampling > 1 else image
        covered = (hits.surface >= len(scene.origin)).astype(np.float32)
        mask[index] = cv2.resize(covered, size, interpolation=cv2.INTER_AREA) > 0.5
        grid = View(pose, K, _centres(width, width // LATENT), _centres(height, height // LATENT))
        background.append(cast(grid, scene).inverse_depth)
        with_character.append(cast(grid, scene, body).inverse_depth if body else background[-1])
        if index in full_depth_frames:
            full[index] = cast(View(pose, K, np.arange(width), np.arange(height)), scene, body).inverse_depth
        world = skeleton.keypoints() if skeleton else np.full((len(KEYPOINT_NAMES), 3), np.nan)
        points_world.append(world)
        points.append(_project_keypoints(view, scene, body, world, size))
    kept = sorted(full)
    truth = ShotTruth(
        cam_to_world=camera.cam_to_world.astype(np.float64),
        K=intrinsics,
        inverse_depth=np.stack(with_character),
        inverse_depth_background=np.stack(background),
        full_frames=np.array(kept, int),
        inverse_depth_full=np.stack([full[i] for i in kept]) if kept else np.zeros((0, height, width), np.float32),
        keypoints=np.stack(points),
        keypoints_world=np.stack(points_world),
        mask=mask,
        shot_starts=np.array(camera.shot_starts),
        fps=fps,
    )
    return frames, truth


def _centres(pixels: int, cells: int) -> np.ndarray:
    """Pixel positions of the centres of `cells` equal cells that cover a side of `pixels`."""
    return (np.arange(cells) + 0.5) * pixels / cells - 0.5


def _project_keypoints(
    view: View, scene: Scene, body: Body | None, world: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Keypoints [17, 3] on the picture: x, y in pixels, visibility."""
    result = np.zeros((len(world), 3))
    if body is None:
        result[:, :2] = np.nan
        return result
    seen = (world - view.cam_to_world[:3, 3]) @ view.cam_to_world[:3, :3]
    x, y, z = view.K @ seen.T
    result[:, 0], result[:, 1] = x / z, y / z
    for number, (u, v) in enumerate(result[:, :2]):
        if z[number] <= 0 or not (-0.5 <= u < size[0] - 0.5 and -0.5 <= v < size[1] - 0.5):
            continue
        hit = cast(
            View(view.cam_to_world, view.K, np.array([u - 0.01, u, u + 0.01]), np.array([v - 0.01, v, v + 0.01])),
            scene,
            body,
        )
        depth = 1 / max(float(hit.inverse_depth[1, 1]), 1e-6)
        result[number, 2] = 2 if depth > z[number] - _COVER_M[number] else 1
    return result
