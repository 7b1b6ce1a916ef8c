"""Depth maps in ViPE's layout: read strictly, put into the frame's cells, in the unit of ViPE's poses."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from pydantic import ValidationError

from extractors.camera.foreign_files import ForeignFileError
from extractors.depth.imported import CELL, DepthArchive, ImportedDepthConfig, in_frame
from extractors.protocols import ExtractionError
from schemas.artifacts.frames import FramesArtifact
from schemas.clip import Clip
from tests.paths import test_data

SOURCE_ID = "fedcba9876543210"


def save_exr(path: Path, depth: np.ndarray, channel: str = "Z") -> Path:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {channel: depth}).write(str(path))
    return path


def save_archive(folder: Path, maps: dict[int, np.ndarray]) -> Path:
    """depth/NAME.zip in the folder NAME as ViPE writes it: float16 depth, one OpenEXR picture a frame."""
    path = folder / "depth" / f"{folder.name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for frame, depth in maps.items():
            archive.write(save_exr(folder / "one.exr", depth.astype(np.float16)), f"{frame:05d}.exr")
    return path


def clip_of(length: int, first: int = 0) -> Clip:
    return Clip(
        f"{SOURCE_ID}_{first:06d}_{length:04d}",
        SOURCE_ID,
        "camera",
        "train",
        first,
        length,
        (30, 1),
        0.0,
        "/v/shot.mp4",
    )


def frames_of(length: int, size: tuple[int, int], crop: tuple[float, ...], first: int = 0) -> FramesArtifact:
    return FramesArtifact(
        jpegs=(b"",) * length,
        timestamps=(first + np.arange(length)) / 30,
        repeated=np.zeros(length, bool),
        fps=30.0,
        size=size,
        crop=(crop[0], crop[1], crop[2], crop[3]),
    )


def test_true_depth_of_a_real_shot_comes_back(tmp_path: Path) -> None:
    """ViPE's archive of the renderer's depth (16 bit pictures, z × 500, 0 is sky) against the true map on 96² cells."""
    files = sorted(test_data("mmd_shots/depth").glob("bg_*.png"))
    numbers = [int(path.stem.split("_")[-1]) for path in files]
    pictures = {n: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) / 500.0 for n, path in zip(numbers, files, strict=True)}
    save_archive(tmp_path / "shot", {n: np.where(depth > 0, depth, np.nan) for n, depth in pictures.items()})
    with np.load(test_data("mmd_shots/inverse_depth_96.npz")) as file:
        truth = file["bg"]
    backend = ImportedDepthConfig(template=f"{tmp_path}/{{stem}}").build()
    frames = frames_of(225, (768, 768), (0, 0, 512, 512))
    for number in numbers:
        result = backend.for_clip(clip_of(225), frames, (512, 512), (number,))
        depth = result.depth
        assert (depth.kind, depth.inverse_depth.shape) == ("camera", (1, 192, 192))
        # Cells of 8 pixels lie on the corner of four of ours: any of them is right to a cell.
        ours = depth.inverse_depth[0, ::2, ::2]
        known = (truth[number] > 0) & ~depth.filled[0, ::2, ::2]
        error = np.abs(ours[known] / truth[number][known].astype(np.float32) - 1)
        assert np.median(error) < 0.01
        assert np.isfinite(depth.inverse_depth).all()
        assert (depth.inverse_depth > 0).all()


@pytest.mark.parametrize("crop", [(0, 0, 640, 360), (140, 0, 360, 360), (-20.0, 40.0, 500.0, 500.0)])
def test_cells_show_the_part_of_the_source_that_the_frame_shows(crop: tuple[float, float, float, float]) -> None:
    """A depth that grows by one for each source pixel tells where every cell was taken; the map is half as large."""
    half = np.broadcast_to(np.arange(320) * 2 + 0.5, (180, 320)).astype(np.float32)  # source x at the map's centres
    frames = frames_of(1, (256, 256), crop)
    found = in_frame(half, (640, 360), frames)
    assert found.shape == (256 // CELL, 256 // CELL)
    expected = crop[0] + ((np.arange(256 // CELL) + 0.5) * CELL) / 256 * crop[2] - 0.5
    inside = (expected > 1) & (expected < 638)
    row = found[32 if crop[1] == 0 else 16]
    assert np.abs(row[inside] - expected[inside]).max() <= 1.001  # half a pixel of the map
    assert np.isnan(row[expected < -2]).all()


def test_unknown_depth_takes_the_nearest_known_and_is_flagged(tmp_path: Path) -> None:
    depth = np.full((64, 64), 4.0)
    depth[:, 32:] = 8.0
    depth[10:20, 5:15] = np.inf
    depth[40:50, 50:60] = 0
    save_archive(tmp_path / "shot", {0: depth, 1: depth})
    backend = ImportedDepthConfig(template=f"{tmp_path}/{{stem}}", unit="relative").build()
    found = backend.for_clip(clip_of(2), frames_of(2, (256, 256), (0, 0, 64, 64)), (64, 64), (0, 1)).depth
    assert found.kind == "relative"
    np.testing.assert_array_equal(found.filled[0], ~(np.isfinite(depth) & (depth > 0)))
    np.testing.assert_allclose(found.inverse_depth[1, :, :32], 0.25)
    np.testing.assert_allclose(found.inverse_depth[1, :, 32:], 0.125)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    backend = ImportedDepthConfig(template=f"{tmp_path}/{{stem}}").build()
    frames = frames_of(20, (256, 256), (0, 0, 64, 64), first=30)

    def run() -> None:
        backend.for_clip(clip_of(20, 30), frames, (64, 64), (0, 9))

    with pytest.raises(ForeignFileError, match=r"shot\.zip: is not ViPE's zip"):
        run()
    save_archive(tmp_path / "shot", {})
    with pytest.raises(ForeignFileError, match="holds no depth map"):
        run()
    save_archive(tmp_path / "shot", {0: np.ones((64, 64))})
    with pytest.raises(ExtractionError, match=r"is 1\.00 s away"):
        run()
    save_archive(tmp_path / "shot", {n: np.full((64, 64), np.nan) for n in range(60)})
    with pytest.raises(ExtractionError, match="holds no depth"):
        run()
    path = tmp_path / "shot" / "depth" / "shot.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("00030.exr", b"not a picture")
    with pytest.raises(ForeignFileError, match=r"00030\.exr is no OpenEXR picture"):
        run()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(save_exr(tmp_path / "y.exr", np.ones((8, 8), np.float16), channel="Y"), "00030.exr")
    with DepthArchive(path) as opened, pytest.raises(ForeignFileError, match="channel Z"):
        opened.read(30)


def test_template_must_tell_sources_apart() -> None:
    with pytest.raises(ValidationError, match="stem"):
        ImportedDepthConfig(template="/results/vipe")
    problem = ImportedDepthConfig().problem()
    assert problem is not None
    assert "template" in problem.remedy
