"""What becomes of sources between two commands: files that go, change, come back, or are named again with less."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.config_file import override, validate
from pipeline.dataset import Dataset
from pipeline.executor.loop import StageRun
from pipeline.executor.worker import ItemDone, ItemFailed
from pipeline.ingest.manifest import SourceError
from pipeline.ingest.sources import SourceFile, discover
from pipeline.progress import ProgressView
from pipeline.run import RunOptions, RunSummary
from pipeline.sources import known_files
from pipeline.state import read_sources
from pipeline.status import read_status
from pipeline.work import WorkItem
from schemas.clip import Kind
from tests.pipeline.made import InProcess, Video, made_config, write_video


class Tolerant(InProcess):
    """Failures are taken as the executor takes them."""

    def _execute(self, items: Sequence[WorkItem], stages: dict[str, StageRun]) -> None:
        self._lost = set[str]()
        for item in items:
            if self._lost.isdisjoint(item.inputs.values()):
                super()._execute([item], stages)
            else:
                self._lost.add(item.key)

    def _take_in(self, item: WorkItem, outcome: ItemDone | ItemFailed) -> None:
        if isinstance(outcome, ItemDone):
            self._recorder.done(item, outcome)
            return
        self._lost.add(item.key)
        if outcome.cause == "gone":
            self.summary.left += 1
            self.summary.broken[item.stage] = outcome.error
        else:
            self._recorder.quarantined(item, outcome, 1)


class Home:
    """A folder of videos a, b and a dataset of them."""

    def __init__(self, folder: Path) -> None:
        self.videos, self.root, self.said = folder / "videos", folder / "dataset", ""
        for number, name in enumerate("ab"):
            write_video(self.videos, name, Video(texture=number))

    def build(
        self, *names: Path, kind: Kind | None = None, add: bool = False, reassign: bool = False, retry: bool = False
    ) -> RunSummary:
        dataset = self.dataset() if self.root.exists() else Dataset.create_or_open(str(self.root), made_config())
        shown = io.StringIO()
        with ProgressView(Console(file=shown, width=1000)) as view:
            options = RunOptions(command="add" if add else "build", reassign=reassign, retry_failed=retry)
            run = Tolerant(dataset, view, options)
            files = discover(
                [str(name) for name in names],
                kind=kind or ("camera" if add else "character"),
                kind_given=kind is not None,
                config=dataset.config.ingest,
                known=known_files(run.state.sources),
            )
            summary = run.build(files, only_given=add)
        self.said = shown.getvalue()
        return summary

    def dataset(self) -> Dataset:
        return Dataset.open(str(self.root))

    def set(self, *settings: str) -> None:
        data = override(self.dataset().config.model_dump(mode="json"), list(settings))
        Dataset.create_or_open(str(self.root), validate(type(made_config()), data, "the test"))

    def used(self) -> dict[str, SourceFile]:
        """Sources in use by file name."""
        return {Path(s.path).name: s for s in read_sources(self.dataset()).values() if not s.retired}

    def published(self) -> list[str]:
        """Source ids of the newest release's samples."""
        release = self.dataset().newest_release()
        assert release is not None
        return sorted(name[:16] for entry in release.shards for name in entry.samples)

    def number(self) -> int:
        return self.dataset().newest_release_number()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_folder_that_is_not_mounted_takes_nothing_from_the_release(home: Home) -> None:
    home.build(home.videos)
    before = home.published()
    home.set("decode.jpeg_quality=90")
    away = home.videos.rename(home.root.parent / "away")
    for _ in range(2):
        summary = home.build()
        assert (summary.left, summary.failed.total(), summary.release) == (2, 0, None)
        assert f"put back {home.videos}" in summary.broken["decode"]
        assert (home.number(), home.published()) == (1, before)
        assert read_status(home.dataset()).failures == ()
    away.rename(home.videos)
    summary = home.build()
    assert (summary.left, summary.made["decode"]) == (0, 2)
    assert (home.number(), home.published()) == (2, before)
    assert home.build().idle


def test_a_release_drops_at_once_what_went_into_quarantine(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.build(home.videos)
    home.set("decode.jpeg_quality=90")
    gone = home.used()["b.mp4"].source_id
    take_in = Tolerant._take_in

    def failing(self: Tolerant, item: WorkItem, outcome: ItemDone | ItemFailed) -> None:
        bad = item.stage == "decode" and item.source_id == gone
        take_in(self, item, ItemFailed("refused", "no") if bad else outcome)

    monkeypatch.setattr(Tolerant, "_take_in", failing)
    assert home.build().failed["decode"] == 1
    assert (home.number(), gone in home.published()) == (2, False)
    second = home.build()
    assert second.idle
    assert second.release is not None
    assert (home.number(), second.release.new_shards) == (2, ())


def test_a_file_that_was_replaced_retires_its_source(home: Home) -> None:
    home.build(home.videos)
    old, other = home.used()["a.mp4"].source_id, home.used()["b.mp4"].source_id
    content = (home.videos / "a.mp4").read_bytes()
    write_video(home.videos, "a", Video(texture=7))
    home.build(home.videos)
    new = home.used()["a.mp4"].source_id
    assert f"{new} takes the place of {old}" in home.said
    assert home.published() == sorted([new, other])
    assert home.build(home.videos).idle
    home.set("decode.jpeg_quality=90")
    assert home.build().made["decode"] == 2
    (home.videos / "a.mp4").write_bytes(content)
    home.build(home.videos)
    assert home.published() == sorted([old, other])
    assert home.build(home.videos).idle


def test_a_file_that_became_a_copy_of_another_retires_its_source_for_good(home: Home) -> None:
    home.build(home.videos)
    old, other = home.used()["a.mp4"].source_id, home.used()["b.mp4"].source_id
    content = (home.videos / "a.mp4").read_bytes()
    shutil.copyfile(home.videos / "b.mp4", home.videos / "a.mp4")
    for names in ([home.videos], [], [home.videos]):
        home.build(*names)
        assert home.published() == [other]
        assert home.number() == 2
    (home.videos / "a.mp4").write_bytes(content)
    home.build(home.videos)
    assert home.published() == sorted([old, other])


def test_a_file_that_was_moved_when_another_took_its_place_is_not_retired(home: Home) -> None:
    home.build(home.videos)
    old = home.used()["b.mp4"].source_id
    (home.videos / "b.mp4").rename(home.videos / "a0.mp4")
    write_video(home.videos, "b", Video(texture=7))
    home.build(home.videos)
    assert home.used()["a0.mp4"].source_id == old
    assert len(home.published()) == 3
    assert home.build(home.videos).idle


def test_add_retires_too_and_leaves_all_others(home: Home) -> None:
    home.build(home.videos)
    write_video(home.videos, "a", Video(texture=7))
    home.build(home.videos / "a.mp4", add=True)
    assert home.published() == sorted(source.source_id for source in home.used().values())


def test_a_file_that_changed_behind_the_catalog_is_not_read_under_its_old_id(home: Home) -> None:
    home.build(home.videos)
    before = home.published()
    home.set("decode.jpeg_quality=90")
    content = (home.videos / "a.mp4").read_bytes()
    write_video(home.videos, "a", Video(texture=7))
    summary = home.build()
    assert "another file is in its place" in summary.broken["decode"]
    assert (summary.left, home.number(), home.published()) == (1, 1, before)
    (home.videos / "a.mp4").write_bytes(content)  # with another time, which is no other content
    summary = home.build()
    assert (summary.left, home.number(), home.published()) == (0, 2, before)


MANIFEST = """uri,kind,licence,split,focal,camera_track,camera_track_offset_s,artist
videos/a.mp4,character,CC-BY,test,1.15,,,Ann
videos/b.mp4,camera,CC0,train,,tracks/x.vmd,0.5,Bo
"""


@pytest.fixture
def listed(home: Home) -> Home:
    """Built from a manifest."""
    (home.root.parent / "list.csv").write_text(MANIFEST.replace(",tracks/x.vmd,0.5", ",,"))
    home.build(home.root.parent / "list.csv")
    return home


def test_what_a_manifest_said_goes_on_when_a_folder_is_named(listed: Home) -> None:
    before = listed.used()
    assert {name: (s.kind, s.licence, s.split, s.focal, s.extra) for name, s in before.items()} == {
        "a.mp4": ("character", "CC-BY", "test", 1.15, {"artist": "Ann"}),
        "b.mp4": ("camera", "CC0", "train", None, {"artist": "Bo"}),
    }
    for add in (False, True):
        assert listed.build(listed.videos, add=add).idle
        assert listed.used() == before
    assert listed.number() == 1


def test_a_known_camera_track_goes_on_until_it_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"v")
    (tmp_path / "x.vmd").write_bytes(b"track")
    (tmp_path / "list.csv").write_text("uri,camera_track,camera_track_offset_s\nv.mp4,x.vmd,0.5\n")
    config = made_config().ingest

    def found(name: str, known: Sequence[SourceFile]) -> SourceFile:
        files = known_files({source.source_id: source for source in known})
        return discover([str(tmp_path / name)], kind="camera", config=config, known=files)[0]

    first = found("list.csv", [])
    again = found("v.mp4", [first])
    assert (again.camera_track, again.camera_track_sha256) == (first.camera_track, first.camera_track_sha256)
    assert again.camera_track_offset_s == 0.5
    (tmp_path / "x.vmd").unlink()
    assert found("v.mp4", [first]).camera_track is None


def test_another_kind_or_split_is_an_error_unless_it_is_wanted(listed: Home) -> None:
    with pytest.raises(
        SourceError, match=r"b\.mp4 is in the dataset as kind camera and is named as character.*--reassign"
    ):
        listed.build(listed.videos / "b.mp4", kind="character")
    other = listed.root.parent / "other.csv"
    other.write_text("uri,split\nvideos/a.mp4,train\n")
    with pytest.raises(SourceError, match=r"as split test and is named as train"):
        listed.build(other)
    assert listed.build(listed.videos / "b.mp4", kind="camera").idle
    listed.build(other, reassign=True)
    assert listed.used()["a.mp4"].split == "train"
    release = listed.dataset().newest_release()
    assert release is not None
    assert {entry.split for entry in release.shards} == {"train"}


def test_a_file_that_cannot_be_read_is_named_counted_and_cleared(home: Home) -> None:
    empty = home.videos / "empty.mp4"
    empty.write_bytes(b"")
    assert home.build(home.videos).failed["ingest"] == 1
    assert f"{empty}: the file is empty" in home.said
    for retry, names in ((False, [home.videos]), (False, []), (True, [])):
        summary = home.build(*names, retry=retry)
        assert (summary.failed["ingest"], summary.quarantined["ingest"]) == (0, 1)
        (failure,) = read_status(home.dataset()).failures
        assert failure["cause"] == "unreadable"
        assert str(empty) in failure["error"]
    home.set("ingest.overlap=4")  # settings have no part in it
    assert home.build(home.videos).quarantined["ingest"] == 1
    write_video(home.videos, "empty", Video(texture=5))
    summary = home.build(home.videos)
    assert (summary.failed.total(), summary.quarantined.total(), summary.made["ingest"]) == (0, 0, 1)
    assert read_status(home.dataset()).failures == ()


@pytest.mark.parametrize("how", ["gone", "mended"])
def test_an_unreadable_file_that_is_gone_or_mended_leaves_the_quarantine_by_itself(home: Home, how: str) -> None:
    empty = home.videos / "empty.mp4"
    empty.write_bytes(b"")
    home.build(home.videos)
    empty.unlink() if how == "gone" else empty.write_bytes(b"5 95 0.05 x")
    summary = home.build(retry=True)
    assert (summary.failed.total(), summary.quarantined.total()) == (0, 0)
    assert "name it again" in home.said
    assert read_status(home.dataset()).failures == ()
