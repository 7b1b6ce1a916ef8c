"""How right every signal is, measured against ground truth: `python -m bench.fidelity` writes docs/fidelity.md.

Runs the stages one after the other, without Ray, on the project's own renders and, where they are, on the rendered MMD
shots of the test inputs (environment variable MIKUDANCE_TEST_DATA). Each shot's figures are kept in the work folder as
soon as they are known, and shots that are there already are not measured again (`--again` does).
"""

import argparse
import fnmatch
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.fidelity_measures import (
    CELL,
    camera_errors,
    depth_error,
    mask_figures,
    motion_errors,
    on_grid,
    pck,
    true_lenses,
    turn_and_path,
)
from bench.fidelity_report import report
from bench.fidelity_shots import RealClip, Shot, demo_shots, mmd_shots, real_clips
from extractors.camera.backend import SfmCameraConfig, track_clip
from extractors.camera.sparse import sparse_points
from extractors.depth.onnx import OnnxDepthConfig
from extractors.geometry.cameras import intrinsics_vector
from extractors.geometry.trajectory import path_length
from extractors.protocols import ExtractionError
from pipeline.demo import render_demo
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.camera import CameraConfig, CameraStage
from stages.decode import DecodeConfig, DecodeStage
from stages.depth import DepthConfig, DepthStage
from stages.jpeg import decode_frames
from stages.pose import PoseConfig, PoseStage
from stages.scene_motion import SceneMotionConfig, SceneMotionStage
from tests.paths import TEST_DATA

DEMO_SIZE, MMD_SIZE = 384, 768
NETWORK = TEST_DATA / "weights" / "tcmonodepth_small_192x320.onnx"
Tables = dict[str, pa.Table]


class Tools:
    """The stages with their models loaded."""

    def __init__(self, network: Path | None) -> None:
        self.pose = PoseStage(PoseConfig())
        self.camera = CameraStage(CameraConfig())
        self.scene_motion = SceneMotionStage(SceneMotionConfig())
        self.depths = {"reconstruction": DepthStage(DepthConfig())}
        if network is not None:
            self.depths["onnx"] = DepthStage(DepthConfig(backend=OnnxDepthConfig(path=network)))


def measure(shot: Shot, tools: Tools) -> dict[str, Any]:
    """All figures of one shot, as plain JSON. Stages that fail on it are named in `failed`."""
    size = (shot.frame_size, shot.frame_size)
    tables: Tables = {"decode": DecodeStage(DecodeConfig(size=shot.frame_size)).run(shot.clip, {})}
    row: dict[str, Any] = {"shot": shot.name, "frames": shot.clip.frame_count, "seconds": {}}
    for name, stage in (("pose", tools.pose), ("camera", tools.camera)):
        start = time.perf_counter()
        tables[name] = stage.run(shot.clip, tables)
        row["seconds"][name] = round(time.perf_counter() - start, 1)
    camera = CameraArtifact.from_table(tables["camera"])
    row["camera_status"], row["focal_source"] = camera.status, camera.focal_source
    pose = PoseArtifact.from_table(tables["pose"])
    row |= camera_errors(camera, shot.truth, size) | pck(pose, shot.truth, size) | mask_figures(pose.mask, shot.truth)
    row["mask_from_motion"] = "mask_from_motion" in read_header(tables["pose"]).quality
    row["depth"] = {}
    # The network comes last: the comparison of alignments goes on from its depth.
    for name, depth in tools.depths.items():
        start = time.perf_counter()
        tables["depth"] = depth.run(shot.clip, tables)
        seconds = time.perf_counter() - start
        row["depth"][name] = _with_depth(shot, tools, tables, size) | {"seconds": round(seconds, 1)}
    row["exact"] = _with_truth(shot, tools, tables, size)
    if path_length(shot.truth.cam_to_world) > 0:
        row["given"] = _with_given_cameras(shot, tools, tables, size)
    if "onnx" in tools.depths:
        row["alignment"] = _alignments(shot, tools, tables, size)
    return row


def _with_depth(shot: Shot, tools: Tools, tables: Tables, size: tuple[int, int]) -> dict[str, Any]:
    made = tools.scene_motion.run(shot.clip, tables)
    errors = motion_errors(SceneMotionArtifact.from_table(made), shot.truth, size)
    return errors | {"depth_error": depth_error(DepthArtifact.from_table(tables["depth"]), shot.truth)}


def _true_cameras(shot: Shot, size: tuple[int, int]) -> CameraArtifact:
    """The truth as the camera stage would give it, without points."""
    truth = shot.truth
    still = bool((truth.cam_to_world == truth.cam_to_world[0]).all() and not np.ptp(truth.K, axis=0).any())
    return CameraArtifact(
        status="static" if still else "moving",
        cam_to_world=np.linalg.inv(truth.cam_to_world[0]) @ truth.cam_to_world
        if not still
        else np.tile(np.eye(4), (len(truth.K), 1, 1)),
        intrinsics=intrinsics_vector(true_lenses(truth, size)),
        sparse=(SparseDepth(np.zeros((0, 2)), np.zeros(0)),) * len(truth.K),
        focal_source="imported",
    )


def _with_given_cameras(shot: Shot, tools: Tools, tables: Tables, size: tuple[int, int]) -> dict[str, Any]:
    """Scene motion where cameras come with the video (an MMD camera track, an import): the true ones, the points that
    the picture shows under them, and depth by the embedded backend.
    """
    camera = _true_cameras(shot, size)
    pictures = decode_frames(FramesArtifact.from_table(tables["decode"]), SfmCameraConfig().max_side)
    tracks = track_clip(pictures, PoseArtifact.from_table(tables["pose"]).mask, SfmCameraConfig())
    camera = replace(camera, sparse=sparse_points(tracks, camera, size))
    given = tables | {"camera": camera.to_table(Header("", shot.clip.clip_id))}
    given["depth"] = tools.depths["reconstruction"].run(shot.clip, given)
    made = tools.scene_motion.run(shot.clip, given)
    return motion_errors(SceneMotionArtifact.from_table(made), shot.truth, size)


def _with_truth(shot: Shot, tools: Tools, tables: Tables, size: tuple[int, int]) -> dict[str, Any]:
    """Scene motion from the true cameras and depths, of the same references and through the same stage."""
    references = DepthArtifact.from_table(tables["depth"]).references
    truth = shot.truth
    maps = np.stack([on_grid(truth.inverse_depth[i], (size[0] // CELL, size[1] // CELL)) for i in references])
    depth = DepthArtifact(references, maps, np.zeros(maps.shape, bool), "camera")
    camera = _true_cameras(shot, size)
    header = Header("", shot.clip.clip_id)
    given = tables | {"camera": camera.to_table(header), "depth": depth.to_table(header)}
    return motion_errors(SceneMotionArtifact.from_table(tools.scene_motion.run(shot.clip, given)), truth, size)


def _alignments(shot: Shot, tools: Tools, tables: Tables, size: tuple[int, int]) -> dict[str, Any]:
    """Scene-motion errors with the network's depth: aligned to the sparse points, with its scale guessed for want of
    points, and as the published code reads it (z = 100 − 50·d, d between 0 and 1 over the picture).
    """
    header = Header("", shot.clip.clip_id)
    camera = CameraArtifact.from_table(tables["camera"])
    blind = replace(camera, sparse=(SparseDepth(np.zeros((0, 2)), np.zeros(0)),) * len(camera.sparse))
    depth = DepthArtifact.from_table(tables["depth"])
    low, high = (f(depth.inverse_depth, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    published = replace(depth, inverse_depth=1 / (100 - 50 * (depth.inverse_depth - low) / (high - low)), kind="camera")
    variants = {
        "aligned": tables,
        "guessed": tables | {"camera": blind.to_table(header)},
        "published": tables | {"depth": published.to_table(header)},
    }
    return {
        name: motion_errors(SceneMotionArtifact.from_table(tools.scene_motion.run(shot.clip, given)), shot.truth, size)
        for name, given in variants.items()
    }


def measure_real(real: RealClip, tools: Tools) -> dict[str, Any]:
    """Camera errors of one real clip and what the camera stage says of itself, as plain JSON."""
    tables: Tables = {"decode": DecodeStage(DecodeConfig(size=MMD_SIZE)).run(real.clip, {})}
    tables["pose"] = tools.pose.run(real.clip, tables)
    tables["camera"] = tools.camera.run(real.clip, tables)
    camera, figures = CameraArtifact.from_table(tables["camera"]), read_header(tables["camera"]).quality
    names = ("tracks_live", "moving_background", "parallax_deg", "rivals_apart_deg")
    return {
        "real": real.name,
        "frames": real.clip.frame_count,
        "camera_status": camera.status,
        "mask_area": float(PoseArtifact.from_table(tables["pose"]).mask.mean()),
        "figures": {name: figures.get(name) for name in names},
    } | turn_and_path(camera.cam_to_world, real.cam_to_world)


def find_shots(work: Path) -> Iterator[Shot]:
    """Renders the demo's videos into the work folder, and finds the MMD shots where they are."""
    yield from demo_shots(render_demo(work / "videos", size=DEMO_SIZE), DEMO_SIZE)
    if (TEST_DATA / "mmd_shots").is_dir():
        yield from mmd_shots(TEST_DATA / "mmd_shots", MMD_SIZE)
    else:
        print("the MMD shots are absent (set MIKUDANCE_TEST_DATA): measuring the project's own renders alone")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", default="*", help="glob of shot names, several separated by commas (default: all)")
    parser.add_argument("--out", type=Path, default=Path("docs/fidelity.md"), help="the report")
    parser.add_argument(
        "--work", type=Path, default=Path("bench-out/fidelity"), help="renders and figures of each shot"
    )
    parser.add_argument("--again", action="store_true", help="measure shots again whose figures are in the work folder")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    patterns = arguments.shots.split(",")
    tools = Tools(NETWORK if NETWORK.exists() else None)
    made: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (shot.name, partial(measure, shot, tools)) for shot in find_shots(arguments.work)
    ]
    made += [(real.name, partial(measure_real, real, tools)) for real in real_clips(TEST_DATA / "camera_only")]
    rows = []
    for name, make in made:
        kept = arguments.work / f"{name}.json"
        wanted = any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        if wanted and (arguments.again or not kept.exists()):
            print(name, flush=True)
            try:
                row = make()
            except ExtractionError as error:
                print(f"{name}: {error}", file=sys.stderr)
                row = {"shot": name, "failed": str(error)}
            kept.write_text(json.dumps(row | {"date": date.today().isoformat(), "commit": _commit()}, indent=1))
        if kept.exists():
            rows.append(json.loads(kept.read_text()))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = report(rows, machine)
    print(text)
    if len(rows) < len(made):
        print(f"{len(rows)} of {len(made)} shots and clips are measured: {arguments.out} stays as it is")
        return 0
    arguments.out.write_text(text)
    print(f"{len(rows)} shots and clips in {arguments.out}")
    return 0


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
