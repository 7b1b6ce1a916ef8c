"""X-Pose: sizes, coordinates and thresholds on a recorded network, and upstream's own code with random weights.

Tests of upstream's code want a checkout: MIKUDANCE_XPOSE_SOURCE names its folder. None of it is in this repository.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.pose.xpose import PROMPTS, Prompt, XPose, XPoseConfig, decode, network_size, prepare
from extractors.pose.xpose_upstream import GROUPS, HEADS, _prepare_for_mask, build_network, literals
from extractors.protocols import ExtractionError
from tests.extractors.pose.test_xpose_text import Tower
from tests.extractors.style.tiny_sdxl import save_tokenizer

SIZES = [(768, 768), (1280, 720), (512, 758), (300, 1200)]


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((768, 768), (800, 800)), ((1280, 720), (1333, 750)), ((512, 758), (800, 1184)), ((300, 1200), (333, 1332))],
)
def test_network_size_is_upstreams_resize(size: tuple[int, int], expected: tuple[int, int]) -> None:
    """800 on the shorter side, at most 1333 on the longer one, the other side truncated."""
    assert network_size(size, 800, 1333) == expected


def test_pictures_are_normalised_as_upstream_does() -> None:
    frames = np.zeros((1, 40, 60, 3), np.uint8)
    frames[..., 0] = 255
    pixels = prepare(frames, 64, 1333, torch.device("cpu"))
    assert pixels.shape == (1, 3, 64, 96)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.tensor(expected))


def test_decode_scales_thresholds_and_suppresses() -> None:
    logits = np.full((4, 5), -np.inf, np.float32)
    logits[:, 0] = [logit(0.9), logit(0.85), logit(0.19), logit(0.3)]
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.51, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]])
    keypoints = np.zeros((4, 204), np.float32)
    keypoints[0, :4] = [0.0, 0.0, 1.0, 0.25]
    found = decode(logits, boxes, keypoints, count=2, size=(400, 200), threshold=0.2, nms=0.4)
    assert [round(f.score, 3) for f in found] == [0.9, 0.3]
    np.testing.assert_allclose(found[0].points[:, :2], [[-0.5, -0.5], [399.5, 49.5]])
    np.testing.assert_allclose(found[0].points[:, 2], 0.9, rtol=1e-6)
    np.testing.assert_allclose(found[0].box, [159.5, 59.5, 239.5, 139.5])


class Recorded:
    """A network that answers with one person, face and two hands at known places, whatever it is shown."""

    def __init__(self, persons: int = 1) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.persons = persons

    def __call__(self, pixels: torch.Tensor, targets: list[dict]) -> dict[str, torch.Tensor]:
        self.shapes.append(tuple(pixels.shape))
        assert len(targets) == len(pixels)
        batch, kind = len(pixels), targets[0]["instance_text_prompt"][0]
        count = int(targets[0]["kpt_vis_text"].sum())
        assert targets[0]["kpts_embeddings_text"].shape == (100, 512)
        logits, boxes = torch.full((batch, 6, 350), -torch.inf), torch.full((batch, 6, 4), 0.01)
        points = torch.zeros(batch, 6, 204)
        places = {"person": [(0.5, 0.5, 0.4, 0.8)], "face": [(0.5, 0.2, 0.1, 0.1)]}
        places["hand"] = [(0.66, 0.5, 0.05, 0.05), (0.34, 0.5, 0.05, 0.05)]
        for i, (x, y, w, h) in enumerate(places[kind] if self.persons else []):
            logits[:, i, 0] = logit(0.8)
            boxes[:, i] = torch.tensor([x, y, w, h])
            grid = torch.linspace(-0.5, 0.5, count)
            points[:, i, : 2 * count] = torch.stack([x + w * grid, y + h * grid], -1).reshape(-1)
            if kind == "person":
                points[:, i, 18:22] = torch.tensor([0.66, 0.5, 0.34, 0.5])  # left and right wrist
            if kind == "hand":
                points[:, i, :2] = torch.tensor([x, y])
        return {"pred_logits": logits, "pred_boxes": boxes, "pred_keypoints": points}


def prompts() -> dict[str, Prompt]:
    counts = dict(zip(PROMPTS, (17, 68, 21), strict=True))
    return {n: Prompt(name=n, instance=torch.zeros(1, 512), points=torch.zeros(counts[n], 512)) for n in PROMPTS}


@pytest.mark.parametrize("size", SIZES)
def test_keypoints_are_in_frame_pixels_for_any_aspect_ratio(size: tuple[int, int]) -> None:
    network = Recorded()
    extractor = XPose(network=network, prompts=prompts(), config=XPoseConfig(batch_size=2))
    frames = np.zeros((3, size[1], size[0], 3), np.uint8)
    result = extractor(frames, fps=30, seed=0)
    assert result.status == "ok"
    assert {shape[0] for shape in network.shapes} == {1, 2}
    assert {shape[2:] for shape in network.shapes} == {network_size(size, 800, 1333)[::-1]}
    pose = result.pose
    assert pose.body.shape == (3, 1, 17, 3)
    assert pose.face.shape == (3, 1, 68, 3)
    assert pose.hand.shape == (3, 2, 21, 3)
    width, height = size
    np.testing.assert_allclose(pose.body[1, 0, 0, :2], [0.3 * width - 0.5, 0.1 * height - 0.5], rtol=1e-5)
    np.testing.assert_allclose(pose.hand[1, 0, 0, :2], [0.66 * width - 0.5, 0.5 * height - 0.5], rtol=1e-5)
    np.testing.assert_allclose(pose.hand[1, 1, 0, :2], [0.34 * width - 0.5, 0.5 * height - 0.5], rtol=1e-5)
    np.testing.assert_allclose(pose.body[..., 2], 0.8, rtol=1e-5)
    assert pose.mask.any()
    assert max(pose.mask.shape[1:]) == 192
    assert result.quality["person_frames"] == result.quality["face_frames"] == result.quality["hand_frames"] == 1


def test_no_one_found_is_a_status() -> None:
    result = XPose(network=Recorded(persons=0), prompts=prompts(), config=XPoseConfig())(
        np.zeros((2, 64, 64, 3), np.uint8), fps=30, seed=0
    )
    assert result.status == "no_person"
    assert np.isnan(result.pose.body[..., :2]).all()
    assert (result.pose.body[..., 2] == 0).all()
    assert not result.pose.mask.any()


def test_decoder_mask_is_its_definition() -> None:
    """A token is blocked for tokens of other instances and of the other kind (used or padding) in its own."""
    used = torch.ones(2, 69)
    used[0, 18:] = 0
    mask = _prepare_for_mask(used)[3]
    assert mask.shape == (2 * HEADS, GROUPS * 69, GROUPS * 69)
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, GROUPS * 69, (4000, 2)).tolist() + [[i, i // 69 * 69 + i % 7] for i in range(3450)]
    for query, key in pairs:
        for picture in range(2):
            same = query // 69 == key // 69 and used[picture, query % 69] == used[picture, key % 69]
            assert bool(mask[picture * HEADS + 3, query, key]) != same


def test_settings_file_is_read_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("a = 1\nb = [1, 2]\n")
    (tmp_path / "main.py").write_text("_base_ = ['base.py']\nb = 3\nc = {'x': 'y'}\nd = open('x')\nraise OSError\n")
    assert literals(tmp_path / "main.py") == {"a": 1, "b": 3, "c": {"x": "y"}}
    (tmp_path / "broken.py").write_text("a = (")
    with pytest.raises(ExtractionError, match="checkout of X-Pose"):
        literals(tmp_path / "broken.py")


def test_problem_tells_licence_then_code_then_weights(tmp_path: Path) -> None:
    problem = XPoseConfig().problem()
    assert problem is not None
    assert "non-commercial" in problem.cause
    with pytest.raises(ExtractionError, match="accept_non_commercial_licence"):
        XPoseConfig().build()
    problem = XPoseConfig(accept_non_commercial_licence=True, source=tmp_path).problem()
    assert problem is not None
    assert "clone" in problem.remedy
    for name in ("config_model/UniPose_SwinT.py", "models/UniPose/unipose.py", "predefined_keypoints.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    problem = XPoseConfig(accept_non_commercial_licence=True, source=tmp_path, checkpoint=tmp_path / "x.pth").problem()
    assert problem is not None
    assert "weights fetch xpose-swin-t" in problem.remedy
    config = XPoseConfig(source=tmp_path, checkpoint=tmp_path / "x.pth", tokenizer=tmp_path)
    assert config.key_params() == XPoseConfig().key_params()
    assert tmp_path / "models/UniPose/unipose.py" in config.weights()


@pytest.fixture(scope="module")
def source() -> Path:
    folder = os.environ.get("MIKUDANCE_XPOSE_SOURCE")
    if not folder:
        pytest.skip("MIKUDANCE_XPOSE_SOURCE does not name a checkout of X-Pose")
    return Path(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_upstream_network_runs_on_cpu_with_random_weights(source: Path, tmp_path: Path) -> None:
    """Upstream's code from a checkpoint of random weights, through the whole backend, in three aspect ratios."""
    torch.manual_seed(0)
    network = build_network(source)
    assert sum(p.numel() for p in network.parameters()) == 64_661_134
    assert not {"models", "util", "clip", "torchvision"} & set(sys.modules)
    tower = Tower(190)
    tower.text_projection = torch.nn.Parameter(torch.randn(128, 512))
    state = network.state_dict() | {f"clip_model.{name}": value for name, value in tower.state_dict().items()}
    checkpoint = tmp_path / "random.pth"
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, checkpoint)
    save_tokenizer(tmp_path / "tokenizer")
    config = XPoseConfig(
        accept_non_commercial_licence=True,
        source=source,
        checkpoint=checkpoint,
        tokenizer=tmp_path / "tokenizer",
        box_threshold=0.0,
        short_side=256,
        batch_size=1,
    )
    assert config.problem() is None
    extractor = config.build()
    prompt = extractor._prompts["hand"]
    for size in ((96, 96), (160, 90), (90, 140)):
        frames = np.random.default_rng(0).integers(0, 256, (1, size[1], size[0], 3), dtype=np.uint8)
        found = extractor._find(frames, prompt)[0]
        with torch.inference_mode():
            raw = extractor._network(prepare(frames, 256, 1333, torch.device("cpu")), [prompt.target()])
        scores = raw["pred_logits"][0, :, 0].double().sigmoid()
        assert found[0].score == pytest.approx(float(scores.max()), rel=1e-9)
        # random weights may give several queries the same score
        best = raw["pred_keypoints"][0, scores == scores.max(), :42].reshape(-1, 21, 2)
        expected = best * torch.tensor(size) - 0.5
        assert np.abs(found[0].points[:, :2] - expected.numpy()).max((1, 2)).min() < 1e-3
        assert np.isfinite(found[0].points).all()
