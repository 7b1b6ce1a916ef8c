import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.evaluation.media_files import pictures, write_frames, write_video
from tests.train.evaluation.network_files import MeanColour, MeanDifference, script
from train.evaluation.config import METRICS, EvaluationConfig, Networks
from train.evaluation.evaluate import Report, evaluate
from train.evaluation.media import MediaError
from train.evaluation.networks import NetworkError
from train.evaluation.published import ABLATIONS, COMPARISON
from train.evaluation.table import csv_table, csv_videos, json_report, markdown

COUNTS = {"a": 18, "b": 20, "c": 17}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos; "same" equals them, "brighter" is 20 grey levels off, "noise" is unrelated."""
    root = tmp_path_factory.mktemp("evaluation")
    for seed, (name, count) in enumerate(COUNTS.items()):
        real = pictures(count, seed).clip(0, 235)
        write_frames(root / "real" / name, real)
        write_frames(root / "same" / name, real)
        write_frames(root / "brighter" / name, real + 20)
        write_frames(root / "noise" / name, pictures(count, 100 + seed))
    return root


@pytest.fixture(scope="module")
def networks(folder: Path) -> Networks:
    colour = script(folder / "colour.pt", MeanColour(), values="byte", size=0)
    return Networks(fid=colour, fid_vid=colour, fvd=colour, lpips=script(folder / "difference.pt", MeanDifference()))


def run(folder: Path, *names: str, **settings: object) -> Report:
    config = EvaluationConfig(**({"resamples": 50, "frechet_resamples": 10} | settings))
    return evaluate(folder / "real", {name: folder / name for name in names}, config)


@pytest.mark.parametrize("protocol", ["disco", "corrected"])
def test_equal_videos_score_perfectly(folder: Path, networks: Networks, protocol: str) -> None:
    report = run(folder, "same", protocol=protocol, networks=networks)
    scores = report.methods[0].scores
    assert set(scores) == set(METRICS)
    assert scores["l1"].value == scores["lpips"].value == 0
    assert scores["ssim"].value == pytest.approx(1)
    assert scores["psnr"].value == (100 if protocol == "disco" else np.inf)
    for metric in ("fid", "fid_vid", "fvd"):
        assert scores[metric].value == pytest.approx(0, abs=1e-6)
    assert report.frames == sum(COUNTS.values())


def test_a_known_shift(folder: Path, networks: Networks) -> None:
    """All values 20 higher: the mean colour moves by 20 in each of three channels, its covariance stays."""
    scores = run(folder, "brighter", networks=networks).methods[0].scores
    assert scores["fid"].value == pytest.approx(3 * 400, rel=1e-4)
    assert scores["fid_vid"].value == pytest.approx(3 * 400, rel=1e-4)
    assert scores["fvd"].value == pytest.approx(3 * 400, rel=1e-4)
    assert scores["psnr"].value == pytest.approx(20 * np.log10(255 / 20))
    assert scores["l1"].value == pytest.approx(20 / 32**2)
    assert scores["lpips"].value == pytest.approx(20 / 255, rel=1e-5)
    assert (scores["fid"].samples, scores["fid_vid"].samples, scores["fvd"].samples) == (55, 6, 3 + 5 + 2)


def test_protocols_weigh_videos_differently(folder: Path) -> None:
    reports = {p: run(folder, "noise", protocol=p) for p in ("disco", "corrected")}
    rows = reports["disco"].methods[0].videos
    frames = np.array([row["frames"] for row in rows.values()])
    ssim = np.array([row["ssim"] for row in rows.values()])
    assert list(frames) == list(COUNTS.values())
    assert reports["disco"].methods[0].scores["ssim"].value == pytest.approx((ssim * frames).sum() / frames.sum())
    rows = reports["corrected"].methods[0].videos
    wanted = np.mean([row["psnr"] for row in rows.values()])
    assert reports["corrected"].methods[0].scores["psnr"].value == pytest.approx(wanted)


def test_videos_and_folders_mix(folder: Path, tmp_path: Path) -> None:
    for seed, (name, count) in enumerate(COUNTS.items()):
        write_video(tmp_path / f"{name}.mp4", pictures(count, seed).clip(0, 235))
    scores = evaluate(folder / "real", {"video": tmp_path}, EvaluationConfig()).methods[0].scores
    assert scores["psnr"].value > 38
    assert scores["ssim"].value > 0.97


def test_mismatches_are_refused(folder: Path, tmp_path: Path) -> None:
    for name, count in COUNTS.items():
        write_frames(tmp_path / name, pictures(count - 1))
    methods = {"short": tmp_path}
    with pytest.raises(MediaError, match=r"has 17 frames, .* has more"):
        evaluate(folder / "real", methods, EvaluationConfig())
    assert evaluate(folder / "real", methods, EvaluationConfig(frames=16)).frames == 48
    with pytest.raises(MediaError, match="no method"):
        evaluate(folder / "real", {}, EvaluationConfig())
    write_frames(tmp_path / "a", pictures(COUNTS["a"], side=48))
    with pytest.raises(MediaError, match="make them of one size"):
        evaluate(folder / "real", methods, EvaluationConfig(frames=16))
    assert evaluate(folder / "real", methods, EvaluationConfig(frames=16, size=(24, 24))).videos == 3


def test_tables(folder: Path, networks: Networks) -> None:
    report = run(folder, "same", "noise", networks=networks.model_copy(update={"fvd": None}))
    lines = markdown(report, COMPARISON).splitlines()
    assert lines[0].split(" | ") == [
        "| Method", "FID ↓", "SSIM ↑", "PSNR ↑", "LPIPS ↓", "L1 ↓", "FID-VID ↓", "FVD ↓ |",
    ]  # fmt: skip
    assert all(line.count("|") == 9 for line in lines[:10])
    assert lines[2].endswith("| – |")
    assert "MikuDance (paper) | 24.597 | 0.576 | 14.592 | 0.493 | 5.73E-05 | 22.868 | 502.380" in "\n".join(lines)
    assert any("FVD ↓: not computed, no network file is given" in line for line in lines)
    rows = list(csv.DictReader(io.StringIO(csv_table(report))))
    assert len(rows) == 2 * len(METRICS)
    noise = {row["metric"]: row for row in rows if row["method"] == "noise"}
    assert noise["fvd"]["value"] == ""
    assert "no network file" in noise["fvd"]["note"]
    assert float(noise["ssim"]["low"]) <= float(noise["ssim"]["value"]) <= float(noise["ssim"]["high"])
    data = json.loads(json_report(report))
    assert data["methods"][1]["videos"]["a"]["frames"] == 18
    assert data["config"]["protocol"] == "disco"
    videos = list(csv.DictReader(io.StringIO(csv_videos(report))))
    assert [row["video"] for row in videos] == ["a", "b", "c"] * 2
    assert "∞" in markdown(run(folder, "same", protocol="corrected"))


def test_published_rows_order_methods_as_the_paper_says() -> None:
    for table in (COMPARISON, ABLATIONS):
        best = table["MikuDance"]
        for name, row in table.items():
            for metric, value in row.items():
                better = value < best[metric] if metric in ("ssim", "psnr") else value > best[metric]
                assert better or name == "MikuDance"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(NetworkError, match="finds no CUDA device"):
        run(folder, "same", device="cuda")
