"""Moving cameras: hypotheses compete, the best is refined, and the evidence decides whether it is believed."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import make_smoothing_spline

from extractors.camera.choose import Evidence, disagreement, focal_deviation, weigh
from extractors.camera.sfm import Mapper, Solution, Solver, SolverError
from extractors.camera.tracks import Tracks

FOCAL_OBSERVED = 0.05
"""Standard deviation of the log focal length up to which a reconstruction's focal length is taken for a measurement."""
ZOOM_RANGE = 0.02
ZOOM_GAIN = 0.97


@dataclass(frozen=True)
class Found:
    """The chosen reconstruction. observed: its focal length is measured (else it is the assumed or given one).
    deviation: standard deviation of the log focal length before anything was assumed. tried: hypotheses run; solved:
    those that ended believable. apart: rotation in degrees between the two best of different origin, NaN if only one.
    """

    solution: Solution
    evidence: Evidence
    observed: bool
    deviation: float
    tried: int
    solved: int
    apart: float


@dataclass(frozen=True)
class Search:
    """solver: runs the jobs. focal: assumed or known focal length in working pixels. known: it is known. key_step:
    frames from one keyframe of the mappers to the next. zoom: focal length of each frame over that of the first, as a
    turning camera would explain the clip (a further hypothesis), or None.
    """

    solver: Solver
    focal: float
    known: bool
    key_step: int
    zoom: np.ndarray | None

    def run(self, tracks: Tracks) -> Found | None:
        """The best believable reconstruction of the tracks, or None."""
        length = len(tracks.xy)
        keys = np.unique(np.r_[np.arange(0, length, self.key_step), length - 1])
        tried, rivals = 0, list[tuple[Solution, Evidence]]()
        for mapper, factor, profile in self._plan():
            tried += 1
            try:
                solution = self._hypothesis(tracks, keys, mapper, factor, profile)
            except SolverError:
                continue
            evidence = weigh(solution)
            if evidence.believable or self._only_parallax_lacks(solution, evidence):
                rivals.append((solution, evidence))
            if evidence.convincing:
                break
        if not rivals:
            return None
        rivals.sort(key=lambda rival: rival[1].loss)
        solution, evidence = rivals[0]
        try:
            mirrored = self.solver.refine(mirror(solution), "mirrored")
            tried += 1
            if weigh(mirrored).believable and weigh(mirrored).loss < evidence.loss:
                solution, evidence = mirrored, weigh(mirrored)
        except SolverError:
            tried += 1
        apart = disagreement(rivals[1][0], rivals[0][0])[0] if len(rivals) > 1 else float("nan")
        deviation = focal_deviation(solution)
        observed = not self.known and deviation < FOCAL_OBSERVED
        if observed:
            solution = self._with_zoom(solution, evidence)
        elif not self.known:
            solution = self._with_assumed_focal(tracks, keys, solution, evidence)
        evidence = weigh(solution)
        if not evidence.believable:
            return None
        return Found(solution, evidence, observed, deviation, tried, len(rivals), apart)

    def _plan(self) -> list[tuple[Mapper, float, bool]]:
        """(mapper, focal length over the assumed one, undo the zoom first), the likeliest first."""
        plan: list[tuple[Mapper, float, bool]] = [("global", 1.0, False), ("incremental", 1.0, False)]
        if self.zoom is not None:
            plan += [("global", 1.0, True), ("incremental", 1.0, True)]
        if not self.known:
            plan += [("global", 0.5, False), ("incremental", 0.5, False), ("global", 2.0, False)]
        return plan

    def _hypothesis(self, tracks: Tracks, keys: np.ndarray, mapper: Mapper, factor: float, profile: bool) -> Solution:
        if not profile or self.zoom is None:
            return self.solver.map(tracks, keys, mapper, self.focal * factor, fix_focal=self.known)
        steadied = without_zoom(tracks, self.zoom)
        found = self.solver.map(steadied, keys, mapper, self.focal * factor, fix_focal=self.known)
        return replace(found, tracks=tracks, focal=found.focal * self.zoom)

    def _only_parallax_lacks(self, solution: Solution, evidence: Evidence) -> bool:
        """A far too long focal length hides the parallax of a camera that does not turn; it is put right later."""
        deep = replace(evidence, parallax=1.0)
        return deep.believable and not self.known and focal_deviation(solution) > FOCAL_OBSERVED

    def _with_zoom(self, solution: Solution, evidence: Evidence) -> Solution:
        """The solution with a focal length that changes smoothly, if that explains the clip clearly better."""
        try:
            free = self.solver.refine(solution, "free zoom", free_zoom=True)
            smooth = smooth_focal(free.focal)
            if np.ptp(np.log(smooth)) < ZOOM_RANGE or weigh(free).error > ZOOM_GAIN * evidence.error:
                return self.solver.refine(solution, solution.name)
            profile = smooth / smooth[0]
            constant = np.full_like(smooth, smooth[0])
            steadied = replace(free, tracks=without_zoom(solution.tracks, profile), focal=constant)
            fixed = self.solver.refine(steadied, f"{solution.name}, zoom")
        except SolverError:
            return solution
        fixed = replace(fixed, tracks=solution.tracks, focal=fixed.focal * profile)
        return fixed if weigh(fixed).error < 1.05 * weigh(free).error else free

    def _with_assumed_focal(self, tracks: Tracks, keys: np.ndarray, solution: Solution, evidence: Evidence) -> Solution:
        """The cameras of the assumed focal length, where every other one explains the clip as well."""
        for mapper in ("global", "incremental"):
            try:
                found = self.solver.map(tracks, keys, mapper, self.focal, fix_focal=True)
            except SolverError:
                continue
            if weigh(found).believable and weigh(found).loss < 1.1 * evidence.loss:
                return found
        return solution


def without_zoom(tracks: Tracks, zoom: np.ndarray) -> Tracks:
    """The tracks as a camera of constant focal length would have seen them; zoom [L]: focal length over the first."""
    centre = (np.array(tracks.size) - 1) / 2
    return Tracks((tracks.xy - centre) / zoom[:, None, None] + centre, tracks.size)


def smooth_focal(focal: np.ndarray) -> np.ndarray:
    """Focal lengths [L] with the noise taken out: a smoothing spline through their logarithms, strength by
    generalised cross-validation.
    """
    if len(focal) < 5:
        return np.full_like(focal, np.median(focal))
    frames = np.arange(len(focal), dtype=float)
    return np.exp(make_smoothing_spline(frames, np.log(focal))(frames))


def mirror(solution: Solution) -> Solution:
    """The depth-reversed twin: under weak perspective the scene turned inside out, with all rotations reversed, gives
    nearly the same pictures (Necker reversal).
    """
    flip = np.diag([1.0, 1.0, -1.0])
    first = solution.world_to_cam[0]
    points = solution.points @ first[:3, :3].T + first[:3, 3]
    middle = np.nanmedian(points, axis=0)
    relative = solution.world_to_cam @ np.linalg.inv(first)
    poses = np.tile(np.eye(4), (len(relative), 1, 1))
    poses[:, :3, :3] = flip @ relative[:, :3, :3] @ flip
    # Where the middle of the scene is in each camera stays as it was.
    where = relative[:, :3, :3] @ middle + relative[:, :3, 3]
    poses[:, :3, 3] = where - poses[:, :3, :3] @ middle
    return replace(solution, world_to_cam=poses)
