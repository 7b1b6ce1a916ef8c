"""What a machine can run is told truly."""

import importlib.util

import pytest
import torch

from extractors.devices import cuda_problem, device_problem, package_problem, torch_device


def test_automatic_device_is_the_gpu_where_there_is_one() -> None:
    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_absent_package_names_its_extra() -> None:
    assert package_problem("numpy", extra="x") is None
    problem = package_problem("no_such_package", extra="sdxl")
    assert problem is not None
    assert "no_such_package" in problem.cause
    assert problem.remedy == "pip install 'mikudance[sdxl]'"
    assert importlib.util.find_spec("no_such_package") is None


@pytest.mark.parametrize(
    ("version", "cause"), [(None, "built without it"), ("12.6", "no CUDA GPU is visible")], ids=["cpu build", "no gpu"]
)
def test_missing_gpu_says_whether_torch_or_the_machine_lacks_it(
    monkeypatch: pytest.MonkeyPatch, version: str | None, cause: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", version)
    problem = cuda_problem(backend="droid")
    assert problem is not None
    assert cause in problem.cause
    assert device_problem("cuda", backend="droid") == problem
    assert device_problem("auto", backend="droid") is None
