"""Structure from motion on tracks: starts `sfm_worker` in a process of its own and judges what comes back."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from extractors.camera.tracks import Tracks

Mapper = Literal["global", "incremental"]


class SolverError(RuntimeError):
    """This attempt gave no cameras (out of time, or the solver's process died); others may."""


class NoModelError(SolverError):
    """The solver ran, and found that the tracks make no scene."""


@dataclass(frozen=True)
class Solution:
    """Cameras and points that explain tracks.

    world_to_cam float64 [L, 4, 4]; focal [L] in working pixels; points [N, 3] in the cameras' world, NaN where the
    track has none; used bool [L, N], observations explained; registered: share of keyframes that the mapper placed.
    """

    name: str
    tracks: Tracks
    world_to_cam: np.ndarray
    focal: np.ndarray
    points: np.ndarray
    used: np.ndarray
    registered: float

    @property
    def cam_to_world(self) -> np.ndarray:
        return np.linalg.inv(self.world_to_cam)

    def in_cameras(self) -> np.ndarray:
        """The points in the axes of every camera, [L, N, 3]."""
        turned = np.einsum("lij,nj->lni", self.world_to_cam[:, :3, :3], self.points)
        return turned + self.world_to_cam[:, None, :3, 3]

    def errors(self) -> np.ndarray:
        """Distances in working pixels between tracks and points [L, N]; NaN where either is missing."""
        local = self.in_cameras()
        with np.errstate(divide="ignore", invalid="ignore"):
            predicted = self.focal[:, None, None] * local[..., :2] / local[..., 2:] + self.tracks.centre
        return np.linalg.norm(predicted - self.tracks.xy, axis=-1)


@dataclass(frozen=True)
class Solver:
    """Runs jobs of `sfm_worker`. noise: pixels, the scale of its robust loss. cpu_s: seconds of processor time for one
    job. hang_s: seconds on the clock after which it counts as hung.
    """

    noise: float
    cpu_s: int
    hang_s: float

    def map(self, tracks: Tracks, keys: np.ndarray, mapper: Mapper, focal: float, *, fix_focal: bool) -> Solution:
        """Cameras from nothing: keyframes by a mapper, all others resected, one bundle adjustment over all."""
        name = f"{mapper} {focal / tracks.size[0]:.2f}"
        job = {"mapper": mapper, "keys": keys, "focal": np.full(len(tracks.xy), focal), "fix_focal": fix_focal}
        return self._run(name, tracks, job | {"free_zoom": False, "rounds": 1}, len(keys))

    def refine(
        self, start: Solution, name: str, *, fix_focal: bool = False, free_zoom: bool = False, rounds: int = 1
    ) -> Solution:
        """Bundle adjustment of all frames, points and focal lengths from a solution."""
        job = {"mapper": "given", "focal": start.focal, "world_to_cam": start.world_to_cam, "fix_focal": fix_focal}
        refined = self._run(name, start.tracks, job | {"free_zoom": free_zoom, "rounds": rounds}, len(start.focal))
        return replace(refined, registered=start.registered)

    def _run(self, name: str, tracks: Tracks, job: dict[str, Any], wanted: int) -> Solution:
        xy, size = centred(tracks)
        job = job | {"xy": xy, "size": size, "noise": self.noise, "cpu_s": self.cpu_s}
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with tempfile.TemporaryDirectory(prefix="mikudance-sfm-") as folder:
            question, answer = Path(folder) / "job.npz", Path(folder) / "result.npz"
            np.savez(question, **job)
            command = [sys.executable, "-m", "extractors.camera.sfm_worker", str(question), str(answer)]
            try:
                done = subprocess.run(command, env=environment, capture_output=True, timeout=self.hang_s, check=False)
            except subprocess.TimeoutExpired:
                raise SolverError(f"{name}: no answer within {self.hang_s:.0f} s") from None
            if done.returncode or not answer.exists():
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
                raise SolverError(f"{name}: the solver's process ended with code {done.returncode}: {last[0]}")
            with np.load(answer, allow_pickle=False) as stored:
                result = dict(stored)
        if "problem" in result:
            raise NoModelError(f"{name}: {result['problem']}")
        registered = float(result.pop("registered")) / wanted
        if not all(np.isfinite(result[key]).all() for key in ("world_to_cam", "focal")):
            raise SolverError(f"{name}: the solver gave cameras that are not finite")
        return Solution(name=name, tracks=tracks, registered=registered, **result)


def centred(tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """The tracks' positions [L, N, 2] in the smallest picture about them whose middle is the principal point, and its
    size, int [2] (width, height): mappers doubt a camera whose lens looks past its picture, and need not know of one.
    """
    size = np.array(tracks.size)
    reach = np.maximum(tracks.centre + 0.5, size - 0.5 - tracks.centre)
    whole = np.maximum(np.ceil(2 * reach - 1e-6).astype(int), size)
    return tracks.xy + ((whole - 1) / 2 - tracks.centre), whole
