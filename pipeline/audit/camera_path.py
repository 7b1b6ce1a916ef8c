"""The camera's path from above and from the side, with frustums and the solver's points, as SVG."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from extractors.geometry.cameras import unproject
from schemas.artifacts.camera import CameraArtifact

_SIDE, _MARGIN = 320, 18
_FRUSTUMS = 8
_POINTS = 500
VIEWS = {"top": (0, 2), "side": (2, 1)}
"""World axes (right, up or down) of each view: from above x and z (forward is up), from the side z and y (y down)."""


def camera_views(camera: CameraArtifact, size: tuple[int, int], shown: Sequence[int]) -> list[tuple[str, Markup]]:
    """(name, SVG) of the two views. shown: frames of the film strip, whose places the page can mark.

    Both views have one scale in camera units; a path that is a point is drawn as one.
    """
    centres = camera.cam_to_world[:, :3, 3]
    points = _world_points(camera)
    reach = float(np.linalg.norm(np.ptp(centres, axis=0)))
    if len(points):
        depth = float(np.median(np.linalg.norm(points - centres.mean(0), axis=1)))
        points = points[np.linalg.norm(points - centres.mean(0), axis=1) < 2.5 * max(depth, 1e-9)]
    length = max(0.22 * reach, 0.12 * (float(np.ptp(points, axis=0).max()) if len(points) else 1.0), 1e-6)
    chosen = np.unique(np.linspace(0, len(centres) - 1, _FRUSTUMS).round().astype(int))
    frustums = [_frustum(camera, int(i), size, length) for i in chosen]
    everything = np.concatenate([centres, points, *frustums])
    span = max(float(np.ptp(everything, axis=0).max()), 1e-9)
    middle = (everything.max(0) + everything.min(0)) / 2
    return [(name, _view(name, axes, centres, points, frustums, shown, middle, span)) for name, axes in VIEWS.items()]


def _view(
    name: str,
    axes: tuple[int, int],
    centres: np.ndarray,
    points: np.ndarray,
    frustums: list[np.ndarray],
    shown: Sequence[int],
    middle: np.ndarray,
    span: float,
) -> Markup:
    scale = (_SIDE - 2 * _MARGIN) / span
    sign = -1.0 if name == "top" else 1.0  # seen from above, forward is up

    def at(places: np.ndarray) -> np.ndarray:
        flat = (places - middle)[..., list(axes)] * scale
        return flat * [1.0, sign] + _SIDE / 2

    parts = [f'<svg viewBox="0 0 {_SIDE} {_SIDE}" class="path" role="img" aria-label="camera path, {name} view">']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1" class="point"/>' for x, y in at(points)] if len(points) else []
    for corners in frustums:
        apex, *ends = at(corners)
        for i, end in enumerate(ends):
            following = ends[(i + 1) % len(ends)]
            parts.append(
                f'<path d="M{apex[0]:.1f} {apex[1]:.1f}L{end[0]:.1f} {end[1]:.1f}L{following[0]:.1f} '
                f'{following[1]:.1f}" class="frustum"/>'
            )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at(centres))
    parts.append(f'<polyline points="{line}" class="track"/>')
    start = at(centres[:1])[0]
    parts.append(
        f'<circle cx="{start[0]:.1f}" cy="{start[1]:.1f}" r="4" class="start"><title>first frame</title></circle>'
    )
    places = ";".join(f"{x:.1f},{y:.1f}" for x, y in at(centres[list(shown)]))
    parts.append(f'<circle r="5" class="now" data-places="{places}"/>')
    labels = ("x", "z") if name == "top" else ("z", "−y")
    parts.append(f'<text x="{_SIDE - 6}" y="{_SIDE - 6}" text-anchor="end">{labels[0]} →</text>')
    parts.append(f'<text x="6" y="14">{labels[1]} ↑</text></svg>')
    return Markup("".join(parts))  # noqa: S704 (numbers only)


def _world_points(camera: CameraArtifact) -> np.ndarray:
    """Some of the solver's points in world coordinates, float64 [N, 3]."""
    found = []
    for pose, lens, sparse in zip(camera.cam_to_world, camera.intrinsics, camera.sparse, strict=True):
        seen = sparse.inverse_depth > 0
        if seen.any():
            local = unproject(sparse.xy[seen], 1.0 / sparse.inverse_depth[seen], lens)
            found.append(local @ pose[:3, :3].T + pose[:3, 3])
    if not found:
        return np.zeros((0, 3))
    points = np.concatenate(found)
    return points[:: max(1, len(points) // _POINTS)]


def _frustum(camera: CameraArtifact, frame: int, size: tuple[int, int], length: float) -> np.ndarray:
    """Apex and four corners of one camera's frustum in world coordinates, [5, 3]."""
    width, height = size
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    local = np.concatenate([np.zeros((1, 3)), unproject(corners, length, camera.intrinsics[frame])])
    pose = camera.cam_to_world[frame]
    return local @ pose[:3, :3].T + pose[:3, 3]
