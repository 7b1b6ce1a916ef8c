"""`mikudance animate` and `ablate` as commands."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.config_file import ConfigError
from pipeline.dataset import DatasetError
from train.run_store import RunIndex, RunStore


def test_the_ablation_table(checkpoint: Path, dataset: str, tmp_path: Path) -> None:
    """Two variants with equal weights score alike; the paper's rows stand beside them."""
    arguments = ["--variant", f"full={checkpoint}", "--variant", f"again={checkpoint}", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["ablate", "-d", dataset, *arguments, "--frames", "2", "--steps", "1"])
    assert done.exit_code == 0, done.output
    rows = {line.split(" | ")[0][2:]: line for line in (tmp_path / "out" / "ablation.md").read_text().splitlines()}
    assert rows["full"].removeprefix("| full") == rows["again"].removeprefix("| again")
    assert "27.315" in rows["w/o MIX (paper)"]


def said(*arguments: str) -> str:
    """What a command says that fails in words, on one line."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert done.exception is None or isinstance(done.exception, SystemExit | ConfigError | DatasetError), done.exception
    return " ".join(f"{done.output} {done.exception}".split())


def test_variants_that_make_no_table_are_refused(checkpoint: Path, dataset: str, tmp_path: Path) -> None:
    base = ("ablate", "-d", dataset, "-o", str(tmp_path / "out"), "--variant")
    assert "model.motion=scene_motion in place of none" in said(*base, f"w/o SMT={checkpoint}")
    assert "--variant foo: NAME=FOLDER is expected" in said(*base, "foo")
    assert not (tmp_path / "out").exists()


def test_options_that_would_be_ignored_are_refused(checkpoint: Path, dataset: str, tmp_path: Path) -> None:
    base = ("animate", "--checkpoint", str(checkpoint), "-o", str(tmp_path / "out"))
    clips = (*base, "--dataset", dataset)
    for given in (
        ("--driving", "a.mp4"),
        ("--fit", "pad"),
        ("--stages", "a.yaml"),
        ("--set", "decode.size=384"),
        ("--camera-track", "a.vmd"),
        ("--no-sound",),
        ("--side-by-side",),
    ):
        assert f"{given[0]}: of no use with --dataset" in said(*clips, *given)
    for given in (("--split", "val"), ("--clips", "2"), ("--kind", "camera"), ("--name", "ours")):
        video = (*base, "--reference", "a.png", "--driving", "a.mp4")
        assert f"{given[0]}: of no use without --dataset" in said(*video, *given)
    assert "--name ../esc: a plain folder name" in said(*clips, "--name", "../esc")
    assert "--cache-gib inf" in said(*clips, "--cache-gib", "inf")
    assert not (tmp_path / "out").exists()


def test_a_network_in_a_store_draws_what_its_folder_draws(
    checkpoint: Path, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIKUDANCE_CACHE", str(tmp_path / "cache"))
    store = RunStore("memory://runs/animated")
    base = ("animate", "--dataset", dataset, "--frames", "2", "--steps", "1", "--name", "ours")
    absent = said(*base, "--checkpoint", store.uri, "-o", str(tmp_path / "none"))
    assert "error: there is no memory://runs/animated/run.json" in absent
    store.write_index(RunIndex(exports=(store.put_folder(checkpoint, "export/step-00000007"),)))
    drawn = []
    for number, place in enumerate((str(checkpoint), f"{store.uri}/", f"{store.uri}/export/step-00000007")):
        out = tmp_path / f"out{number}"
        done = CliRunner().invoke(app, [*base, "--checkpoint", place, "-o", str(out)])
        assert done.exit_code == 0, done.output
        drawn.append({path.relative_to(out): path.read_bytes() for path in (out / "ours").rglob("*.png")})
    assert len(drawn[0]) == 2
    assert drawn[1:] == [drawn[0]] * 2
