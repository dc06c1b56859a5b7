"""Output in a real JupyterLab in a real browser, with the light and the dark theme.

The folder in `ZMQCHAT_TEST_SCREENSHOTS` receives the screenshots. If the variable is set, a missing
program is a failure and no test is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator

import pytest

from tests.helpers.timeouts import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

FOLDER = Path(__file__).parents[2] / "notebooks"
SCREENSHOTS = os.environ.get("ZMQCHAT_TEST_SCREENSHOTS", "")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SECONDS = 60.0
# JupyterLab shows a number before a cell after the cell has finished.
ALL_CELLS_FINISHED = r"""
() => [...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputPrompt")]
    .every(prompt => /^\[\d+\]:$/.test(prompt.textContent.trim()))
"""

if not SCREENSHOTS:
    pytest.importorskip("jupyterlab", reason="needs jupyterlab: pip install '.[browser]'")
    pytest.importorskip("playwright", reason="needs playwright: pip install '.[browser]'")
    if not BROWSER:
        pytest.skip("needs a Chromium, such as Debian's", allow_module_level=True)

DEMO = r"""
from zmqchat_rs import Publisher, Subscriber
pub = Publisher("127.0.0.1:0", name="alice")
sub = Subscriber(pub.endpoint, split_topics=True)
pub.wait_for_subscribers(1, timeout=60)
# %%
live = sub.watch()
# %%
pub.send_many([f"line {n}" for n in range(100)], topic="numbers")
pub.send("<b id=forged>bold</b> <script>document.title = 'driven'</script>", topic="room1")
pub.send(r"$\href{javascript:alert(1)}{x}$ and \(y\) cost $5", topic="library")
pub.send("\x1b[2J\u202eesrever\n[12:00:00] teacher: forged", topic="garden")
live.wait(103, timeout=60)
# %%
for room in ("room1", "room2", "room3", "kitchen", "lab"):
    pub.send(f"This is {room}", topic=room)
pub.send("the newest", topic="room1")
live.wait(109, timeout=60)
print("printed by a later cell")
"""

SHOWN = r"""
from zmqchat_rs import Message, MessageTable, Publisher, Subscriber, doctor
print("printed text")
# %%
Message([b"a message, and $x$ is no formula"])
# %%
messages = [Message([f"$x$ costs <b>{n}</b>".encode()]) for n in range(30)]
MessageTable(messages)
# %%
doctor("127.0.0.1:9", timeout=5)
# %%
"a text result"
# %%
pub = Publisher("127.0.0.1:0")
sub = Subscriber(pub.endpoint, topics=["room1"])
pub.wait_for_subscribers(1, timeout=60)
live = sub.watch()
# %%
pub.send("a watched message", topic="room1")
live.wait(1, timeout=60)
"""


def notebook(cells: list[str]) -> str:
    """Return the file content of a notebook with these cells."""
    code: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "source": text,
        }
        for number, text in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel}
    return json.dumps({"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


class Lab:
    """A JupyterLab server in a separate folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        shutil.copytree(FOLDER, self.root)
        for name, cells in (("demo", DEMO), ("shown", SHOWN)):
            (self.root / f"{name}.ipynb").write_text(
                notebook(cells.strip().split("\n# %%\n")), encoding="utf-8"
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.disable_check_xsrf": True,
            "IdentityProvider.token": "",
        }
        folders = {
            f"JUPYTER{name}_DIR": str(folder / name.lower().strip("_"))
            for name in ("_CONFIG", "_DATA", "_RUNTIME", "LAB_SETTINGS", "LAB_WORKSPACES")
        }
        self.log = folder / "jupyterlab.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                env={**os.environ, **folders, "IPYTHONDIR": str(folder / "ipython")},
                stdout=log,
                stderr=log,
            )
        self._wait()
        self._change_settings(
            "@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False
        )
        # The page contains all cells, including those outside the viewport.
        self._change_settings("@jupyterlab/notebook-extension:tracker", windowingMode="none")

    def theme(self, name: str) -> None:
        """Set the theme of pages that are opened later."""
        self._change_settings("@jupyterlab/apputils-extension:themes", theme=name)

    def _wait(self) -> None:
        def log() -> str:
            return self.log.read_text(encoding="utf-8")

        def responds() -> bool:
            assert self._process.poll() is None, log()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/api", timeout=5):
                return True
            return False

        wait_until(responds, log, timeout=SECONDS, between=lambda: time.sleep(0.1))

    def _change_settings(self, plugin: str, **values: object) -> None:
        body = json.dumps({"raw": json.dumps(values)}).encode()
        request = urllib.request.Request(
            f"{self.url}/lab/api/settings/{plugin}",
            data=body,
            method="PUT",
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass

    def end(self) -> None:
        """Terminate the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert BROWSER, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1100, "height": 1300})
    page.set_default_timeout(SECONDS * 1000)
    yield page
    page.close()


def run_all(page: Page, lab: Lab, name: str) -> Locator:
    """Open a notebook, run all cells, and return its code cells after the last has finished."""
    page.goto(f"{lab.url}/lab/tree/{name}?reset")
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.last.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    try:
        page.wait_for_function(ALL_CELLS_FINISHED)
    except Exception:
        save_screenshot(page, "failed")
        raise
    return cells


def save_screenshot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        folder = Path(SCREENSHOTS)
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")


def cell_with(cells: Locator, code: str) -> Locator:
    (found,) = [
        cells.nth(number)
        for number in range(cells.count())
        if code in (cells.nth(number).locator(".jp-InputArea").text_content() or "")
    ]
    return found.locator(".jp-OutputArea")


def test_the_first_lesson_shows_messages_in_the_cell_of_the_watch(page: Page, lab: Lab) -> None:
    cells = run_all(page, lab, "01_publish_and_subscribe.ipynb")
    assert page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
    watching = cell_with(cells, "live = sub.watch()")
    watching.get_by_text("■ stopped at").wait_for()
    shown = watching.inner_text()
    for word in ("Ready", "steady", "go!"):
        assert word in shown
        assert word not in cell_with(cells, "for word in").inner_text()
    watching.scroll_into_view_if_needed()
    save_screenshot(page, "lesson-1")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_watch_is_coloured_legible_and_free_of_markup(page: Page, lab: Lab, theme: str) -> None:
    lab.theme(theme)
    cells = run_all(page, lab, "demo.ipynb")
    watching = cell_with(cells, "live = sub.watch()")
    watching.get_by_text("the newest").wait_for()
    later = cell_with(cells, "printed by a later cell")
    assert later.inner_text().strip() == "printed by a later cell"

    # Coloured: a topic has the same colour in both themes. Text contrasts with the background.
    name = watching.locator("bdi", has_text=re.compile("^room1$")).last
    color = name.evaluate("name => getComputedStyle(name).color")
    assert color == "rgb(0, 95, 175)"
    text = watching.get_by_text("the newest").evaluate("text => getComputedStyle(text).color")
    background = page.evaluate(
        "getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"
    )
    light, dark = brightness(text), brightness(background)
    assert abs(light - dark) > 0.5, (text, background)

    # The newest line is visible without scrolling.
    box = watching.locator("pre").last
    frame = box.locator("xpath=../..").bounding_box()
    line = watching.get_by_text("the newest").bounding_box()
    assert frame is not None
    assert line is not None
    assert frame["y"] <= line["y"] <= line["y"] + line["height"] <= frame["y"] + frame["height"] + 1
    assert frame["height"] < 600

    # The page contains no markup, script or formula from a message.
    assert page.locator("#forged").count() == 0
    assert page.title() != "driven"
    assert watching.locator("script, a, mjx-container, .MathJax, math").count() == 0
    shown = watching.inner_text()
    assert "<b id=forged>bold</b>" in shown
    assert r"$\href{javascript:alert(1)}{x}$ and \(y\) cost $5" in shown
    assert r"\x1b[2J\u202eesrever\n[12:00:00] teacher: forged" in shown
    watching.scroll_into_view_if_needed()
    save_screenshot(page, f"watch-{theme.rsplit(maxsplit=1)[-1].lower()}")


def text_left(area: Locator, text: str | re.Pattern[str]) -> float:
    """Return the left edge of a text in the output area, in pixels."""
    element = area.get_by_text(text).last.element_handle()
    assert element is not None
    left: float = element.evaluate(
        """element => {
            const range = document.createRange();
            const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
            const node = walker.nextNode();
            range.setStart(node, 0);
            range.setEnd(node, 1);
            return range.getBoundingClientRect().left;
        }"""
    )
    return left


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_messages_tables_and_reports_align_with_printed_text(
    page: Page, lab: Lab, theme: str
) -> None:
    lab.theme(theme)
    cells = run_all(page, lab, "shown.ipynb")
    printed = text_left(cell_with(cells, "printed text"), "printed text")
    assert text_left(cell_with(cells, "a text result"), "a text result") == printed
    message = cell_with(cells, "a message, and")
    assert text_left(message, re.compile(r"^\[\d\d:\d\d:\d\d\]$")) == printed
    table = cell_with(cells, "MessageTable(messages)")
    assert text_left(table, "MessageTable: 30 messages") == printed
    assert text_left(table, "received_at") == printed
    assert table.locator("tbody tr").count() == 21
    report = cell_with(cells, "doctor(")
    assert text_left(report, "failed") == printed
    watching = cell_with(cells, "live = sub.watch()")
    watching.get_by_text("a watched message").wait_for()
    assert text_left(watching, re.compile("1 message$")) == printed
    for area in (message, table):
        assert "$x$" in area.inner_text()
        assert area.locator("mjx-container, .MathJax, math, b").count() == 0
    save_screenshot(page, f"shown-{theme.rsplit(maxsplit=1)[-1].lower()}")


def brightness(color: str) -> float:
    red, green, blue = map(float, re.findall(r"[\d.]+", color)[:3])
    return (0.3 * red + 0.6 * green + 0.1 * blue) / 255
