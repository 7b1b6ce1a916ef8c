"""RTMW's backend around networks of the right layout whose answer is known: a red spot is every joint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.pose.rtmw import Rtmw, RtmwConfig
from extractors.protocols import ExtractionError

onnx = pytest.importorskip("onnx")
pytest.importorskip("rtmlib", reason="rtmlib is not installed (pip install --no-deps rtmlib)")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

WIDTH, HEIGHT = 48, 64


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> None:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def save_pose(path: Path, points: int = 133) -> None:
    """Coordinate distributions (two bins a pixel) of `points` points: the mean of the red channel over the other axis,
    rising by a little from point to point, so that none is like another.
    """
    nodes = [
        helper.make_node("Gather", ["picture", "red"], ["normalised"], axis=1),
        helper.make_node("Add", ["normalised", "black"], ["plane"]),
    ]
    for axis, name in ((2, "x"), (3, "y")):
        nodes += [
            helper.make_node("ReduceMean", ["plane"], [f"{name}_mean"], axes=[axis], keepdims=0),
            helper.make_node("Unsqueeze", [f"{name}_mean", "last"], [f"{name}_column"]),
            helper.make_node("Tile", [f"{name}_column", "twice"], [f"{name}_pairs"]),
            helper.make_node("Reshape", [f"{name}_pairs", f"{name}_shape"], [f"{name}_bins"]),
            helper.make_node("Mul", [f"{name}_bins", "weights"], [f"simcc_{name}"]),
        ]
    constants = {
        "red": np.array([0]),
        "black": np.array([123.675 / 58.395], np.float32),  # what the normalisation takes from a black pixel
        "last": np.array([3]),
        "twice": np.array([1, 1, 1, 2]),
        "x_shape": np.array([1, 1, 2 * WIDTH]),
        "y_shape": np.array([1, 1, 2 * HEIGHT]),
        "weights": np.linspace(3, 6, points, dtype=np.float32).reshape(1, points, 1),
    }
    outputs = [("simcc_x", [1, points, 2 * WIDTH]), ("simcc_y", [1, points, 2 * HEIGHT])]
    save(path, nodes, [("picture", [1, 3, HEIGHT, WIDTH])], outputs, constants)


def save_detector(path: Path, boxes: list[list[float]]) -> None:
    """A detector with NMS inside: always these boxes (in pixels of its 640 × 640 input) and scores."""
    table = np.array([boxes], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["table", "nothing"], ["dets"]),
    ]
    constants = {"zero": np.zeros(1, np.float32), "table": table}
    save(path, nodes, [("picture", [1, 3, 640, 640])], [("dets", list(table.shape))], constants)


def frames_with_spot(size: tuple[int, int], spots: list[tuple[int, int]]) -> np.ndarray:
    """Black frames (W, H) with a red spot of 5 × 5 pixels about each (x, y)."""
    frames = np.zeros((len(spots), size[1], size[0], 3), np.uint8)
    for frame, (x, y) in zip(frames, spots, strict=True):
        frame[y - 2 : y + 3, x - 2 : x + 3, 0] = 255
    return frames


def build(folder: Path, boxes: list[list[float]], **changes: object) -> Rtmw:
    save_pose(folder / "pose.onnx")
    save_detector(folder / "detector.onnx", boxes)
    return RtmwConfig.model_validate({"folder": folder} | {"min_score": 0.0} | changes).build()


def test_spot_is_found_at_its_place_through_detector_and_crop(tmp_path: Path) -> None:
    """A 320 × 240 frame is scaled by 2 into the detector; the box there is (100, 80)–(400, 440), in the frame (50, 40)–
    (200, 220).
    """
    spots = [(120, 100), (90, 180), (150, 70)]
    extractor = build(tmp_path, [[100, 80, 400, 440, 0.9], [0, 0, 20, 20, 0.1]])
    result = extractor(frames_with_spot((320, 240), spots), fps=30, seed=0)
    assert result.status == "ok"
    assert result.pose.body.shape == (3, 1, 17, 3)
    assert result.pose.face.shape == (3, 1, 68, 3)
    assert result.pose.hand.shape == (3, 2, 21, 3)
    # a bin is half a pixel of the crop, which is 1.25 · 180 frame pixels in 64: 1.8 frame pixels
    for frame, spot in enumerate(spots):
        for points in (result.pose.body[frame, 0], result.pose.face[frame, 0], *result.pose.hand[frame]):
            assert np.abs(points[:, :2] - spot).max() < 6
    assert result.quality["persons"] == 1


def test_points_keep_their_places_among_the_133(tmp_path: Path) -> None:
    """Scores rise with the point's number: body, then face, left hand, right hand."""
    extractor = build(tmp_path, [[100, 80, 400, 440, 0.9]])
    pose = extractor(frames_with_spot((320, 240), [(120, 100)]), fps=30, seed=0).pose
    body, face = pose.body[0, 0, :, 2], pose.face[0, 0, :, 2]
    left, right = pose.hand[0, 0, :, 2], pose.hand[0, 1, :, 2]
    joined = np.concatenate([body, face, left, right])
    numbers = np.array([*range(17), *range(23, 133)])
    assert 0 < joined.min() < joined.max() < 1
    np.testing.assert_allclose(joined / joined[0], 1 + numbers / 132, rtol=1e-4)


def test_low_scores_are_missing_and_nobody_is_a_status(tmp_path: Path) -> None:
    extractor = build(tmp_path, [[100, 80, 400, 440, 0.9]], min_score=1.0)
    result = extractor(frames_with_spot((320, 240), [(120, 100)]), fps=30, seed=0)
    low = result.pose.body[..., 2] == 0
    assert np.isnan(result.pose.body[..., 0][low]).all()
    empty = build(tmp_path, [[0, 0, 1, 1, 0.1]])
    result = empty(frames_with_spot((320, 240), [(120, 100)]), fps=30, seed=0)
    assert result.status == "no_person"
    assert not result.pose.mask.any()


def test_raw_detector_keeps_people_only(tmp_path: Path) -> None:
    """A detector without NMS inside, as YOLOX-l is published: 8400 cells × (4 + 1 + 80)."""
    cells = np.zeros((1, 8400, 85), np.float32)
    for cell, kind in ((30 * 80 + 30, 0), (50 * 80 + 10, 16)):  # stride 8: a person, and a dog
        cells[0, cell, :5] = [0, 0, np.log(300 / 8), np.log(300 / 8), 1]
        cells[0, cell, 5 + kind] = 1
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["cells", "nothing"], ["output"]),
    ]
    constants = {"zero": np.zeros(1, np.float32), "cells": cells}
    save_pose(tmp_path / "pose.onnx")
    save(tmp_path / "detector.onnx", nodes, [("picture", [1, 3, 640, 640])], [("output", [1, 8400, 85])], constants)
    extractor = RtmwConfig(folder=tmp_path, min_score=0.0).build()
    found = extractor._read(frames_with_spot((320, 240), [(120, 110)])[0])
    assert len(found) == 1
    np.testing.assert_allclose(found[0].box, [(240 - 150) / 2, (240 - 150) / 2, (240 + 150) / 2, (240 + 150) / 2])


def test_wrong_files_are_named(tmp_path: Path) -> None:
    problem = RtmwConfig(folder=tmp_path).problem()
    assert problem is not None
    assert "weights fetch rtmw-l-384" in problem.remedy
    save_detector(tmp_path / "detector.onnx", [[0, 0, 9, 9, 0.5]])
    save_pose(tmp_path / "pose.onnx", points=17)
    with pytest.raises(ExtractionError, match="no whole-body network"):
        RtmwConfig(folder=tmp_path).build()
    (tmp_path / "pose.onnx").write_bytes(b"not a network")
    with pytest.raises(ExtractionError, match="fetch rtmw-l-384 again"):
        RtmwConfig(folder=tmp_path).build()
    if not torch.cuda.is_available():
        problem = RtmwConfig(folder=tmp_path, device="cuda").problem()
        assert problem is not None
        assert "onnxruntime-gpu" in problem.remedy
