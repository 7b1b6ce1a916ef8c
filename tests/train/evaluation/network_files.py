"""Feature networks of known answers, as files: the mean colour, and the mean absolute difference for LPIPS."""

from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from schemas.config import file_sha256
from train.evaluation.config import NetworkFile


class MeanColour(nn.Module):
    """[N, 3] of pictures or clips; with `doubled`, twice that."""

    def forward(self, x: Tensor, doubled: bool = False) -> Tensor:
        colour = x.flatten(2).mean(2)
        return 2 * colour if doubled else colour


class MeanDifference(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=[1, 2, 3], keepdim=True)


def script(path: Path, module: nn.Module, **settings: object) -> NetworkFile:
    torch.jit.script(module).save(str(path))
    return NetworkFile(path=path, sha256=file_sha256(path), **settings)


def onnx_mean_colour(path: Path, **settings: object) -> NetworkFile:
    """The mean colour of pictures as an ONNX file."""
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))
    return NetworkFile(path=path, sha256=file_sha256(path), **settings)
