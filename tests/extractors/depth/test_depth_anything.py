"""The transformers depth backends: true classes with random weights, preparation against the library's processor,
and the clip-level fit against known depth.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BitConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessor,
)
from transformers import (
    DepthAnythingConfig as HubDepthAnythingConfig,
)

from extractors.depth.depth_anything import (
    DepthAnything,
    DepthAnythingClipConfig,
    DepthAnythingConfig,
    Preparation,
)
from extractors.geometry.alignment import AlignmentConfig
from extractors.protocols import ExtractionError
from schemas.artifacts.camera import CameraArtifact, SparseDepth

PREPROCESSOR = {
    "image_processor_type": "DPTImageProcessor",
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "ensure_multiple_of": 14,
    "keep_aspect_ratio": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": 70, "width": 70},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Depth-Anything of reduced size, as transformers saves it."""
    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=70,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    config = HubDepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    place = tmp_path_factory.mktemp("depth-anything")
    DepthAnythingForDepthEstimation(config).save_pretrained(place, safe_serialization=True)
    (place / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return place


def frames(count: int = 3, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (count, 8, 12, 3), dtype=np.uint8)
    import cv2

    return np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in small])


def moving_camera(length: int, sparse: tuple[SparseDepth, ...]) -> CameraArtifact:
    poses = np.tile(np.eye(4), (length, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 1, length)
    return CameraArtifact("moving", poses, np.tile([80.0, 80, 47.5, 31.5], (length, 1)), sparse, "assumed")


def test_runs_the_true_network_on_references_only(folder: Path) -> None:
    config = DepthAnythingConfig(folder=folder, cell=4)
    assert config.problem() is None
    clip = frames(5)
    result = config.build()(clip, (0, 4), np.zeros((5, 8, 8), bool), None, seed=0)
    assert result.depth.references == (0, 4)
    assert result.depth.inverse_depth.shape == (2, 16, 24)
    assert result.depth.inverse_depth.dtype == np.float32
    assert result.depth.kind == "relative"
    assert not result.depth.filled.any()
    again = config.build()(clip, (0, 4), np.zeros((5, 8, 8), bool), None, seed=0)
    np.testing.assert_array_equal(again.depth.inverse_depth, result.depth.inverse_depth)


@pytest.mark.parametrize("resample", [2, 3], ids=["bilinear", "bicubic"])
def test_agrees_with_the_librarys_own_processor_and_model(folder: Path, tmp_path: Path, resample: int) -> None:
    """Independent path: transformers' image processor (Pillow's resampling) and a direct call of the model."""
    clip = frames(2, (150, 100))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | {"resample": resample}))
    processor = DPTImageProcessor.from_pretrained(tmp_path)
    expected_pixels = processor(list(clip), return_tensors="pt")["pixel_values"]
    preparation = Preparation.read(tmp_path / "preprocessor_config.json")
    pixels = preparation.prepare(clip, torch.device("cpu"), torch.float32)
    assert pixels.shape == expected_pixels.shape
    # the processor rounds to whole grey levels after resizing: one level is 1/255/0.225 = 0.017
    assert (pixels - expected_pixels).abs().max() < 0.04
    model = DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(pixel_values=pixels).predicted_depth.numpy()
    if resample == PREPROCESSOR["resample"]:
        network = DepthAnythingConfig(folder=folder).build()._network
        np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(768, 768), (1280, 720), (512, 758), (384, 256), (100, 900)])
@pytest.mark.parametrize("keep", [True, False])
def test_network_size_is_the_processors(size: tuple[int, int], keep: bool) -> None:
    processor = DPTImageProcessor(
        size={"height": 518, "width": 518}, keep_aspect_ratio=keep, ensure_multiple_of=14, do_normalize=False
    )
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    expected = processor(picture, return_tensors="pt")["pixel_values"].shape[-2:]
    ours = Preparation((518, 518), keep, 14, (0, 0, 0), (1, 1, 1)).network_size(size)
    assert (ours[1], ours[0]) == tuple(expected)


def test_batches_do_not_change_the_result(folder: Path) -> None:
    clip = frames(5)
    one = DepthAnythingConfig(folder=folder, batch_size=1).build()._network(clip)
    all_at_once = DepthAnythingConfig(folder=folder, batch_size=8).build()._network(clip)
    np.testing.assert_allclose(one, all_at_once, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near_float32(folder: Path) -> None:
    clip = frames(1)
    exact = DepthAnythingConfig(folder=folder).build()._network(clip)
    rough = DepthAnythingConfig(folder=folder, precision="bfloat16").build()._network(clip)
    assert np.abs(rough - exact).max() < 0.05 * max(exact.max(), 1e-3)


def test_dpt_hybrid_loads_by_the_same_backend(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = BitConfig(
        embedding_size=32,
        hidden_sizes=[128, 128, 128],
        depths=[1, 1, 1],
        num_groups=32,
        global_padding="same",
        layer_type="bottleneck",
        out_features=["stage1", "stage2", "stage3"],
        embedding_dynamic_padding=True,
    )
    config = DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=64,
        patch_size=16,
        backbone_featmap_shape=[1, 128, 4, 4],
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[128, 128, 32, 32],
        neck_ignore_stages=[0, 1],
        fusion_hidden_size=16,
    )
    DPTForDepthEstimation(config).save_pretrained(tmp_path, safe_serialization=True)
    settings = PREPROCESSOR | {
        "keep_aspect_ratio": False,
        "ensure_multiple_of": 1,
        "size": 64,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    config_ours = DepthAnythingConfig(model="dpt-hybrid-midas", folder=tmp_path)
    result = config_ours.build()(frames(2), (0, 1), np.zeros((2, 8, 8), bool), None, seed=0)
    assert result.depth.inverse_depth.shape == (2, 16, 24)
    assert np.isfinite(result.depth.inverse_depth).all()


class AffineNetwork:
    """Stands for a network that sees the true inverse depth, each frame in a scale and shift of its own."""

    def __init__(self, truth: np.ndarray, scales: list[float], shifts: list[float]) -> None:
        self.truth, self.scales, self.shifts = truth, scales, shifts

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return np.stack([t * s + b for t, s, b in zip(self.truth, self.scales, self.shifts, strict=True)]).astype(
            np.float32
        )


def test_clip_fit_removes_each_frames_scale_and_shift() -> None:
    rng = np.random.default_rng(5)
    truth = np.stack([np.linspace(0.1, 0.5, 24)[None].repeat(16, 0), np.linspace(0.3, 0.2, 24)[None].repeat(16, 0)])
    sparse = []
    for frame in range(6):
        xy = rng.uniform([0, 0], [95, 63], (80, 2))
        column = (xy[:, 0] + 0.5) / 4 - 0.5
        number = {0: 0, 5: 1}.get(frame)
        values = np.interp(column, np.arange(24), truth[number][0]) if number is not None else np.ones(80)
        values[:8] = 9.0  # points on a character, where the camera's depth is wrong
        xy[:8] = [2.0, 2.0]
        sparse.append(SparseDepth(xy.astype(np.float32), values.astype(np.float32)))
    mask = np.zeros((6, 16, 24), bool)
    mask[:, :2, :2] = True
    network = AffineNetwork(truth, [3.0, 0.7], [0.4, 0.3])
    extractor = DepthAnything(network=network, cell=4, alignment=AlignmentConfig())  # type: ignore[arg-type]
    result = extractor(frames(6), (0, 5), mask, moving_camera(6, tuple(sparse)), seed=3)
    assert result.depth.kind == "camera"
    np.testing.assert_allclose(result.depth.inverse_depth, truth, atol=2e-3)
    assert result.quality["fit_frames"] == 2
    still = CameraArtifact("static", np.tile(np.eye(4), (6, 1, 1)), np.ones((6, 4)), tuple(sparse), "assumed")
    assert extractor(frames(6), (0, 5), mask, still, seed=3).depth.kind == "relative"


def test_values_that_are_not_finite_are_refused() -> None:
    network = AffineNetwork(np.full((1, 4, 4), np.nan), [1.0], [0.0])
    extractor = DepthAnything(network=network, cell=4)  # type: ignore[arg-type]
    with pytest.raises(ExtractionError, match="not finite"):
        extractor(frames(1), (0,), np.zeros((1, 4, 4), bool), None, seed=0)


def test_licence_weights_and_device_are_told(tmp_path: Path) -> None:
    large = DepthAnythingConfig(model="depth-anything-v2-large", folder=tmp_path)
    problem = large.problem()
    assert problem is not None
    assert "CC-BY-NC" in problem.cause
    with pytest.raises(ExtractionError, match="accept_non_commercial_licence"):
        large.build()
    problem = DepthAnythingConfig(folder=tmp_path).problem()
    assert problem is not None
    assert "config.json" in problem.cause
    assert "weights fetch depth-anything-v2-small" in problem.remedy
    if not torch.cuda.is_available():
        problem = DepthAnythingConfig(folder=tmp_path, device="cuda").problem()
        assert problem is not None
        assert "CUDA" in problem.cause


def test_key_counts_content_and_not_place(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    here, there = DepthAnythingConfig(folder=folder), DepthAnythingConfig(folder=copy, batch_size=1, device="cpu")
    assert here.key_params() == there.key_params()
    assert here.weights_digest() == there.weights_digest() != ""
    assert here.key_params() != DepthAnythingConfig(folder=folder, precision="float16").key_params()
    assert DepthAnythingClipConfig.needs_camera
    assert not DepthAnythingConfig.needs_camera


def test_broken_preprocessor_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"size": 3}')
    with pytest.raises(ExtractionError, match=r"preprocessor_config\.json"):
        Preparation.read(tmp_path / "preprocessor_config.json")
