"""The static site, comparison, README, SQL and lineage, on datasets of an exactly known world."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.audit.charts import Threshold, histogram
from pipeline.audit.compare import compare, resolve
from pipeline.checks.snapshot import read_snapshot
from pipeline.cli.main import app
from pipeline.dataset import Dataset, DatasetError
from pipeline.explain import in_words, lineage
from pipeline.sql import query
from tests.pipeline.made import Video, made_config, make, write_video


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four videos and its audit, made by the command."""
    folder = tmp_path_factory.mktemp("home")
    files = [write_video(folder / "videos", f"v{i}", Video(texture=i)) for i in range(4)]
    make(folder / "dataset", files, splits=("train", "train", "train", "test"))
    arguments = ["audit", str(folder / "dataset"), "-o", str(folder / "site"), "--pages", "3", "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


class References(HTMLParser):
    """Every file that a page refers to, in attributes and in styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set(re.findall(r"url\('([^']+)'\)", text))
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value and not value.startswith("#"):
                self.found.add(value)


def test_every_reference_of_every_page_is_a_file_of_the_site(home: Path) -> None:
    site = home / "site"
    pages = [site / "index.html", *sorted((site / "clips").glob("*.html"))]
    assert len(pages) == 4
    for page in pages:
        for name in References(page.read_text()).found:
            assert "://" not in name, f"{page.name} asks the network for {name}"
            assert (page.parent / name).resolve().is_file(), f"{page.name}: {name}"


def test_the_index_tells_what_the_catalog_holds(home: Path) -> None:
    text = (home / "site" / "data" / "clips.js").read_text()
    index = json.loads(text.removeprefix("const CLIPS=").rstrip(";\n"))
    dataset = Dataset.open(str(home / "dataset"))
    names = [
        f"{index['sources'][s]}_{first:06d}_{count:04d}"
        for s, first, count in zip(index["source"], index["first"], index["count"], strict=True)
    ]
    rows = {row["clip_id"]: row for row in dataset.catalog.rows("clips")}
    assert names == sorted(rows)
    assert [index["splits"][i] for i in index["split"]] == [rows[name]["split"] for name in names]
    assert {index["states"][i] for i in index["state"]} == {"packed"}
    errors = query(dataset, "SELECT value FROM figures WHERE figure = 'warp_error' ORDER BY item_id").to_pylist()
    assert index["figures"]["scene_motion.warp_error"] == pytest.approx([row["value"] for row in errors], rel=1e-3)
    assert index["status"]["camera"]["words"] == ["moving"]


def test_a_page_shows_frames_that_are_the_clips_own(home: Path) -> None:
    from schemas.artifacts.frames import FramesArtifact
    from stages.jpeg import decode_frames

    dataset = Dataset.open(str(home / "dataset"))
    snapshot = read_snapshot(dataset)
    page = next((home / "site" / "clips").glob("*.html"))
    keys = snapshot.keys[page.stem]
    frames = FramesArtifact.from_table(
        dataset.storage.read_table(f"artifacts/decode/{keys['decode'][:2]}/{keys['decode']}.parquet")
    )
    shown = [int(i) for i in re.findall(r'data-frames="([\d,]+)"', page.read_text())[0].split(",")]
    sprite = cv2.imread(str(page.with_suffix("") / "frame.jpg"))[:, :, ::-1]
    size = frames.size[0]
    for place in (0, 7, len(shown) - 1):
        y, x = divmod(place, 6)
        tile = sprite[y * size : (y + 1) * size, x * size : (x + 1) * size].astype(int)
        true = decode_frames(frames)[shown[place]].astype(int)
        assert np.abs(tile - true).mean() < 4


def test_the_page_holds_figures_lineage_and_the_trainers_sample(home: Path) -> None:
    page = next((home / "site" / "clips").glob("*.html"))
    text = page.read_text()
    for words in (
        "Warp check",
        "As the trainer sees it",
        "Camera, top view",
        "Stylised pair",
        "warp_gain",
        "is sample",
    ):
        assert words in text, words
    pictures = sorted(path.name for path in page.with_suffix("").glob("trainer_*.jpg"))
    assert len(pictures) == 3  # stage 1, its stylised pair, and stage 2


def test_a_clip_is_escaped_wherever_its_text_stands(home: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(home, tmp_path / "copy"))
    video = write_video(copy / "videos", "<script>alert(1)<", Video(texture=9))
    make(copy / "dataset", [video])
    result = CliRunner().invoke(app, ["audit", str(copy / "dataset"), "-o", str(copy / "two"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    for page in (copy / "two").rglob("*.html"):
        assert "<script>alert" not in page.read_text()


def test_clip_option_makes_a_page_and_an_unknown_one_is_refused(home: Path, tmp_path: Path) -> None:
    names = sorted(read_snapshot(Dataset.open(str(home / "dataset"))).clips)
    base = ["audit", str(home / "dataset"), "-o", str(tmp_path / "a"), "--pages", "0", "--workers", "1"]
    assert CliRunner().invoke(app, [*base, "--clip", names[2]]).exit_code == 0
    assert [page.stem for page in (tmp_path / "a" / "clips").glob("*.html")] == [names[2]]
    result = CliRunner().invoke(app, [*base, "--clip", "nonsense"])
    assert "is no clip of this dataset" in str(result.exception)


def test_a_folder_that_holds_something_else_is_left_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = CliRunner().invoke(app, ["audit", str(home / "dataset"), "-o", str(tmp_path / "mine"), "--workers", "1"])
    assert "holds no audit" in str(result.exception)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_damaged_artifact_makes_a_page_that_says_so(home: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(home / "dataset", tmp_path / "dataset"))
    snapshot = read_snapshot(Dataset.open(str(copy)))
    name = sorted(snapshot.clips)[0]
    key = snapshot.keys[name]["camera"]
    (copy / f"artifacts/camera/{key[:2]}/{key}.parquet").write_bytes(b"damaged")
    arguments = ["audit", str(copy), "-o", str(tmp_path / "site"), "--clip", name, "--deep", "--workers", "1"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert "is damaged" in (tmp_path / "site" / "clips" / f"{name}.html").read_text()
    report = json.loads((tmp_path / "site" / "report.json").read_text())
    assert report["verdict"] == "failed"


def test_histogram_draws_every_limit_and_marks_what_lies_beyond() -> None:
    values = np.concatenate([np.linspace(0, 1, 200), np.linspace(2, 3, 50)])
    text = str(histogram(values, [Threshold(1.5, "max", "gate")]))
    bad = [int(n) for n in re.findall(r'class="bad"><title>(\d+) from', text)]
    good = [int(n) for n in re.findall(r'class="bar"><title>(\d+) from', text)]
    assert (sum(good), sum(bad)) == (200, 50)
    assert text.count('class="limit"') == 1
    assert "histogram of 3 values" in str(histogram(np.array([2.0, 2.0, 2.0])))


def test_lineage_leads_from_the_shard_to_the_sources_bytes(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    snapshot = read_snapshot(dataset)
    for name in snapshot.clips:
        found = lineage(snapshot, name)
        assert found.place is not None
        assert dataset.storage.sha256(found.place.shard) == found.place.sha256
        assert (
            name
            == next(e for e in dataset.release(1).shards if e.path == found.place.shard).samples[found.place.position]
        )
        assert set(found.rows) == {"ingest", "decode", "pose", "camera", "depth", "scene_motion", "stylize"}
        for row in found.rows.values():
            assert dataset.storage.sha256(row["path"]) == row["sha256"]
            for stage, key in json.loads(row["inputs"]).items():
                assert found.rows[stage]["key"] == key
        assert found.current
        words = in_words(found)
        assert found.source["sha256"] in words
        assert len(words.splitlines()) == 10
    with pytest.raises(DatasetError, match="no clip"):
        lineage(snapshot, "nonsense")


def test_comparison_names_stages_and_clips_that_changed(home: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(home, tmp_path / "copy")) / "dataset"
    dataset = Dataset.open(str(copy))
    config = made_config(scene_motion=dataset.config.scene_motion.model_copy(update={"window": 12}).model_dump())
    Dataset.create_or_open(str(copy), config)
    new = write_video(copy.parent / "videos", "v7", Video(texture=7))
    make(copy, [new])
    found = compare(dataset, dataset.release(1), dataset.release(2))
    assert found.by_stage == {"scene_motion": 4}
    assert (len(found.added), len(found.removed), found.unchanged) == (1, 0, 0)
    assert all("scene_motion.motion_median_px" in {f[0] for f in change.figures} for change in found.changes)
    run = next(row["run_id"] for row in dataset.catalog.rows("shards") if row["release"] == 2)
    assert resolve(dataset, run).number == 2
    result = CliRunner().invoke(app, ["audit", str(copy), "-o", str(tmp_path / "changes"), "--compare", "1", "2"])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "changes" / "index.html").read_text()
    assert "scene motion at frame" in text
    assert all((tmp_path / "changes" / name).is_file() for name in References(text).found)
    with pytest.raises(DatasetError, match="neither a release"):
        resolve(dataset, "20260101T000000-ffffffff")


@pytest.mark.parametrize(
    "text",
    [
        "COPY artifacts TO '{0}/out.csv'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "ATTACH '{0}/other.db'",
        "DELETE FROM artifacts",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "nonsense",
    ],
)
def test_sql_reads_the_catalog_and_nothing_else(home: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError):
        query(Dataset.open(str(home / "dataset")), text.format(tmp_path))
    assert list(tmp_path.iterdir()) == []


def recipes() -> list[str]:
    text = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("text", recipes())
def test_every_documented_recipe_runs(home: Path, text: str) -> None:
    assert query(Dataset.open(str(home / "dataset")), text).num_columns >= 1


def test_the_recipe_for_given_weights_finds_samples_through_other_stages(home: Path) -> None:
    dataset = Dataset.open(str(home / "dataset"))
    rows = dataset.catalog.rows("artifacts")
    digest = next(row["weights_digest"] for row in rows if row["stage"] == "pose")
    text = next(text for text in recipes() if "RECURSIVE" in text).replace("1ae390f288bb%", f"{digest[:12]}%")
    found = query(dataset, text).column("clip_id").to_pylist()
    assert sorted(found) == sorted(row["clip_id"] for row in dataset.catalog.rows("shards"))


def test_readme_counts_what_the_release_holds(home: Path) -> None:
    text = (home / "site" / "README.md").read_text()
    assert "Release 1: 4 clips, 120 frames, 2 WebDataset shards" in text
    assert "| train | character | 3 |" in text


def test_a_recording_holds_every_part_of_the_clip(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (extra rerun)")
    from pipeline.rerun_export import export

    snapshot = read_snapshot(Dataset.open(str(home / "dataset")))
    name = next(iter(snapshot.clips))
    data = export(snapshot, name, tmp_path).read_bytes()
    assert data[:4] in (b"RRF2", b"RRIO", b"RRF0", b"RRF1")
    for part in (b"world/camera/image", b"world/points", b"world/path", b"video_time", b"scene_motion/reference_"):
        assert part in data, part
    with pytest.raises(DatasetError, match="no clip"):
        export(replace(snapshot), "nonsense", tmp_path)
