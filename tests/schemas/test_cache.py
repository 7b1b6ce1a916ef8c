"""One rule for where fetched and made-again files lie, whoever asks."""

from pathlib import Path

import pytest

from extractors.pose.mediapipe_files import cache_dir
from extractors.weights.store import default_folder
from schemas.cache import CACHE_VARIABLE, cache_folder


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME", "MIKUDANCE_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, root in (
        ("HOME", tmp_path / ".cache" / "mikudance"),
        ("XDG_CACHE_HOME", tmp_path / "xdg" / "mikudance"),
        (CACHE_VARIABLE, tmp_path / "own"),
    ):
        if variable != "HOME":
            monkeypatch.setenv(variable, str(tmp_path / "xdg" if variable == "XDG_CACHE_HOME" else root))
        assert cache_folder("blocks") == root / "blocks"
        assert default_folder() == root / "weights"
        assert cache_dir().parent == root
