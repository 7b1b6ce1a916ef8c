"""Triangulation, pruning and bundle adjustment of tracks, for `sfm_worker` alone: never imported beside OpenCV.

Tracks xy are float64 [L, N, 2], NaN where unseen, pixel (0, 0) the centre of the first; size is (width, height).
"""

from dataclasses import dataclass, replace

import numpy as np
import pycolmap

from extractors.geometry import triangulation


@dataclass(frozen=True)
class Model:
    """Cameras and points. world_to_cam [L, 4, 4], focal [L], points [N, 3] (NaN: none), used bool [L, N]."""

    world_to_cam: np.ndarray
    focal: np.ndarray
    points: np.ndarray
    used: np.ndarray


def pinhole(size: np.ndarray, focal: float, camera_id: int | None = None) -> pycolmap.Camera:
    width, height = int(size[0]), int(size[1])
    camera = pycolmap.Camera(model="SIMPLE_PINHOLE", width=width, height=height, params=[focal, width / 2, height / 2])
    if camera_id is not None:
        camera.camera_id = camera_id
    return camera


def rays(xy: np.ndarray, size: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """Tracks in the normalised image plane [L, N, 2]."""
    return (xy - (size - 1) / 2) / focal[:, None, None]


def triangulate(
    xy: np.ndarray,
    size: np.ndarray,
    world_to_cam: np.ndarray,
    focal: np.ndarray,
    used: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Points [N, 3] of all tracks by linear least squares (DLT) where `known` [N, 3] is NaN; NaN where the track is
    seen in fewer than three frames.
    """
    return np.where(np.isfinite(known), known, triangulation.triangulate(rays(xy, size, focal), world_to_cam, used))


def residuals(model: Model, xy: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reprojection errors in pixels [L, N], and depths [L, N]; NaN where unseen or not triangulated."""
    in_camera = np.einsum("lij,nj->lni", model.world_to_cam[:, :3, :3], model.points)
    in_camera = in_camera + model.world_to_cam[:, None, :3, 3]
    depth = in_camera[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (in_camera[..., :2] / depth[..., None] - rays(xy, size, model.focal)) * model.focal[:, None, None]
    return np.linalg.norm(error, axis=-1), depth


def prune(model: Model, xy: np.ndarray, size: np.ndarray, limit: float) -> Model:
    """Keeps observations within `limit` pixels and in front of the camera, and points with three of them left."""
    error, depth = residuals(model, xy, size)
    with np.errstate(invalid="ignore"):
        used = np.isfinite(xy[..., 0]) & (error < limit) & (depth > 1e-6)
    enough = used.sum(axis=0) >= 3
    return replace(model, used=used & enough, points=np.where(enough[:, None], model.points, np.nan))


def adjust(model: Model, xy: np.ndarray, size: np.ndarray, noise: float, *, fix_focal: bool, shared: bool) -> Model:
    """Bundle adjustment over all frames and points by pycolmap (Ceres), with a robust loss of scale `noise` pixels."""
    reconstruction = pycolmap.Reconstruction()
    image_points = {}
    for frame in range(len(xy)):
        camera_id = 1 if shared else frame + 1
        if not reconstruction.exists_camera(camera_id):
            reconstruction.add_camera_with_trivial_rig(pinhole(size, float(model.focal[frame]), camera_id))
        columns = np.flatnonzero(model.used[frame])
        image_points[frame] = columns
        image = pycolmap.Image(
            name=str(frame), keypoints=xy[frame, columns] + 0.5, camera_id=camera_id, image_id=frame + 1
        )
        reconstruction.add_image_with_trivial_frame(image, pycolmap.Rigid3d(model.world_to_cam[frame, :3]))
    tracks: dict[int, list[pycolmap.TrackElement]] = {}
    for frame, columns in image_points.items():
        for index, column in enumerate(columns.tolist()):
            tracks.setdefault(column, []).append(pycolmap.TrackElement(frame + 1, index))
    for column, elements in sorted(tracks.items()):
        reconstruction.add_point3D_with_id(
            column + 1, pycolmap.Point3D(xyz=model.points[column], track=pycolmap.Track(elements))
        )
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length, options.refine_extra_params, options.print_summary = not fix_focal, False, False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.CAUCHY, noise
    solver = options.ceres.solver_options
    solver.num_threads, solver.max_num_iterations, solver.function_tolerance = 1, 30, 1e-5
    config = pycolmap.BundleAdjustmentConfig()
    for frame in range(len(xy)):
        config.add_image(frame + 1)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, reconstruction).solve()
    world_to_cam = model.world_to_cam.copy()
    focal = model.focal.copy()
    points = model.points.copy()
    for frame in range(len(xy)):
        image = reconstruction.image(frame + 1)
        world_to_cam[frame, :3] = image.cam_from_world().matrix()
        focal[frame] = image.camera.params[0]
    for column in tracks:
        points[column] = reconstruction.point3D(column + 1).xyz
    return Model(world_to_cam, focal, points, model.used)
