"""One HTML file with all videos inside, methods under tokens that say nothing; the key stays with who asks."""

import base64
import hashlib
import json
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.animation.output import write_animation
from schemas.config import FrozenConfig

QUESTIONS = {
    "overall": "Which is the best animation on the whole?",
    "frame": "Which has the best single pictures (sharp, the character looks right)?",
    "temporal": "Which is the steadiest over time (no flicker, natural motion)?",
}
"""The three of the paper: overall, frame and temporal quality."""
_TEMPLATE = Path(__file__).with_name("page.html")


class StudyError(ValueError):
    """A study that cannot be made or counted; the message names the cause and the next step."""


class StudyKey(FrozenConfig):
    """`key.json`: which token is which method. To be kept from the participants."""

    study: str = Field(description="Identity of the page; answers carry it.")
    methods: tuple[str, ...] = Field(description="Names of the methods.")
    tokens: dict[str, dict[str, str]] = Field(description="By video: token to method.")


@dataclass(frozen=True)
class Shown:
    """A video of the page. frames: uint8 RGB [H, W, 3] with even sides. fps: how many are shown a second."""

    frames: Iterable[np.ndarray]
    fps: float


Clips = Mapping[str, Shown]
"""By method: one video."""


def make_page(
    videos: Mapping[str, Clips],
    *,
    page: Path,
    key: Path,
    context: Mapping[str, Shown] | None = None,
    secret: str | None = None,
) -> StudyKey:
    """Writes the page and its key. videos: by name; all with the same methods. context: a video shown above the others,
    such as the driving one. secret: from which the tokens are made; None draws one. Raises StudyError.
    """
    methods = sorted({method for clips in videos.values() for method in clips})
    if len(methods) < 2:
        raise StudyError("a ranking needs two methods at least")
    lacking = [name for name, clips in videos.items() if set(clips) != set(methods)]
    if lacking:
        raise StudyError(f"video {lacking[0]} is not there for every method of {', '.join(methods)}")
    secret = secret or secrets.token_hex(16)
    study = hashlib.sha256(f"{secret}|{'|'.join(videos)}".encode()).hexdigest()[:12]
    tokens: dict[str, dict[str, str]] = {}
    entries = []
    for number, (name, clips) in enumerate(videos.items()):
        mine = {method: hashlib.sha256(f"{secret}|{name}|{method}".encode()).hexdigest()[:10] for method in methods}
        tokens[f"video{number}"] = {token: method for method, token in mine.items()}
        shown = {mine[method]: _embedded(video) for method, video in clips.items()}
        entry = {"name": f"video{number}", "options": dict(sorted(shown.items()))}
        if context and name in context:
            entry["context"] = _embedded(context[name])
        entries.append(entry)
    data = json.dumps({"study": study, "questions": QUESTIONS, "videos": entries})
    text = _TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", data.replace("</", "<\\/"))
    record = StudyKey(study=study, methods=tuple(methods), tokens=tokens)
    for path, content in ((page, text), (key, record.model_dump_json(indent=2) + "\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return record


def _embedded(video: Shown) -> str:
    """A video as an mp4 in a data URI."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        write_animation(path, video.frames, fps=video.fps)
        return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
