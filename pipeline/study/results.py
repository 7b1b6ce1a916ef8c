"""From answer files to preferences, with confidence intervals over participants."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import Field, ValidationError

from pipeline.study.page import QUESTIONS, StudyError, StudyKey
from schemas.config import FrozenConfig

MAX_BYTES = 10_000_000
Model = TypeVar("Model", bound=FrozenConfig)


class Answer(FrozenConfig):
    """One ranking, best first, of tokens."""

    video: str
    question: str
    ranking: tuple[str, ...]


class AnswerFile(FrozenConfig):
    """What the page saves."""

    study: str
    participant: str = Field(min_length=1)
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Preference:
    """One method under one question. first: share of rankings with it in front. rank: its mean place, 1 is best. Each
    with its interval (low, high).
    """

    question: str
    method: str
    first: float
    first_interval: tuple[float, float]
    rank: float
    rank_interval: tuple[float, float]


@dataclass(frozen=True)
class StudyResult:
    """preferences: by question, best mean place first."""

    participants: int
    rankings: int
    preferences: tuple[Preference, ...]


def read_key(path: Path) -> StudyKey:
    """The key of a study. Raises StudyError."""
    return _read(path, StudyKey)


def count(
    key: StudyKey, files: Sequence[Path], *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> StudyResult:
    """Counts answer files. Rankings of one participant are not independent, so participants are resampled.

    Raises StudyError for a file of another study, one that is not whole, or the same participant twice.
    """
    sheets = [_read(path, AnswerFile) for path in files]
    if not sheets:
        raise StudyError("there are no answer files; name those that the page saved")
    seen: dict[str, Path] = {}
    for path, sheet in zip(files, sheets, strict=True):
        if sheet.study != key.study:
            raise StudyError(f"{path} answers study {sheet.study}, the key is of {key.study}")
        if sheet.participant in seen:
            raise StudyError(f"{path} and {seen[sheet.participant]} are of one participant; keep one of them")
        seen[sheet.participant] = path
    places = [_places(key, sheet, path) for path, sheet in zip(files, sheets, strict=True)]
    rows = np.random.default_rng(seed).integers(0, len(sheets), (resamples, len(sheets)))
    quantiles = [(1 - confidence) / 2, (1 + confidence) / 2]
    found = []
    for question in QUESTIONS:
        ranked = []
        for number, method in enumerate(key.methods):
            # Every participant answered the same number of rankings, so means over participants are means over all.
            first = np.array([(own[question][:, number] == 1).mean() for own in places])
            rank = np.array([own[question][:, number].mean() for own in places])
            low, high = (np.quantile(values[rows].mean(1), quantiles) for values in (first, rank))
            ranked.append(
                Preference(
                    question,
                    method,
                    float(first.mean()),
                    (float(low[0]), float(low[1])),
                    float(rank.mean()),
                    (float(high[0]), float(high[1])),
                )
            )
        found += sorted(ranked, key=lambda preference: preference.rank)
    return StudyResult(len(sheets), sum(len(sheet.answers) for sheet in sheets), tuple(found))


def markdown(result: StudyResult) -> str:
    """The result as a table."""
    lines = ["| Question | Method | First place | Mean place |", "| --- | --- | ---: | ---: |"]
    for p in result.preferences:
        first = f"{100 * p.first:.1f} % [{100 * p.first_interval[0]:.1f}, {100 * p.first_interval[1]:.1f}]"
        rank = f"{p.rank:.2f} [{p.rank_interval[0]:.2f}, {p.rank_interval[1]:.2f}]"
        lines.append(f"| {p.question} | {p.method} | {first} | {rank} |")
    note = f"{result.participants} participants, {result.rankings} rankings; in brackets: bootstrap over participants."
    return "\n".join([*lines, "", note]) + "\n"


def _places(key: StudyKey, sheet: AnswerFile, path: Path) -> dict[str, np.ndarray]:
    """By question: places [videos, methods], 1 is best."""
    wanted = {(video, question) for video in key.tokens for question in QUESTIONS}
    given = [(answer.video, answer.question) for answer in sheet.answers]
    if set(given) != wanted or len(given) != len(wanted):
        raise StudyError(f"{path} does not answer every question of every video once; leave it out")
    rows: dict[str, list[list[int]]] = {question: [] for question in QUESTIONS}
    for answer in sheet.answers:
        tokens = key.tokens[answer.video]
        if sorted(answer.ranking) != sorted(tokens):
            raise StudyError(f"{path}: the ranking of {answer.video} does not name each animation once; leave it out")
        order = [tokens[token] for token in answer.ranking]
        rows[answer.question].append([order.index(method) + 1 for method in key.methods])
    return {question: np.array(values) for question, values in rows.items()}


def _read(path: Path, model: type[Model]) -> Model:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StudyError(f"{path} is larger than {MAX_BYTES} bytes: that is no such file")
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist") from error
    except (ValueError, ValidationError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{path} is no {model.__name__} file of a study: {error}") from error
