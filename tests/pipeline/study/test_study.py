import base64
import io
import json
import re
import shutil
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.study.page import QUESTIONS, Shown, StudyError, StudyKey, make_page
from pipeline.study.results import StudyResult, count, markdown, read_key
from tests.train.evaluation.media_files import pictures, write_frames, write_video

METHODS = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    clips = {
        name: {m: Shown(pictures(4, seed=n), 10) for n, m in enumerate(METHODS)} for name in ("scene one", "scene two")
    }
    make_page(
        clips, page=folder / "page.html", key=folder / "key.json", context={"scene one": Shown(pictures(4, 9), 10)},
        secret="a",
    )  # fmt: skip
    return folder


def answers(key: StudyKey, folder: Path, orders: list[tuple[str, ...]]) -> list[Path]:
    """One file a participant, who ranks every video and question in one order, best first."""
    files = []
    for number, order in enumerate(orders):
        rows = []
        for video, tokens in key.tokens.items():
            back = {method: token for token, method in tokens.items()}
            rows += [{"video": video, "question": q, "ranking": [back[m] for m in order]} for q in QUESTIONS]
        files.append(folder / f"{number}.json")
        files[-1].write_text(json.dumps({"study": key.study, "participant": f"p{number}", "answers": rows}))
    return files


def by_method(result: StudyResult, question: str = "overall") -> dict[str, tuple[float, float]]:
    return {p.method: (p.first, p.rank) for p in result.preferences if p.question == question}


def test_the_page_is_blind_and_whole(study: Path) -> None:
    page = (study / "page.html").read_text()
    assert not any(name in page for name in (*METHODS, "scene one", "scene two"))
    assert page.count("data:video/mp4;base64,") == 7
    assert "http" not in page.replace("http-equiv", "")
    key = read_key(study / "key.json")
    assert len({token for tokens in key.tokens.values() for token in tokens}) == 6
    assert all(sorted(tokens.values()) == list(METHODS) for tokens in key.tokens.values())


def test_a_unanimous_study(study: Path, tmp_path: Path) -> None:
    key = read_key(study / "key.json")
    result = count(key, answers(key, tmp_path, [("beta", "alpha", "gamma")] * 5))
    assert by_method(result) == {"beta": (1.0, 1.0), "alpha": (0.0, 2.0), "gamma": (0.0, 3.0)}
    assert result.participants == 5
    assert result.rankings == 5 * 2 * 3
    first = result.preferences[0]
    assert (first.method, first.first_interval, first.rank_interval) == ("beta", (1.0, 1.0), (1.0, 1.0))


def test_all_orders_once_prefer_nobody(study: Path, tmp_path: Path) -> None:
    key = read_key(study / "key.json")
    result = count(key, answers(key, tmp_path, list(permutations(METHODS))))
    for first, rank in by_method(result, "temporal").values():
        assert first == pytest.approx(1 / 3)
        assert rank == pytest.approx(2)
    for preference in result.preferences:
        low, high = preference.first_interval
        assert low < 1 / 3 < high
    assert markdown(result).count("| overall |") == 3


def test_intervals_narrow_with_participants(study: Path, tmp_path: Path) -> None:
    key = read_key(study / "key.json")
    widths = []
    for repeats in (2, 18):
        orders = [("alpha", "beta", "gamma"), ("beta", "alpha", "gamma")] * repeats
        low, high = count(key, answers(key, tmp_path, orders)).preferences[0].first_interval
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_answers_that_do_not_fit_are_refused(study: Path, tmp_path: Path) -> None:
    key = read_key(study / "key.json")
    (good,) = answers(key, tmp_path, [METHODS])
    data = json.loads(good.read_text())

    def refused(change: dict[str, object], message: str) -> None:
        bad = tmp_path / "bad.json"
        bad.write_text(json.dumps(data | change))
        with pytest.raises(StudyError, match=message):
            count(key, [bad])

    refused({"study": "other"}, "answers study other")
    refused({"answers": data["answers"][1:]}, "does not answer every question")
    refused({"answers": [*data["answers"], data["answers"][0]]}, "does not answer every question")
    twice = {**data["answers"][0], "ranking": [data["answers"][0]["ranking"][0]] * 3}
    refused({"answers": [twice, *data["answers"][1:]]}, "does not name each animation once")
    refused({"answers": 3}, "is no AnswerFile file")
    with pytest.raises(StudyError, match="of one participant"):
        count(key, [good, good])
    with pytest.raises(StudyError, match="no answer files"):
        count(key, [])
    with pytest.raises(StudyError, match="does not exist"):
        read_key(tmp_path / "none.json")


def test_wrong_studies_are_refused(tmp_path: Path) -> None:
    places = {"page": tmp_path / "p.html", "key": tmp_path / "k.json"}
    with pytest.raises(StudyError, match="two methods"):
        make_page({"a": {"ours": Shown(pictures(2), 10)}}, **places)
    two = Shown(pictures(2), 10)
    clips = {"a": {"ours": two, "theirs": two}, "b": {"ours": two}}
    with pytest.raises(StudyError, match="b is not there for every method"):
        make_page(clips, **places)


def test_every_video_keeps_its_rate(tmp_path: Path) -> None:
    """A file its own, which the helper writes as 10 a second; a folder of frames the option's."""
    write_video(tmp_path / "ours" / "a.mp4", pictures(6))
    write_frames(tmp_path / "theirs" / "a", pictures(6))
    arguments = ["--method", f"ours={tmp_path / 'ours'}", "--method", f"theirs={tmp_path / 'theirs'}", "--fps", "24"]
    made = CliRunner().invoke(app, ["study", "make", *arguments, "-o", str(tmp_path / "s")])
    assert made.exit_code == 0, made.output
    (tokens,) = read_key(tmp_path / "s" / "key.json").tokens.values()
    page = (tmp_path / "s" / "page.html").read_text()
    rates = {}
    for token, data in re.findall(r'"([0-9a-f]{10})": "data:video/mp4;base64,([A-Za-z0-9+/=]+)"', page):
        with av.open(io.BytesIO(base64.b64decode(data))) as container:
            rates[tokens[token]] = float(container.streams.video[0].average_rate)
    assert rates == {"ours": 10, "theirs": 24}


def test_counting_does_not_wait_for_the_trainer(study: Path, tmp_path: Path) -> None:
    """The networks' libraries take seconds to load, and a count needs none; nor does a refusal."""
    (answer,) = answers(read_key(study / "key.json"), tmp_path, [METHODS])
    for file, code in ((answer, 0), (tmp_path / "none.json", 1)):
        script = (
            "import sys; from typer.testing import CliRunner; from pipeline.cli.main import app; "
            f"done = CliRunner().invoke(app, ['study', 'count', {str(file)!r}, '--key', {str(study / 'key.json')!r}]); "
            "print(done.exit_code, [name for name in ('torch', 'diffusers', 'ray', 'train') if name in sys.modules])"
        )
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
        assert out.stdout.strip() == f"{code} []", out.stdout


def test_the_commands(tmp_path: Path) -> None:
    for method in ("ours", "theirs"):
        for name in ("a", "b", "c"):
            write_frames(tmp_path / method / name, pictures(2))
    arguments = ["--method", f"ours={tmp_path / 'ours'}", "--method", f"theirs={tmp_path / 'theirs'}"]
    made = CliRunner().invoke(app, ["study", "make", *arguments, "-o", str(tmp_path / "s"), "--videos", "2"])
    assert made.exit_code == 0, made.output
    key = read_key(tmp_path / "s" / "key.json")
    assert len(key.tokens) == 2
    files = answers(key, tmp_path, [("ours", "theirs")])
    counted = CliRunner().invoke(app, ["study", "count", str(files[0]), "--key", str(tmp_path / "s" / "key.json")])
    assert counted.exit_code == 0, counted.output
    assert "| overall | ours | 100.0 %" in counted.output


@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no Chromium with its driver here"
)
def test_the_page_in_a_browser(study: Path, tmp_path: Path) -> None:
    """A participant prefers the option shown first, on every page; the saved file counts, and says nothing else."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra dev)")
    ui = pytest.importorskip("selenium.webdriver.support.ui")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get((study / "page.html").as_uri())
        wait = ui.WebDriverWait(driver, 60)
        button = driver.find_element("id", "next")
        button.click()
        assert "all places" in driver.find_element("id", "problem").text
        wait.until(lambda d: all(v.get_property("readyState") >= 2 for v in d.find_elements("tag name", "video")))
        for _ in range(2):
            for group in driver.find_elements("tag name", "fieldset"):
                for place, select in enumerate(group.find_elements("tag name", "select")):
                    ui.Select(select).select_by_value(str(place + 1))
            button.click()
        (saved,) = wait.until(lambda d: list(tmp_path.glob("study-*.json")))
    finally:
        driver.quit()
    result = count(read_key(study / "key.json"), [saved])
    assert result.rankings == 6
    assert sum(first for first, _ in by_method(result).values()) == pytest.approx(1)
    assert np.isclose(sum(rank for _, rank in by_method(result).values()), 6)
