"""A report as Markdown, CSV or JSON, columns in the paper's order."""

import csv
import io
import json
import math
from collections.abc import Mapping
from typing import Any

from train.evaluation.config import METRICS, Metric
from train.evaluation.evaluate import Report, Score
from train.evaluation.published import Row

TITLES: dict[Metric, str] = {
    "fid": "FID ↓",
    "ssim": "SSIM ↑",
    "psnr": "PSNR ↑",
    "lpips": "LPIPS ↓",
    "l1": "L1 ↓",
    "fid_vid": "FID-VID ↓",
    "fvd": "FVD ↓",
}
ABSENT = "–"


def markdown(report: Report, published: Mapping[str, Row] | None = None, title: str = "Method") -> str:
    """A table with intervals, then notes. published: rows of the paper, set apart; they are of other test videos."""
    lines = [_line(title, *TITLES.values()), _line("---", *("---:" for _ in METRICS))]
    for method in report.methods:
        lines.append(_line(method.name, *(_cell(metric, method.scores.get(metric)) for metric in METRICS)))
    for name, row in (published or {}).items():
        cells = (_number(metric, row[metric]) if metric in row else ABSENT for metric in METRICS)
        lines.append(_line(f"{name.replace('*', chr(92) + '*')} (paper)", *cells))
    config = report.config
    notes = [f"Protocol `{config.protocol}`, {report.videos} videos, {report.frames} frames."]
    if any(score.interval for method in report.methods for score in method.scores.values()):
        notes.append(f"In brackets: {100 * config.confidence:g} % bootstrap intervals over videos.")
    if published:
        notes.append("Rows of the paper are of its own test videos and networks: for orientation only.")
    notes += [f"{TITLES[metric]}: not computed, {reason}." for metric, reason in report.absent.items()]
    for method in report.methods:
        notes += [f"{method.name}, {TITLES[m]}: {score.note}." for m, score in method.scores.items() if score.note]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def csv_table(report: Report) -> str:
    """A row for each method and metric: value, low, high, samples, note (the reason where there is no value)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["protocol", "method", "metric", "value", "low", "high", "samples", "note"])
    for method in report.methods:
        for metric in METRICS:
            score = method.scores.get(metric)
            cells = ["", "", "", 0, report.absent.get(metric, "")]
            if score is not None:
                low, high = score.interval or ("", "")
                cells = [repr(score.value), low, high, score.samples, score.note]
            writer.writerow([report.config.protocol, method.name, metric, *cells])
    return out.getvalue()


def csv_videos(report: Report) -> str:
    """A row for each method and video, with the metrics that one video has by itself."""
    out = io.StringIO()
    names = sorted({name for method in report.methods for row in method.videos.values() for name in row})
    writer = csv.DictWriter(out, ["method", "video", *names], lineterminator="\n")
    writer.writeheader()
    for method in report.methods:
        for video, row in method.videos.items():
            writer.writerow({"method": method.name, "video": video, **row})
    return out.getvalue()


def json_report(report: Report) -> str:
    """Everything, with the settings that made it. Infinite and undefined values are the strings "inf" and "nan"."""
    data: dict[str, Any] = {
        "config": report.config.model_dump(mode="json"),
        "videos": report.videos,
        "frames": report.frames,
        "absent": report.absent,
        "methods": [
            {
                "name": method.name,
                "scores": {
                    metric: {
                        "value": _json(score.value),
                        "interval": score.interval,
                        "samples": score.samples,
                        "note": score.note,
                    }
                    for metric, score in method.scores.items()
                },
                "videos": {name: {k: _json(v) for k, v in row.items()} for name, row in method.videos.items()},
            }
            for method in report.methods
        ],
    }
    return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(metric: Metric, score: Score | None) -> str:
    if score is None or math.isnan(score.value):
        return ABSENT
    value = _number(metric, score.value)
    return f"{value} [{', '.join(_number(metric, v) for v in score.interval)}]" if score.interval else value


def _number(metric: Metric, value: float) -> str:
    if math.isinf(value):
        return "∞"
    if metric == "l1" and 0 < value < 0.01:
        return f"{value:.2E}"
    return f"{value:.3f}" if metric != "l1" else f"{value:.4f}"
