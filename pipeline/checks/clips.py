"""Physical consistency of single clips, judged by their measurements. Pure."""

from collections.abc import Callable, Iterator, Mapping

from pipeline.checks.measure import Measurement
from pipeline.checks.verdict import CheckLimits, CheckResult, Finding

Judge = Callable[[Measurement, CheckLimits], Iterator[tuple[str, float, float]]]
"""Yields (what is wrong, value, limit) of one clip."""


def check_clips(measured: Mapping[str, Measurement], total: int, limits: CheckLimits) -> list[CheckResult]:
    """One result a question. total: clips that are finished, measured or not."""
    note = "" if len(measured) >= total else f"{total - len(measured)} of {total} finished clips are not measured yet"
    questions: tuple[tuple[str, str, Judge], ...] = (
        ("warp", "does the scene motion carry the background of one frame onto another?", _warp),
        ("motion", "are the stored maps those of the stored cameras and depth?", _motion),
        ("camera", "does the camera move evenly, by proper rotations?", _camera),
        ("keypoints", "do keypoints stay in the frame?", _keypoints),
        ("depth_order", "is what the cameras saw nearer also nearer in the depth maps?", _depth),
    )
    results = []
    for name, question, judge in questions:
        findings = tuple(
            Finding(name, clip_id, text, value, limit)
            for clip_id, measurement in sorted(measured.items())
            for text, value, limit in judge(measurement, limits)
        )
        results.append(CheckResult(name, question, len(measured), findings, note))
    return results


def _warp(measurement: Measurement, limits: CheckLimits) -> Iterator[tuple[str, float, float]]:
    figures = measurement.figures
    gain, before = figures.get("warp_gain"), figures.get("still_error_grey", 0.0)
    if gain is not None and before >= limits.warp_from_grey and gain > limits.most_warp_gain:
        yield (
            f"the cameras do not explain the picture: the warp leaves {figures['warp_error_grey']:.1f} grey levels of "
            f"{before:.1f}",
            gain,
            limits.most_warp_gain,
        )
    change = figures.get("static_change")
    if change is not None and change > limits.most_static_change:
        yield "the camera is said to rest, but the background changes", change, limits.most_static_change


def _motion(measurement: Measurement, limits: CheckLimits) -> Iterator[tuple[str, float, float]]:
    value = measurement.figures.get("motion_mismatch_px")
    if value is not None and value > limits.most_motion_mismatch_px:
        text = "stored scene motion is not that of the stored cameras and depth (stale, swapped or damaged)"
        yield text, value, limits.most_motion_mismatch_px


def _camera(measurement: Measurement, limits: CheckLimits) -> Iterator[tuple[str, float, float]]:
    jerk, error = measurement.figures.get("camera_jerk"), measurement.figures.get("camera_orthonormal")
    if jerk is not None and jerk > limits.most_camera_jerk:
        yield "the camera jumps between two frames", jerk, limits.most_camera_jerk
    if error is not None and error > limits.most_camera_orthonormal:
        yield "a camera's rotation is not orthonormal", error, limits.most_camera_orthonormal


def _keypoints(measurement: Measurement, limits: CheckLimits) -> Iterator[tuple[str, float, float]]:
    value = measurement.figures.get("keypoints_in_frame")
    if value is not None and value < limits.least_keypoints_in_frame:
        yield "keypoints lie outside of the frame", value, limits.least_keypoints_in_frame


def _depth(measurement: Measurement, limits: CheckLimits) -> Iterator[tuple[str, float, float]]:
    value = measurement.figures.get("depth_rank")
    if value is not None and value < limits.least_depth_rank:
        yield "depth maps disagree with the camera's points about what is near", value, limits.least_depth_rank
