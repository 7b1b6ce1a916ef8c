"""Depth backend "imported": the depth maps that ViPE (nv-tlabs/vipe) wrote beside its cameras, `depth/NAME.zip`.

The archive holds one OpenEXR picture a frame, `00017.exr`, with the channel Z: depth along the optical axis as float16,
in the unit of ViPE's poses, not finite or not positive where it is unknown.
"""

import re
import tempfile
import zipfile
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.camera.foreign_files import ForeignFileError
from extractors.devices import package_problem
from extractors.imports import Template, place, stem
from extractors.protocols import DepthResult, ExtractionError
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import finite_quality
from schemas.clip import Clip
from schemas.config import BackendConfig, Problem

CELL = 4
"""Frame pixels of a cell of the map that is kept, each way."""
MAX_SIDE = 8192
MAX_FRAME_BYTES = 1 << 28


class ImportedDepthConfig(BackendConfig):
    """ViPE's results, one folder (or one shared by all) found by a template."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"template"}

    backend: Literal["imported"] = "imported"
    template: Template = Field(
        "", description="ViPE's results folder, with {stem} (the video's file name without its ending) or {source_id}."
    )
    revision: int = Field(
        0, ge=0, description="Raise it when the files have changed: their content is not part of the artifact key."
    )
    frame_rate: float | None = Field(
        None, gt=0, description="Frames a second by which ViPE numbered them; None: the clip's rate."
    )
    unit: Literal["camera", "relative"] = Field(
        "camera",
        description="camera: the cameras are ViPE's too, and the depth is in their unit; relative: they are not, and "
        "the depth is aligned with their points as that of a network is.",
    )
    max_gap_s: float = Field(0.1, ge=0, description="Seconds between a reference frame and its depth map at most.")

    def problem(self) -> Problem | None:
        if not self.template:
            return Problem(
                cause="no place of the imported depth is configured",
                remedy="set depth.backend.template, for instance /results/vipe/{stem}",
            )
        return package_problem("OpenEXR", extra="vipe")

    def build(self) -> "ImportedDepth":
        """Raises ExtractionError where `problem()` names one."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        return ImportedDepth(config=self)


class ImportedDepth:
    """Depth of a clip's reference frames from the archive of its source."""

    def __init__(self, *, config: ImportedDepthConfig) -> None:
        self._config = config

    def for_clip(
        self, clip: Clip, frames: FramesArtifact, source_size: tuple[int, int], references: tuple[int, ...]
    ) -> DepthResult:
        """source_size: (width, height) of the source's displayed picture, pixels; the maps cover the whole of it.

        Raises ExtractionError where the archive is absent or broken, or has no map near a reference frame.
        """
        from scipy.ndimage import distance_transform_edt  # slow to load: not for commands that only read settings

        path = place(self._config.template, clip) / "depth" / f"{stem(clip)}.zip"
        rate = self._config.frame_rate or clip.fps[0] / clip.fps[1]
        maps, known = [], []
        with DepthArchive(path) as archive:
            numbers = np.array(archive.frames)
            for reference in references:
                wanted = (float(frames.timestamps[reference]) - clip.start_s) * rate
                nearest = int(numbers[np.abs(numbers - wanted).argmin()])
                if abs(nearest - wanted) / rate > max(self._config.max_gap_s, 0.5 / rate):
                    raise ExtractionError(
                        f"{path}: the depth map nearest to frame {reference} of {clip.clip_id} is "
                        f"{abs(nearest - wanted) / rate:.2f} s away: check frame_rate, or run ViPE on the whole video"
                    )
                depth = in_frame(archive.read(nearest), source_size, frames)
                maps.append(depth)
                known.append(np.isfinite(depth) & (depth > 0))
        measured = np.stack(known)
        if not measured.any((1, 2)).all():
            raise ExtractionError(f"{path}: a depth map of {clip.clip_id} holds no depth: leave this source out")
        inverse = np.zeros(measured.shape, np.float32)
        inverse[measured] = 1 / np.stack(maps)[measured]
        for i in range(len(references)):
            # Unknown depth takes that of the nearest cell that has one.
            nearest_known = distance_transform_edt(~measured[i], return_distances=False, return_indices=True)
            inverse[i] = inverse[i][tuple(nearest_known)]
        artifact = DepthArtifact(references, inverse, ~measured, self._config.unit)
        low, high = np.percentile(inverse, [5, 95])
        return DepthResult(
            artifact, quality=finite_quality(depth_p05=low, depth_p95=high, filled_share=(~measured).mean())
        )


class DepthArchive:
    """ViPE's zip of depth maps. frames: the numbers of those it holds, ascending."""

    def __init__(self, path: Path) -> None:
        """Raises ForeignFileError where the file is no such archive."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ForeignFileError(f"{path}: is not ViPE's zip of depth maps ({error})") from error
        self._members = {
            int(match[1]): info
            for info in self._zip.infolist()
            if (match := re.fullmatch(r"(\d{1,9})\.exr", info.filename))
        }
        self.frames = sorted(self._members)
        if not self.frames:
            self._zip.close()
            raise ForeignFileError(f"{path}: holds no depth map named like 00000.exr")

    def __enter__(self) -> "DepthArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def read(self, frame: int) -> np.ndarray:
        """Depth of a frame, float32 [h, w]. Raises ForeignFileError where it does not read."""
        import OpenEXR

        info = self._members[frame]
        name = f"{self.path}: {info.filename}"
        if info.file_size > MAX_FRAME_BYTES:
            raise ForeignFileError(f"{name} unpacks to more than {MAX_FRAME_BYTES} bytes")
        with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # the library reads from files only
            try:
                file.write(self._zip.read(info))
                file.flush()
                first, last = OpenEXR.File(file.name, header_only=True).header()["dataWindow"]
                if max(last - first) >= MAX_SIDE:
                    raise ForeignFileError(f"{name} is larger than {MAX_SIDE} pixels a side")
                depth = np.asarray(OpenEXR.File(file.name).channels()["Z"].pixels, np.float32)
            except (OSError, RuntimeError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
                raise ForeignFileError(f"{name} is no OpenEXR picture with a channel Z ({error})") from error
        if depth.ndim != 2:
            raise ForeignFileError(f"{name} has {depth.ndim} axes, expected height and width")
        return depth


def in_frame(depth: np.ndarray, source_size: tuple[int, int], frames: FramesArtifact) -> np.ndarray:
    """A map [h, w] of the whole source picture, on cells of CELL pixels of the frame; NaN outside the picture.

    The nearest value is taken, so that no depth between foreground and background is invented.
    """
    x, y, width, height = frames.crop
    columns, rows = frames.size[0] // CELL, frames.size[1] // CELL
    # Edge-based coordinates: cell centre -> share of the frame -> source pixels -> the map's pixels.
    across = (x + (np.arange(columns) + 0.5) / columns * width) / source_size[0] * depth.shape[1] - 0.5
    down = (y + (np.arange(rows) + 0.5) / rows * height) / source_size[1] * depth.shape[0] - 0.5
    grid_x, grid_y = np.meshgrid(across.astype(np.float32), down.astype(np.float32))
    return cv2.remap(depth, grid_x, grid_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"))
