"""The onnx backend with networks whose answer is known in closed form, and with a real one."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from extractors.depth.onnx import OnnxDepthConfig
from extractors.protocols import ExtractionError
from pipeline.demo.camera import static
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot
from tests.paths import test_data

onnx = pytest.importorskip("onnx")
NO_MASK = np.zeros((1, 4, 4), bool)


def _network(path: Path, shape: tuple[Any, ...], channel: int, axis: int, *, squeeze: bool = True) -> Path:
    """A network that answers one channel of its input."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Gather", ["picture", "which"], ["answer"], axis=axis)]
    index = helper.make_tensor("which", TensorProto.INT64, [] if squeeze else [1], [channel])
    graph = helper.make_graph(
        nodes, "channel", [helper.make_tensor_value_info("picture", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)], [index],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def _frame(height: int, width: int) -> np.ndarray:
    """Red rises to the right from 0 to 255, green downwards, blue is 40."""
    frame = np.full((1, height, width, 3), 40, np.uint8)
    frame[0, :, :, 0] = np.linspace(0, 255, width)[None]
    frame[0, :, :, 1] = np.linspace(0, 255, height)[:, None]
    return frame


def _run(frame: np.ndarray, **settings: Any) -> np.ndarray:
    result = OnnxDepthConfig(**settings).build()(frame, (0,), NO_MASK, None, seed=0)
    assert result.depth.kind == "relative"
    assert not result.depth.filled.any()
    return result.depth.inverse_depth[0]


@pytest.mark.parametrize(("channels", "first"), [("rgb", 0), ("bgr", 2)])
def test_channels_scale_and_layout(tmp_path: Path, channels: str, first: int) -> None:
    wide = _network(tmp_path / "nchw.onnx", (1, 3, 32, 64), first, 1)
    red = _run(
        _frame(32, 64),
        path=wide,
        width=64,
        height=32,
        channels=channels,
        value_scale=1 / 255,
        mean=(0.5, 0, 0),
        deviation=(0.25, 1, 1),
    )
    np.testing.assert_allclose(red, np.repeat(((_frame(32, 64)[0, :1, :, 0] / 255) - 0.5) / 0.25, 32, 0), atol=1e-5)
    last = _network(tmp_path / "nhwc.onnx", (1, 32, 64, 3), 1, 3, squeeze=False)
    green = _run(_frame(32, 64), path=last, width=64, height=32, layout="nhwc")
    np.testing.assert_allclose(green, _frame(32, 64)[0, :, :, 1], atol=1e-4)


def test_padding_keeps_proportions_and_is_cut_off_again(tmp_path: Path) -> None:
    path = _network(tmp_path / "n.onnx", (1, 3, 32, 64), 0, 1)
    red = _run(_frame(64, 64), path=path, width=64, height=32, fit="pad")
    assert red.shape == (32, 32)
    np.testing.assert_allclose(
        red, cv2.resize(_frame(64, 64)[0, :, :, 0], (32, 32), interpolation=cv2.INTER_AREA), atol=1
    )


def test_depth_becomes_inverse_depth(tmp_path: Path) -> None:
    path = _network(tmp_path / "n.onnx", (1, 3, 32, 64), 0, 1)
    frame = np.maximum(_frame(32, 64), 1)
    np.testing.assert_allclose(
        _run(frame, path=path, width=64, height=32, output="depth"), 1 / frame[0, :, :, 0], rtol=1e-5
    )


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = _network(tmp_path / "n.onnx", (1, 3, 32, 64), 0, 1)
    with pytest.raises(ExtractionError, match=r"set depth\.backend width, height and layout"):
        OnnxDepthConfig(path=path).build()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(ExtractionError, match="does not load as an ONNX network"):
        OnnxDepthConfig(path=broken).build()
    absent = OnnxDepthConfig(path=tmp_path / "absent.onnx").problem()
    assert absent is not None
    assert "absent.onnx" in absent.cause
    with pytest.raises(ValidationError):
        OnnxDepthConfig(path=path, layout="chw")  # type: ignore[arg-type]
    three = _network(tmp_path / "three.onnx", (1, 3, 32, 64), 0, 0, squeeze=False)
    with pytest.raises(ExtractionError, match="not one finite map"):
        OnnxDepthConfig(path=three, width=64, height=32).build()(_frame(32, 64), (0,), NO_MASK, None, seed=0)


def test_weights_are_the_file_and_the_key_holds_no_path(tmp_path: Path) -> None:
    path = _network(tmp_path / "n.onnx", (1, 3, 32, 64), 0, 1)
    config = OnnxDepthConfig(path=path)
    assert config.weights() == (path,)
    assert "path" not in config.key_params()


def test_a_real_network_ranks_rendered_depths() -> None:
    network = test_data("weights/tcmonodepth_small_192x320.onnx")
    frames, truth = render_shot(static(1, eye=(0.3, 1.4, 3.5), target=(0, 0.9, 0)), hall(), size=(384, 256))
    estimated = cv2.resize(_run(frames, path=network), (48, 32), interpolation=cv2.INTER_AREA)
    ranks = [torch.tensor(v.ravel()).argsort().argsort().double() for v in (estimated, truth.inverse_depth[0])]
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.6
