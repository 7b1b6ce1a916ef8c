"""Scores any number of methods against the real videos.

report = evaluate(Path("real"), {"ours": Path("ours"), "repeat": Path("repeat")}, EvaluationConfig())
print(markdown(report))                                    # train.evaluation.table
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from train.evaluation import bootstrap, pixel
from train.evaluation.config import METRICS, EvaluationConfig, Metric
from train.evaluation.frechet import frechet_distance
from train.evaluation.media import MediaError, Sequence, matched, sequences
from train.evaluation.networks import FeatureNetwork, FeatureStream, NetworkError
from train.evaluation.protocol import PROTOCOLS

Frechet = Literal["fid", "fid_vid", "fvd"]
FRECHET: tuple[Frechet, ...] = ("fid", "fid_vid", "fvd")
PAIRED: tuple[Metric, ...] = ("ssim", "psnr", "lpips", "l1")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """One cell of the table. interval: (low, high) or None. samples: frames or clips on each side. note: what limits
    the number, or "".
    """

    value: float
    interval: tuple[float, float] | None
    samples: int
    note: str = ""


@dataclass(frozen=True)
class MethodScores:
    """scores: by metric; absent ones are in `Report.absent`. videos: by video, the paired metrics and the frames."""

    name: str
    scores: dict[Metric, Score]
    videos: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Report:
    """A whole evaluation. absent: metrics that were not computed, with the reason."""

    config: EvaluationConfig
    videos: int
    frames: int
    methods: tuple[MethodScores, ...]
    absent: dict[Metric, str] = field(default_factory=dict)


def evaluate(
    real: Path, methods: Mapping[str, Path], config: EvaluationConfig, progress: Progress | None = None
) -> Report:
    """Scores the folders of `methods` (videos or folders of frames, named as the real ones) against `real`.

    Raises MediaError for videos that do not match, NetworkError for network files that cannot be used.
    """
    if not methods:
        raise MediaError("no method was named; give at least one folder of outputs")
    say = progress or (lambda text: None)
    truth = sequences(real)
    pairs = {name: matched(truth, sequences(folder), name) for name, folder in methods.items()}
    networks, absent = _networks(config)
    frechet = {metric: networks[metric] for metric in FRECHET if metric in networks}
    scorer = _Scorer(config, networks.get("lpips"), frechet)
    real_features: dict[str, dict[str, np.ndarray]] = {}
    results = []
    frames = 0
    for name, matches in pairs.items():
        videos = {}
        for number, (true, made) in enumerate(matches):
            say(f"{name}: {made.name} ({number + 1} of {len(matches)})")
            videos[true.name] = scorer.score(true, made, wants_real=true.name not in real_features)
            real_features.setdefault(true.name, videos[true.name].real_features)
        frames = sum(video.frames for video in videos.values())
        say(f"{name}: distances and intervals")
        results.append(MethodScores(name, _scores(config, videos, real_features), _by_video(videos)))
    return Report(config, len(truth), frames, tuple(results), absent)


@dataclass(frozen=True)
class _Video:
    """One video of one method. values: by paired metric. features: [N, D] by Fréchet metric."""

    frames: int
    values: dict[Metric, float]
    features: dict[str, np.ndarray]
    real_features: dict[str, np.ndarray]


class _Scorer:
    def __init__(
        self, config: EvaluationConfig, lpips: FeatureNetwork | None, frechet: Mapping[Frechet, FeatureNetwork]
    ) -> None:
        self._config = config
        self._protocol = PROTOCOLS[config.protocol]
        self._lpips = lpips
        self._frechet = frechet

    def score(self, true: Sequence, made: Sequence, *, wants_real: bool) -> _Video:
        """Decodes both videos once, side by side."""
        config, protocol = self._config, self._protocol
        mine = {metric: FeatureStream(network) for metric, network in self._frechet.items()}
        theirs = {metric: FeatureStream(network) for metric, network in self._frechet.items()} if wants_real else {}
        lpips = _PairStream(self._lpips) if self._lpips else None
        l1: list[float] = []
        ssim: list[float] = []
        errors: list[float] = []
        real_frames, made_frames = (side.frames(config.frames, config.size) for side in (true, made))
        while True:
            expected, drawn = next(real_frames, None), next(made_frames, None)
            if expected is None or drawn is None:
                self._same_length(true, made, len(l1), expected is None, drawn is None)
                break
            if expected.shape != drawn.shape:
                sizes = [f"{p.path} is {f.shape[1]} × {f.shape[0]}" for p, f in ((true, expected), (made, drawn))]
                raise MediaError(f"{', '.join(sizes)}; make them of one size, or set `size` to resize both")
            l1.append(pixel.l1(expected, drawn, protocol))
            errors.append(pixel.squared_error(expected, drawn))
            ssim.append(pixel.ssim(expected, drawn, protocol))
            for streams, picture in ((mine, drawn), (theirs, expected)):
                for stream in streams.values():
                    stream.push(picture)
            if lpips:
                lpips.push(expected, drawn)
        values: dict[Metric, float] = {
            "ssim": float(np.mean(ssim)),
            "psnr": pixel.video_psnr(errors, protocol),
            "l1": float(np.mean(l1)),
        }
        if lpips:
            values["lpips"] = float(lpips.finish().mean())
        return _Video(
            frames=len(l1),
            values=values,
            features={metric: stream.finish() for metric, stream in mine.items()},
            real_features={metric: stream.finish() for metric, stream in theirs.items()},
        )

    def _same_length(self, true: Sequence, made: Sequence, count: int, real_ended: bool, made_ended: bool) -> None:
        if real_ended and made_ended:
            return
        longer, shorter = (made, true) if real_ended else (true, made)
        raise MediaError(
            f"{shorter.path} has {count} frames, {longer.path} has more; they must show the same frames "
            "(`frames` scores the first so many of all videos)"
        )


class _PairStream:
    """LPIPS of a video's frames, in batches."""

    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._done: list[np.ndarray] = []

    def push(self, real: np.ndarray, made: np.ndarray) -> None:
        self._pairs.append((self._network.prepare(real), self._network.prepare(made)))
        if len(self._pairs) == self._network.batch:
            self._flush()

    def finish(self) -> np.ndarray:
        if self._pairs:
            self._flush()
        return np.concatenate(self._done)

    def _flush(self) -> None:
        self._done.append(self._network.distances([a for a, _ in self._pairs], [b for _, b in self._pairs]))
        self._pairs = []


def _networks(config: EvaluationConfig) -> tuple[dict[Metric, FeatureNetwork], dict[Metric, str]]:
    protocol = PROTOCOLS[config.protocol]
    if config.device == "cuda" and not torch.cuda.is_available():
        raise NetworkError("device cuda: torch finds no CUDA device here; say auto or cpu")
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen if config.device == "auto" else config.device)
    samplings = {"lpips": protocol.lpips, "fid": protocol.fid, "fid_vid": protocol.fid_vid, "fvd": protocol.fvd}
    networks: dict[Metric, FeatureNetwork] = {}
    absent: dict[Metric, str] = {}
    for metric in METRICS:
        if metric not in samplings:
            continue
        file = getattr(config.networks, metric)
        if file is None:
            what = str(type(config.networks).model_fields[metric].description).rstrip(".")
            absent[metric] = f"no network file is given (networks.{metric}: {what})"
        else:
            networks[metric] = FeatureNetwork(file=file, sampling=samplings[metric], device=device, batch=config.batch)
    return networks, absent


def _scores(
    config: EvaluationConfig, videos: Mapping[str, _Video], real: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[Metric, Score]:
    every = list(videos.values())
    frames = np.array([video.frames for video in every], np.float64)
    weights = frames if PROTOCOLS[config.protocol].weight == "frame" else np.ones_like(frames)
    scores: dict[Metric, Score] = {}
    for metric in METRICS:
        if metric in every[0].values:
            values = np.array([video.values[metric] for video in every])
            interval = bootstrap.mean_interval(
                values, weights, resamples=config.resamples, confidence=config.confidence, seed=config.seed
            )
            scores[metric] = Score(float(np.average(values, weights=weights)), interval, int(frames.sum()))
        elif metric in every[0].features:
            sides = [
                [part for part in side if len(part)]
                for side in ([real[name][metric] for name in videos], [video.features[metric] for video in every])
            ]
            scores[metric] = _distance(config, sides[0], sides[1])
    return scores


def _distance(config: EvaluationConfig, real: list[np.ndarray], made: list[np.ndarray]) -> Score:
    samples = sum(map(len, made))
    if samples < 2:
        return Score(float("nan"), None, samples, "fewer than two samples: the videos are too short or too few")
    value = frechet_distance(np.concatenate(real), np.concatenate(made))
    interval = bootstrap.frechet_interval(
        real, made, resamples=config.frechet_resamples, confidence=config.confidence, seed=config.seed
    )
    width = made[0].shape[1]
    note = f"{samples} samples for {width} features: biased upwards" if samples <= width else ""
    return Score(value, interval, samples, note)


def _by_video(videos: Mapping[str, _Video]) -> dict[str, dict[str, float]]:
    return {
        name: {"frames": float(video.frames)} | {str(m): video.values[m] for m in PAIRED if m in video.values}
        for name, video in videos.items()
    }
