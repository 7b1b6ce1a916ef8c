"""The report of `bench.fidelity`: Markdown from the figures of each shot."""

from typing import Any

import numpy as np

Row = dict[str, Any]
GOOD_PCK = 0.7
GOOD_SHARE = 0.15
ROUNDING = 1e-9
"""Cells. The truth is computed in float64; the smallest motion that a stored map can hold is seven times this."""
_INTRODUCTION = """# Fidelity: every signal against ground truth

Written by `make fidelity` (`python -m bench.fidelity`); run {dates} at {commits} ({machine}).
The stages ran one after the other, without Ray, with the embedded backends and default settings, from the video files:
decode, pose, camera (focal length unknown), depth, scene motion. The demo renders are 384 px, 48 frames; the MMD shots
are 512 px videos decoded to 768 px. Timings are wall seconds on a machine that others used at the same time.
"""
_LEGEND = """
- rotation: largest camera rotation error relative to the first frame. position: RMSE of the camera's path after
  similarity alignment, % of the path's length ("–": the true camera stays in place). focal: median error.
- motion: median length of the true scene motion over the frame step, in latent cells (8 frame pixels).
  error: end-point error, in cells: median over references and frames of each map's median. "true inputs": through the
  same stage from true cameras and depth; what is left is float16 and the grid. "true cameras": as where an MMD camera
  track or an import gives them, with points triangulated from tracks and the embedded depth. goal: at most max(0.5
  cells, 15 % of the motion) where the camera moves, exactly 0 where it is static.
- depth: median relative error of inverse depth, character included, after the alignment with the truth that its kind
  allows (a scale; scale and shift of a network's relative map). Where the camera does not translate it has no meaning.
- PCK: share of shoulders, elbows, wrists, hips, knees and ankles inside the picture found within 0.2 of the torso
  (middle of the shoulders to middle of the hips; docs/keypoints.md takes the longer diagonal and two joints more).
- mask: recall / precision against the character's silhouette (it is grown on purpose), "motion" where the network found
  no one and the mask is what moves otherwise than the camera; without a character "none", or the share of the picture
  that was masked all the same.
"""


def report(rows: list[Row], machine: str) -> str:
    """The whole document. rows: as `bench.fidelity.measure` makes them, or with `failed`."""
    done = [row for row in rows if "failed" not in row and "real" not in row]
    dates, commits = (sorted({row[name] for row in rows}) for name in ("date", "commit"))
    parts = [
        _INTRODUCTION.format(
            dates=" to ".join(sorted({dates[0], dates[-1]})) if dates else "never",
            commits=f"commit {commits[0]}"
            if len(commits) == 1
            else f"one of the commits {', '.join(commits)} each shot",
            machine=machine,
        ),
        _main_table(done),
        *(f"\n{row['shot']}: failed, {row['failed']}\n" for row in rows if "failed" in row),
        _LEGEND,
        _goal(done),
        _real_table([row for row in rows if "real" in row]),
        _alignment_table(done),
    ]
    return "\n".join(part for part in parts if part)


def meets_goal(row: Row, backend: str) -> bool:
    """Exactly 0 on a static shot; else at most max(0.5 cells, 15 % of the motion)."""
    figures = row["depth"][backend]
    if is_static(row):
        return bool(figures["epe_max"] < ROUNDING)
    return bool(figures["epe"] <= max(0.5, 0.15 * figures["motion"]))


def _share_of_motion(row: Row) -> float:
    """Error over the length of the motion, with the embedded depth."""
    figures = row["depth"]["reconstruction"]
    return float(figures["epe"] / figures["motion"])


def is_static(row: Row) -> bool:
    """The true camera neither moves nor zooms."""
    return bool(row["exact"]["motion"] < ROUNDING)


def _main_table(rows: list[Row]) -> str:
    head = [
        *("shot", "frames", "depth backend", "camera status", "rotation °", "position %", "focal %", "motion"),
        *(
            "error, true inputs",
            "error, true cameras",
            "error",
            "% of motion",
            "error p90",
            "goal",
            "depth %",
            "PCK@0.2",
            "mask",
            "pose s",
            "camera s",
            "depth s",
        ),
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        for backend, figures in row["depth"].items():
            moves = row.get("position") is not None
            cells = [
                row["shot"],
                str(row["frames"]),
                backend,
                row["camera_status"],
                _number(row["rotation"]),
                _number(row.get("position")),
                _number(row["focal"]) + (" (assumed)" if row["focal_source"] == "assumed" else ""),
                _number(figures["motion"]),
                _number(row["exact"]["epe"], 4),
                _number(row["given"]["epe"] if "given" in row and backend == "reconstruction" else None, 3),
                _number(figures["epe"], 3),
                _number(None if is_static(row) else 100 * figures["epe"] / figures["motion"], 0),
                _number(figures["epe_p90"], 3),
                "met" if meets_goal(row, backend) else "missed",
                _number(figures["depth_error"] if moves else None, 1),
                _number(row.get("pck")),
                _mask(row),
                _number(row["seconds"]["pose"], 0),
                _number(row["seconds"]["camera"], 0),
                _number(figures["seconds"], 1),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mask(row: Row) -> str:
    if "mask_recall" in row:
        figures = f"{row['mask_recall']:.2f} / {row['mask_precision']:.2f}"
        return figures + (" (motion)" if row["mask_from_motion"] else "")
    return f"{100 * row['mask_area']:.1f} % wrongly" if row["mask_area"] else "none"


def _real_table(rows: list[Row]) -> str:
    if not rows:
        return ""
    lines = [
        "## Real cameras\n",
        "Clips of RealEstate10K (16 frames at 8 a second, no one in them), whose poses are estimates themselves. Their",
        "pictures are squeezed (focal lengths differ by 18 % between the axes); every backend takes pixels for square.",
        "turn: the true camera's own rotation.\n",
        "| clip | camera status | rotation ° | turn ° | position % | points live | unexplained % | parallax ° "
        "| rivals apart ° | mask |",
        "|" + " --- |" * 10,
    ]
    for row in rows:
        figures = row["figures"]
        hidden = figures["moving_background"]
        cells = [
            row["real"].removeprefix("real_"),
            row["camera_status"],
            _number(row["rotation"]),
            _number(row["turn"], 1),
            _number(row["position"], 1),
            _number(figures["tracks_live"], 0),
            _number(None if hidden is None else 100 * hidden, 0),
            _number(figures["parallax_deg"], 1),
            _number(figures["rivals_apart_deg"], 1),
            _mask(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _goal(rows: list[Row]) -> str:
    missed = [row for row in rows if not meets_goal(row, "reconstruction")]
    text = f"With the embedded backends {len(rows) - len(missed)} of {len(rows)} shots meet the goal of scene motion.\n"
    for row in missed:
        cause = (
            "the camera stage found no cameras it believes, says so (status unsolved), and the map is valid nowhere"
            if row["camera_status"] == "unsolved"
            else f"the camera was taken for {row['camera_status']}"
        )
        text += f"- {row['shot']} misses it: {cause}.\n"
    moving = [row for row in rows if not is_static(row)]
    within = [row for row in moving if _share_of_motion(row) <= GOOD_SHARE]
    text += (
        f"Half a cell is more than the whole motion of some shots; taken by the motion alone, {len(within)} of the "
        f"{len(moving)} shots that are not static have an error of at most {100 * GOOD_SHARE:.0f} % of it.\n"
    )
    for row in moving:
        if row not in within:
            text += f"- {row['shot']}: {100 * _share_of_motion(row):.0f} % of the motion.\n"
    for row in moving:
        if row.get("position") is not None and row["camera_status"] != "moving":
            text += (
                f"- {row['shot']}: the true camera travels, and was taken for {row['camera_status']} "
                f"({row['rotation']:.2f}° off, focal length {row['focal']:.0f} %).\n"
            )
    low = [row for row in rows if row.get("pck", 1.0) < GOOD_PCK]
    for row in low:
        text += (
            f"- {row['shot']}: PCK {row['pck']:.2f} with {100 * row['joints_in_view']:.0f} % of the joints in the "
            f"picture; someone was found in {100 * row['found']:.0f} % of the frames.\n"
        )
    return text


def _alignment_table(rows: list[Row]) -> str:
    """Only shots whose camera was found to move: elsewhere depth has no influence."""
    rows = [
        row
        for row in rows
        if "alignment" in row and row["camera_status"] == "moving" and row.get("position") is not None
    ]
    if not rows:
        return ""
    lines = [
        "## Depth and camera in one scale\n",
        "Scene-motion error (cells, as above) with the depth network of the `onnx` backend (TCMonoDepth small) and the",
        "estimated cameras: depth aligned to the camera's sparse points; its scale guessed, as the stage does for want",
        "of points; and z = 100 − 50·d without alignment, as in the published code.\n",
        "| shot | motion | aligned | scale guessed | not aligned |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        errors = [row["alignment"][name]["epe"] for name in ("aligned", "guessed", "published")]
        cells = [row["shot"], _number(row["exact"]["motion"], 2), *(_number(error, 3) for error in errors)]
        lines.append("| " + " | ".join(cells) + " |")
    medians = [
        float(np.median([row["alignment"][n]["epe"] for row in rows])) for n in ("aligned", "guessed", "published")
    ]
    lines.append(f"| median | | {' | '.join(_number(m, 3) for m in medians)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int = 2) -> str:
    if value is None or np.isnan(value):
        return "–"
    return "none valid" if np.isinf(value) else f"{value:.{digits}f}"
