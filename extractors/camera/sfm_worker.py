"""Structure from motion by pycolmap, in a process of its own: `python -m extractors.camera.sfm_worker JOB RESULT`.

A wrong call ends the process from C++, and pycolmap and OpenCV do not live together in one process, so this module is
started by `extractors.camera.sfm` alone, with its input and output as files, and imports neither OpenCV nor anything
that does. One thread and fixed seeds: the same job gives the same bytes.

Job (.npz): xy float64 [L, N, 2] (tracks, NaN where unseen, pixel (0, 0) the centre of the first), size int [2] (width,
height), mapper ("global", "incremental" or "given"), focal float64 [L] (pixels; one value but for "given"), fix_focal
bool, keys int [n] (keyframes of the mapper), world_to_cam float64 [L, 4, 4] (of mapper "given"), free_zoom bool (every
frame has a focal length of its own), rounds int (bundle adjustments), noise float (pixels, scale of the robust loss),
cpu_s int (seconds of processor time, after which the process ends).
Result (.npz): world_to_cam [L, 4, 4], focal [L], points [N, 3] (NaN where not triangulated), used bool [L, N]
(observations that the solution explains), registered int (keyframes that the mapper placed); or problem str.
"""

import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap

from extractors.camera.bundle import Model, adjust, pinhole, prune, triangulate

PAIR_GAPS = (1, 2, 3, 5, 8, 13, 21, 34, 55)
PAIR_TRACKS = 25
PAIR_INLIERS = 15
MIN_ANGLE_DEG = 0.5


def main(job_path: str, result_path: str) -> None:
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)
    pycolmap.set_random_seed(0)
    with np.load(job_path, allow_pickle=False) as stored:
        job = dict(stored)
    # Processor time, unlike time on the clock, does not depend on what else the machine does. The kernel ends us.
    seconds = int(job["cpu_s"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    result = solve(job)
    with Path(result_path).open("wb") as file:
        np.savez(file, allow_pickle=False, **result)


def solve(job: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The result of a job (module docstring)."""
    xy, size, focal = job["xy"], job["size"], job["focal"]
    fix_focal, noise = bool(job["fix_focal"]), float(job["noise"])
    if str(job["mapper"]) == "given":
        world_to_cam, registered = job["world_to_cam"], len(xy)
    else:
        placed = map_keyframes(xy, size, job["keys"], str(job["mapper"]), float(focal[0]), fix_focal)
        if placed is None:
            return {"problem": np.array("the mapper found no model")}
        keys, poses, shared, anchors = placed
        registered, focal = len(keys), np.full(len(xy), shared)
        world_to_cam = resect(xy, size, keys, poses, shared, anchors)
    seen = np.isfinite(xy[..., 0])
    model = Model(world_to_cam, focal, np.full((xy.shape[1], 3), np.nan), seen)
    for number in range(int(job["rounds"])):
        # What the first cameras put nowhere sensible gets another chance with better ones.
        points = triangulate(xy, size, model.world_to_cam, model.focal, seen, model.points)
        model = prune(replace(model, points=points), xy, size, (6 if number else 16) * noise)
        model = adjust(model, xy, size, noise, fix_focal=fix_focal, shared=not bool(job["free_zoom"]))
    model = prune(model, xy, size, 4 * noise)
    return {
        "world_to_cam": model.world_to_cam,
        "focal": model.focal,
        "points": model.points,
        "used": model.used,
        "registered": np.array(registered),
    }


def map_keyframes(
    xy: np.ndarray, size: np.ndarray, keys: np.ndarray, mapper: str, focal: float, fix_focal: bool
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray] | None:
    """Keyframes placed by a mapper: their frame numbers, world_to_cam, the focal length, points [N, 3] by track."""
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "tracks.db")
        columns = fill_database(database, xy, size, keys, focal)
        run = map_globally if mapper == "global" else map_incrementally
        found = run(database, folder, fix_focal)
    if not found:
        return None
    best = max(found.values(), key=lambda r: (r.num_reg_images(), r.num_points3D()))
    images = sorted((image for image in best.images.values() if image.has_pose), key=lambda image: int(image.name))
    if len(images) < 3:
        return None
    points = np.full((xy.shape[1], 3), np.nan)
    for image in images:
        for index in image.get_observation_point2D_idxs():
            point = best.point3D(image.point2D(index).point3D_id)
            points[columns[int(image.name)][index]] = point.xyz
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    poses[:, :3] = [image.cam_from_world().matrix() for image in images]
    return np.array([int(image.name) for image in images]), poses, float(images[0].camera.params[0]), points


def fill_database(path: str, xy: np.ndarray, size: np.ndarray, keys: np.ndarray, focal: float) -> dict[int, np.ndarray]:
    """Writes the tracks at the keyframes as keypoints and verified matches; returns the track of each keypoint."""
    database = pycolmap.Database.open(path)
    camera = pinhole(size, focal)
    camera_id = database.write_camera(camera)
    sensor = pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(sensor)
    rig_id = database.write_rig(rig)
    columns, points, images = {}, {}, {}
    for key in map(int, keys):
        columns[key] = np.flatnonzero(np.isfinite(xy[key, :, 0]))
        points[key] = xy[key, columns[key]] + 0.5
        images[key] = database.write_image(pycolmap.Image(name=str(key), camera_id=camera_id))
        frame = pycolmap.Frame()
        frame.rig_id = rig_id
        frame.add_data_id(pycolmap.data_t(sensor, images[key]))
        database.write_frame(frame)
        database.write_keypoints(images[key], points[key].astype(np.float32))
    options = pycolmap.TwoViewGeometryOptions()
    options.min_num_inliers = PAIR_INLIERS
    options.ransac.max_error = 2.0
    options.ransac.random_seed = 0
    for number, first in enumerate(columns):
        for gap in PAIR_GAPS:
            if number + gap >= len(keys):
                break
            second = int(keys[number + gap])
            common, left, right = np.intersect1d(columns[first], columns[second], return_indices=True)
            if len(common) < PAIR_TRACKS:
                continue
            matches = np.stack([left, right], axis=1).astype(np.uint32)
            geometry = pycolmap.estimate_two_view_geometry(
                camera, points[first], camera, points[second], matches, options
            )
            if len(geometry.inlier_matches) >= PAIR_INLIERS:
                database.write_matches(images[first], images[second], matches)
                database.write_two_view_geometry(images[first], images[second], geometry)
    database.close()
    return columns


def map_globally(database: str, folder: str, fix_focal: bool) -> dict[int, pycolmap.Reconstruction]:
    options = pycolmap.GlobalPipelineOptions()
    mapper = options.mapper
    for part in (options, mapper):
        part.num_threads, part.random_seed = 1, 0
    for part in (mapper.rotation_averaging, mapper.global_positioning, mapper.retriangulation):
        part.random_seed = 0
    mapper.global_positioning.use_gpu = mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    mapper.bundle_adjustment.refine_focal_length = not fix_focal
    mapper.min_tri_angle_deg = mapper.retriangulation.min_angle = MIN_ANGLE_DEG
    return pycolmap.global_mapping(database, folder, folder, options)


def map_incrementally(database: str, folder: str, fix_focal: bool) -> dict[int, pycolmap.Reconstruction]:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = 0
    options.extract_colors = options.multiple_models = options.ba_refine_extra_params = False
    options.min_model_size = 3
    options.ba_refine_focal_length = options.mapper.abs_pose_refine_focal_length = not fix_focal
    options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 4.0, 40
    options.mapper.init_max_forward_motion = 1.0
    options.mapper.filter_max_reproj_error, options.mapper.abs_pose_max_error = 2.0, 4.0
    options.mapper.filter_min_tri_angle = options.triangulation.min_angle = MIN_ANGLE_DEG
    return pycolmap.incremental_mapping(database, folder, folder, options)


def resect(
    xy: np.ndarray, size: np.ndarray, keys: np.ndarray, poses: np.ndarray, focal: float, points: np.ndarray
) -> np.ndarray:
    """world_to_cam of all frames [L, 4, 4]: keyframes as given, the others from the points they see, or else by
    interpolation between their neighbours (camera centres linear, rotations along the geodesic).
    """
    known = dict(zip(map(int, keys), poses, strict=True))
    camera = pinhole(size, focal)
    options = pycolmap.AbsolutePoseEstimationOptions()
    options.ransac.random_seed, options.ransac.max_error = 0, 4.0
    for frame in range(len(xy)):
        seen = np.isfinite(xy[frame, :, 0]) & np.isfinite(points[:, 0])
        if frame in known or seen.sum() < 12:
            continue
        found = pycolmap.estimate_and_refine_absolute_pose(xy[frame, seen] + 0.5, points[seen], camera, options)
        if found is not None and found["num_inliers"] >= max(10, 0.4 * seen.sum()):
            known[frame] = np.vstack([found["cam_from_world"].matrix(), [0, 0, 0, 1]])
    placed = sorted(known)
    result = []
    for frame in range(len(xy)):
        right = int(np.searchsorted(placed, frame))
        after, before = placed[min(right, len(placed) - 1)], placed[max(right - 1, 0)]
        share = 0.0 if after == before else np.clip((frame - before) / (after - before), 0, 1)
        pose = pycolmap.interpolate_camera_poses(
            pycolmap.Rigid3d(known[before][:3]), pycolmap.Rigid3d(known[after][:3]), share
        ).matrix()
        result.append(known.get(frame, np.vstack([pose, [0, 0, 0, 1]])))
    return np.stack(result)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
