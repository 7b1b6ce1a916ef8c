"""The command line as a user meets it: help, configuration, and errors that say what to do."""

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import main
from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES
from pipeline.ingest.sources import discover
from pipeline.run import Run, RunSummary
from pipeline.sources import register


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output, error output of `mikudance ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["mikudance", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


def test_help_names_every_command_and_the_exit_codes(cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("--help")
    assert code == 0
    for name in (
        "build",
        "add",
        "status",
        "verify",
        "retry",
        "plan",
        "dag",
        "doctor",
        "config",
        "demo",
        "--install-completion",
    ):
        assert name in out
    assert "Exit codes" in out
    for name in ("build", "add", "status", "verify", "retry", "plan", "dag", "doctor", "demo"):
        code, out, _ = cli(name, "--help")
        assert code == 0
        assert "Example" in out, name


def test_the_shown_configuration_is_valid_and_documented(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("config", "show")
    assert code == 0
    assert DatasetConfig.model_validate(yaml.safe_load(out)) == DatasetConfig()
    file = tmp_path / "my.yaml"
    file.write_text(out)
    assert cli("config", "validate", str(file))[:2] == (0, f"{file} is valid\n")


def test_every_field_of_the_configuration_is_described(cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("config", "schema")
    assert code == 0
    schema = json.loads(out)
    for name, model in schema["$defs"].items():
        for field, about in model.get("properties", {}).items():
            described = "description" in about or "$ref" in about or "const" in about
            assert described, f"{name}.{field} has no description"


def test_a_wrong_key_is_an_error_with_a_suggestion(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "my.yaml"
    file.write_text("decode: {sise: 512}\n")
    code, _, err = cli("config", "validate", str(file))
    assert code == 1
    assert "decode.sise: unknown key; did you mean 'size'?" in err
    assert str(file) in err


@pytest.mark.parametrize("command", ["status", "verify", "plan", "retry"])
def test_a_folder_without_a_dataset_is_named_with_the_next_step(cli, tmp_path: Path, command: str) -> None:  # type: ignore[no-untyped-def]
    code, _, err = cli(command, "--dataset", str(tmp_path))
    assert code == 1
    assert str(tmp_path) in err
    assert "mikudance build" in err


def test_sources_that_are_not_there_are_named(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = cli("build", str(tmp_path / "none.mp4"), "--dataset", str(tmp_path / "d"))
    assert code == 2
    assert "none.mp4" in err


def test_a_build_that_cannot_begin_leaves_the_configuration_as_it_was(  # type: ignore[no-untyped-def]
    cli, tmp_path: Path
) -> None:
    root, wrong = tmp_path / "d", str(tmp_path / "none.mp4")
    assert cli("build", wrong, "-d", str(root), "--set", "decode.size=512")[0] == 2
    assert not root.exists()
    Dataset.create_or_open(str(root), DatasetConfig())
    before = (root / "config.yaml").read_bytes()
    (tmp_path / "notes.txt").write_text("no video")
    video = tmp_path / "videos" / "v.mp4"
    video.parent.mkdir()
    video.write_bytes(b"v")
    (file,) = discover([str(video)], kind="camera", config=DatasetConfig().ingest, known={})
    register(Dataset.open(str(root)), {}, [file], "run")
    for source, *options in (
        (wrong, "--set", "decode.size=512"),
        (str(tmp_path / "*.txt"), "--set", "decode.size=512"),
        (str(video), "--set", "decode.size=512", "--kind", "character"),
        (str(video), "--set", f"depth.backend={{backend: onnx, path: {tmp_path}/absent.onnx}}"),
    ):
        code, _, err = cli("build", source, "-d", str(root), *options)
        assert code in (1, 2), err
        assert (root / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(("options", "ends"), [((), 3), (("--quarantine-ok",), 0)])
def test_quarantine_can_count_as_success(  # type: ignore[no-untyped-def]
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], ends: int
) -> None:
    """For schedulers, to which every code but 0 is a failure; whatever else is wrong ends as before."""
    (tmp_path / "a.mp4").write_bytes(b"x")
    for summary, code in ((RunSummary(quarantined=Counter(pose=1)), ends), (RunSummary(left=1), 1)):
        monkeypatch.setattr(Run, "build", lambda *_, found=summary, **__: found)
        assert cli("build", str(tmp_path / "a.mp4"), "--dataset", str(tmp_path / "d"), *options)[0] == code


@pytest.mark.parametrize(
    ("root", "words"), [("gs://bucket/d", "mount it and name the folder"), ("foo://bucket/d", "foo")]
)
def test_a_store_that_nothing_opens_is_named_with_the_remedy(  # type: ignore[no-untyped-def]
    cli, monkeypatch: pytest.MonkeyPatch, root: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # also where it happens to be installed
    code, _, err = cli("status", "--dataset", root)
    assert code == 1
    assert f"error: {root} cannot be opened: " in err
    assert words in err


def test_a_cluster_that_does_not_take_the_driver_is_named_with_the_remedy(  # type: ignore[no-untyped-def]
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.3")

    monkeypatch.setattr("pipeline.executor.cluster.ray.is_initialized", lambda: False)
    monkeypatch.setattr("pipeline.executor.cluster.ray.init", init)
    (tmp_path / "a.mp4").write_bytes(b"x")
    code, _, err = cli("build", str(tmp_path / "a.mp4"), "-d", str(tmp_path / "d"), "--ray-address", "head:6379")
    assert code == 1
    assert "error: the Ray cluster at head:6379 does not take this driver: Version mismatch" in err
    assert "the same Ray" in err


def test_a_foreign_folder_is_not_written_into(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "holiday.txt").write_text("mine")
    code, _, err = cli("build", "x.mp4", "--dataset", str(tmp_path))
    assert code == 1
    assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]


def test_an_unknown_preset_is_refused(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = cli("build", "x.mp4", "--dataset", str(tmp_path / "d"), "--preset", "best")
    assert code == 1
    assert "presets are" in err


def test_weights_are_listed_and_what_is_not_allowed_is_refused(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("weights", "list", "--folder", str(tmp_path))
    assert code == 0
    assert "depth-anything-v2-small: for depth-anything; 0 of 3 files here; Apache-2.0" in out
    code, _, err = cli("weights", "fetch", "depth-anything-v2-large", "--folder", str(tmp_path))
    assert code == 1
    assert "--accept-non-commercial" in err
    code, _, err = cli("weights", "fetch", "best", "--folder", str(tmp_path))
    assert code == 2
    assert "depth-anything-v2-small" in err
    code, _, err = cli(
        "weights", "fetch", "depth-anything-v2-small", "--folder", str(tmp_path), "--mirror", str(tmp_path / "none")
    )
    assert code == 1
    assert "config.json" in err
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_graph_is_printed_and_drawn(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    picture = tmp_path / "graph.svg"
    code, out, _ = cli("dag", "-o", str(picture))
    assert code == 0
    assert "scene_motion <- decode, pose, camera, depth" in out
    drawn = ElementTree.parse(picture).getroot()
    labels = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert labels == ["ingest", *CLIP_STAGES, "pack"]


def test_doctor_names_every_backend_and_a_remedy_for_each_that_cannot_run(cli) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = cli("doctor")
    for name in ("mediapipe", "sfm", "reconstruction", "opencv", "onnx", "depth-anything", "sdxl"):
        assert name in out
    assert out.count("cannot ") == out.count("remedy:")
    assert "ok       in use  decode   ffmpeg" in out


def test_doctor_says_why_no_video_can_be_read(cli, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/true")
    code, out, _ = cli("doctor")
    assert code == 1
    assert "decode   ffmpeg: IMAGEIO_FFMPEG_EXE names /bin/true, which cannot be used" in out
