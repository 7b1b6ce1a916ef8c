"""Errors of the stages' signals against the truth of a shot."""

import cv2
import numpy as np

from bench.fidelity_shots import Truth
from extractors.geometry.alignment import AlignmentConfig, align_depth
from extractors.geometry.trajectory import path_length, umeyama
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact

CELL = 8


def true_lenses(truth: Truth, size: tuple[int, int]) -> np.ndarray:
    """K [L, 3, 3] in pixels of a frame of `size`, the whole picture resized."""
    scale = np.diag([size[0] / truth.size[0], size[1] / truth.size[1], 1.0])
    to_edge, back = np.eye(3), np.eye(3)
    to_edge[:2, 2], back[:2, 2] = 0.5, -0.5
    return back @ scale @ to_edge @ truth.K


def true_motion(truth: Truth, reference: int, frame: int, step: int, size: tuple[int, int]) -> np.ndarray:
    """Scene motion float64 [2, h, w] in frame pixels on the latent grid, arriving at `frame` from `frame − step`.

    Written out from the definition (π(K' · w2c' · c2w · z·K⁻¹p) − p, point by point), apart from the project's own
    geometry, which it is compared with. NaN for sky and behind the camera.
    """
    width, height = size[0] // CELL, size[1] // CELL
    u, v = np.meshgrid((np.arange(width) + 0.5) * CELL - 0.5, (np.arange(height) + 0.5) * CELL - 0.5)
    inverse = on_grid(truth.inverse_depth[reference], (width, height))
    depth = 1 / np.where(inverse > 0, inverse, np.nan)
    K = true_lenses(truth, size)
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    points = np.einsum("ij,hwj->hwi", np.linalg.inv(K[frame - step]), pixels) * depth[..., None]
    world = points @ truth.cam_to_world[frame - step, :3, :3].T + truth.cam_to_world[frame - step, :3, 3]
    there = (world - truth.cam_to_world[frame, :3, 3]) @ truth.cam_to_world[frame, :3, :3]
    seen = there @ K[frame].T
    ahead = np.where(seen[..., 2] > 0, seen[..., 2], np.nan)
    return np.stack([seen[..., 0] / ahead - u, seen[..., 1] / ahead - v])


def on_grid(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """A map on another grid (w, h) by the nearest cell, which never mixes depths of two surfaces."""
    h, w = values.shape
    rows = ((np.arange(grid[1]) + 0.5) * h / grid[1]).astype(int)
    columns = ((np.arange(grid[0]) + 0.5) * w / grid[0]).astype(int)
    return values[rows[:, None], columns].astype(np.float64)


def motion_errors(scene: SceneMotionArtifact, truth: Truth, size: tuple[int, int]) -> dict[str, float]:
    """End-point errors in latent cells: the median over frames and references of each map's median, its 90th
    percentile, the largest single error, and the median length of the true motion. Where nothing is valid, infinite.
    """
    errors, lengths, largest = [], [], 0.0
    for number, reference in enumerate(scene.references):
        for frame in range(scene.frame_step, scene.motion.shape[1]):
            wanted = true_motion(truth, reference, frame, scene.frame_step, size)
            known = np.isfinite(wanted[0])
            error = np.linalg.norm(wanted - scene.motion[number, frame], axis=0) / CELL
            use = known & scene.valid[number, frame]
            errors.append(np.median(error[use]) if use.any() else np.inf)
            largest = max(largest, float(error[use].max()) if use.any() else np.inf)
            lengths.append(np.median(np.linalg.norm(wanted, axis=0)[known]) / CELL)
    # Percentiles of lists that may hold infinities: by rank, so that no difference of two infinities is taken.
    median, high = (float(np.percentile(errors, q, method="higher")) for q in (50, 90))
    return {"epe": median, "epe_p90": high, "epe_max": largest, "motion": float(np.median(lengths))}


def camera_errors(camera: CameraArtifact, truth: Truth, size: tuple[int, int]) -> dict[str, float]:
    """rotation: largest error relative to the first frame, degrees. position: RMSE after similarity alignment, % of the
    path (absent where the true camera stays in place). focal: median error of the focal length, %.
    """
    result = turn_and_path(camera.cam_to_world, truth.cam_to_world)
    focal = camera.intrinsics[:, 0] / true_lenses(truth, size)[:, 0, 0]
    return result | {"focal": float(100 * np.median(np.abs(focal - 1)))}


def turn_and_path(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """rotation, position: as in `camera_errors`, of cam_to_world [L, 4, 4]; turn: the true camera's own rotation."""
    relative = [np.swapaxes(c[:1, :3, :3], 1, 2) @ c[:, :3, :3] for c in (found, true)]
    still = np.tile(np.eye(3), (len(true), 1, 1))
    rotation, turn = (_angles(one, relative[1]).max() for one in (relative[0], still))
    result = {"rotation": float(rotation), "turn": float(turn)}
    path = path_length(true)
    if path > 1e-9:
        position, centres = found[:, :3, 3], true[:, :3, 3]
        if np.ptp(position, axis=0).max() > 1e-12:
            fit = umeyama(position, centres)
            position = fit.scale * position @ fit.rotation.T + fit.translation
        else:
            position = np.repeat(centres.mean(0)[None], len(true), 0)
        result["position"] = float(100 * np.sqrt(((position - centres) ** 2).sum(1).mean()) / path)
    return result


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between rotations [L, 3, 3]."""
    trace = np.einsum("nji,nji->n", a, b)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def mask_figures(mask: np.ndarray, truth: Truth) -> dict[str, float]:
    """mask_recall, mask_precision: of a mask [L, h, w] against the character's silhouette, on the grid of the latter;
    mask_area: share of the picture that it covers.
    """
    figures = {"mask_area": float(mask.mean())}
    if truth.silhouette is None:
        return figures
    height, width = truth.silhouette.shape[1:]
    small = [cv2.resize(m.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0.5 for m in mask]
    both = float((np.stack(small) & truth.silhouette).sum())
    figures["mask_recall"] = both / max(float(truth.silhouette.sum()), 1.0)
    return figures | {"mask_precision": both / max(float(np.stack(small).sum()), 1.0)}


def depth_error(depth: DepthArtifact, truth: Truth) -> float:
    """Median relative error of inverse depth where the truth is not sky, %, after the best alignment with the truth
    that the map's kind allows: scale and shift of a relative map, else scale alone; one fit over the references.
    """
    height, width = truth.inverse_depth.shape[1:]
    estimated, wanted = [], []
    for values, reference in zip(depth.inverse_depth, depth.references, strict=True):
        shrinks = values.shape[0] >= height and values.shape[1] >= width
        coarse = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        known = truth.inverse_depth[reference] > 0
        estimated.append(coarse[known])
        wanted.append(truth.inverse_depth[reference][known])
    values, true = np.concatenate(estimated).astype(np.float64), np.concatenate(wanted).astype(np.float64)
    kind = "relative" if depth.kind == "relative" else "metric"
    fit = align_depth(
        values, true, kind=kind, path=1.0, median=float(np.median(values)), config=AlignmentConfig(), seed=0
    )
    return float(100 * np.median(np.abs(fit.apply(values) - true) / true))


def pck(pose: PoseArtifact, truth: Truth, size: tuple[int, int]) -> dict[str, float]:
    """pck: share of the limb joints inside the picture that are found within 0.2 of the torso (middle of shoulders to
    middle of hips, in the picture); a missing joint is wrong; absent
    where no joint is inside. found: share of frames in which someone was found.
    """
    if truth.limbs is None:
        return {}
    scale = np.array(size) / np.array(truth.size)
    wanted = (truth.limbs + 0.5) * scale - 0.5
    found = pose.body[:, 0, 5:]
    inside = ((wanted > -0.5) & (wanted < np.array(size) - 0.5)).all(-1)
    torso = np.linalg.norm(wanted[:, 0:2].mean(1) - wanted[:, 6:8].mean(1), axis=-1)
    distance = np.linalg.norm(found[..., :2] - wanted, axis=-1)
    right = (found[..., 2] > 0) & (distance < 0.2 * torso[:, None])
    share = {"pck": float(right[inside].mean())} if inside.any() else {}
    return share | {
        "found": float((found[..., 2] > 0).any(1).mean()),
        "joints_in_view": float(inside.mean()),
    }
