"""From a solution in working pixels to the artifact."""

import numpy as np
import pytest

from extractors.camera.result import fixed_centre, moving
from extractors.camera.tracks import Tracks
from extractors.geometry.cameras import project
from extractors.geometry.rigid import invert, rotation_from_vector, transform_points
from tests.extractors.camera.scenes import SIZE, path, room
from tests.extractors.camera.test_choose import exact


def test_points_of_the_artifact_project_where_they_are_in_every_frame() -> None:
    start = np.eye(4)
    start[:3, :3], start[:3, 3] = rotation_from_vector(np.array([0.1, 0.2, 0.3])), (5, 6, 7)
    cameras = path(12, np.array([1.0, 0.2, 0.3]), np.array([0, -0.2, 0.05]))
    points = transform_points(start, room(120, 1))
    solution = exact(start @ cameras, points, 400.0)
    artifact = moving(solution, (960, 720), "reconstruction")
    assert np.array_equal(artifact.cam_to_world[0], np.eye(4))
    assert artifact.intrinsics[0] == pytest.approx([800, 800, 479.5, 359.5])
    first, last = artifact.sparse[0], artifact.sparse[-1]
    assert np.median(1 / first.inverse_depth) == pytest.approx(1.0)
    # Points of the first frame, lifted by their depths, are found among those of the last one.
    depth = 1 / first.inverse_depth[:, None]
    ray = (first.xy - artifact.intrinsics[0, 2:]) / artifact.intrinsics[0, :2]
    lifted = np.concatenate([ray * depth, depth], axis=1)
    there, z = project(transform_points(invert(artifact.cam_to_world[-1]), lifted), artifact.intrinsics[-1])
    gap = np.linalg.norm(there[:, None] - last.xy[None], axis=2)
    seen = (there > 0).all(axis=1) & (there < [959, 719]).all(axis=1)
    assert seen.sum() > 40
    assert gap[seen].min(axis=1).max() < 0.01
    assert 1 / z[seen] == pytest.approx(last.inverse_depth[gap[seen].argmin(axis=1)], rel=1e-4)


def test_fixed_centre_has_no_translation() -> None:
    turns = rotation_from_vector(np.linspace(0, 0.3, 9)[:, None] * np.array([0, 1.0, 0]))
    empty = Tracks(np.zeros((9, 0, 2)), SIZE, principal=(100.0, 300.0))
    artifact = fixed_centre("rotation", np.swapaxes(turns, 1, 2), np.full(9, 300.0), empty, SIZE, "rotation")
    assert np.array_equal(artifact.cam_to_world[:, :3, 3], np.zeros((9, 3)))
    assert np.array_equal(artifact.cam_to_world[0], np.eye(4))
    assert artifact.cam_to_world[:, :3, :3] == pytest.approx(turns)
    assert all(len(sparse.inverse_depth) == 0 for sparse in artifact.sparse)
    assert np.array_equal(artifact.intrinsics, np.tile([300.0, 300, 100, 300], (9, 1)))
