"""The site in a real browser: headless Chromium, opened from disk, with real keys and clicks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from tests.pipeline.made import Video, make, write_video

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra dev)")
support = pytest.importorskip("selenium.webdriver.support.ui", reason="selenium is not installed (extra dev)")
BINARY = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars",
)  # fmt: skip
pytestmark = pytest.mark.skipif(
    BINARY is None or DRIVER is None,
    reason="no Chromium with its driver on this machine (apt-get install chromium-driver)",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of five clips; three have pages."""
    folder = tmp_path_factory.mktemp("site")
    files = [write_video(folder / "videos", f"v{i}", Video(texture=i)) for i in range(5)]
    make(folder / "dataset", files, splits=("train", "train", "train", "test", "test"))
    arguments = ["audit", str(folder / "dataset"), "-o", str(folder / "site"), "--pages", "3", "--workers", "1"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder / "site"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator["selenium.Chrome"]:
    options = selenium.ChromeOptions()
    options.binary_location = BINARY
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(executable_path=DRIVER))
    yield driver
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    driver.quit()
    assert errors == []


def press(browser: "selenium.Chrome", *keys: str) -> None:
    actions = selenium.ActionChains(browser)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def rows(browser: "selenium.Chrome") -> list[str]:
    return [row.text for row in browser.find_elements("css selector", "#table tbody tr")]


def test_search_filter_sort_and_keys_of_the_index(site: Path, browser: "selenium.Chrome") -> None:
    browser.get((site / "index.html").as_uri())
    everything = rows(browser)
    assert len(everything) == 5
    wanted = everything[3].split()[0]
    press(browser, "/", *wanted)
    assert [text.split()[0] for text in rows(browser)] == [wanted]
    press(browser, *(["\ue003"] * len(wanted)), "\ue00c")  # backspace; Escape leaves the field
    assert len(rows(browser)) == 5
    support.Select(browser.find_element("id", "split")).select_by_visible_text("test")
    assert len(rows(browser)) == 2
    support.Select(browser.find_element("id", "split")).select_by_visible_text("all splits")
    browser.find_element("xpath", "//table[@id='table']//th[text()='clip']").click()
    browser.find_element("xpath", "//table[@id='table']//th[text()='clip']").click()
    assert [text.split()[0] for text in rows(browser)] == sorted((t.split()[0] for t in everything), reverse=True)
    browser.find_element("id", "place").click()
    press(browser, "j", "j", "k")
    picked = [
        number
        for number, row in enumerate(browser.find_elements("css selector", "#table tbody tr"))
        if "pick" in (row.get_attribute("class") or "")
    ]
    assert picked == [1]


def test_from_the_index_to_a_clip_through_its_frames_and_back(site: Path, browser: "selenium.Chrome") -> None:
    browser.get((site / "index.html").as_uri())
    browser.find_element("id", "paged").click()
    paged = rows(browser)
    assert len(paged) == 3
    browser.find_element("css selector", "#table tbody tr td:nth-child(2)").click()
    name = paged[0].split()[0]
    assert browser.title == name
    sprite = browser.find_element("css selector", ".panels .sprite[data-name=motion_0]")
    mark = browser.find_element("css selector", ".now")
    places = []
    for _ in range(3):
        press(browser, "\ue014")  # right arrow
        label = browser.find_element("id", "now").text
        places.append((label, sprite.value_of_css_property("background-position"), mark.get_attribute("cx")))
    assert all(len(set(column)) == 3 for column in zip(*places, strict=True))
    browser.find_elements("css selector", ".thumb")[0].click()
    assert browser.find_element("id", "now").text.startswith("frame 0,")
    loaded = "return [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    assert browser.execute_script(loaded)
    press(browser, "j")
    assert browser.title == paged[1].split()[0]
    press(browser, "u")
    assert browser.current_url.endswith("index.html")


def test_a_clip_without_a_page_says_how_to_make_one(site: Path, browser: "selenium.Chrome") -> None:
    browser.get((site / "index.html").as_uri())
    pages = {path.stem for path in (site / "clips").glob("*.html")}
    row = next(r for r in browser.find_elements("css selector", "#table tbody tr") if r.text.split()[0] not in pages)
    name = row.text.split()[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
    row.find_element("css selector", "td:nth-child(2)").click()
    assert f"--clip {name}" in browser.find_element("id", "detail").text


def test_the_theme_turns_and_a_phone_needs_no_sideways_scrolling(site: Path, browser: "selenium.Chrome") -> None:
    browser.get((site / "index.html").as_uri())
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(colour)
    browser.find_element("id", "theme").click()
    assert browser.execute_script(colour) != before
    page = next((site / "clips").glob("*.html"))
    for address in (site / "index.html", page):
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(address.as_uri())
        assert browser.execute_script("return document.documentElement.dataset.theme") in ("dark", "light")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
