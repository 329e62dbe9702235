"""report.html in Chromium: nothing runs but its own script, nothing is asked for, tables sort by mouse and keyboard."""

from __future__ import annotations

import dataclasses
import json
import os
import runpy
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.report.escape import visible, without_paths
from dermae_bench.report.html import render
from tests.counting import record_count

pytestmark = pytest.mark.browser
UNIT = Path(__file__).parents[1] / "unit" / "report"
FUZZ = Path(__file__).parents[1] / "fuzz"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe", "--window-size=1300,900",
)  # fmt: skip


class Page:
    """One tab, driven over Chromium's debugging pipe (JSON messages, each ended by a zero byte)."""

    def __init__(self, out: int, into: int) -> None:
        self.out, self.into, self.number, self.rest = out, into, 0, b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def read(self, seconds: float = 60) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.into], [], [], max(0, until - time.monotonic()))
            assert ready, "Chromium did not answer"
            chunk = os.read(self.into, 1 << 16)
            assert chunk, "Chromium closed its pipe"
            self.rest += chunk
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def value(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def open(self, path: Path) -> None:
        self.ask("Page.navigate", url=path.as_uri())
        until = time.monotonic() + 60
        while self.value("document.readyState + location.href") != "complete" + path.as_uri():
            assert time.monotonic() < until, "the page was not loaded"
            time.sleep(0.05)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    to_browser, out = os.pipe()
    into, from_browser = os.pipe()
    # the pipe is always file descriptors 3 and 4
    shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    command = [
        "/bin/bash",
        "-c",
        shell,
        "bash",
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={tmp_path / 'profile'}",
        "about:blank",
    ]
    browser = subprocess.Popen(command, pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL)
    os.close(to_browser)
    os.close(from_browser)
    try:
        made = Page(out, into)
        target = made.ask("Target.createTarget", url="about:blank")["targetId"]
        made.session = made.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            made.ask(f"{domain}.enable")
        yield made
        made.session = None
        made.ask("Browser.close")
    finally:
        os.close(out)
        os.close(into)
        browser.terminate()
        browser.wait(30)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    def save(boards: Any) -> Path:
        path = tmp_path / "report.html"
        path.write_text(render(boards), encoding="utf-8")
        return path

    return save


def example() -> Any:
    return runpy.run_path(str(UNIT / "example_boards.py"))["example"]()


def quiet(page: Page) -> None:
    """Nothing asked for but the page itself and its data URIs; no error, no refused script, no dialog."""
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert [url[:80] for url in asked if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    loud = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening")
    assert [event for event in page.events if event["method"] in loud] == []


ROWS = """[...document.querySelectorAll("#classifiers-1 tbody tr:not(.group)")]"""
COLUMN = ROWS + """.map(row => row.cells[%d].firstChild.data.trim())"""


def test_the_page_is_quiet_and_its_script_runs(page: Page, saved: Callable[[Any], Path]) -> None:
    page.open(saved(example()))
    assert page.value("document.documentElement.classList.contains('live')") is True
    assert page.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)") is True
    assert page.value("document.documentElement.scrollWidth <= innerWidth") is True
    quiet(page)


def test_numbers_sort_as_numbers_missing_last_floors_in_their_place(page: Page, saved: Callable[[Any], Path]) -> None:
    page.open(saved(example()))
    head = "document.querySelectorAll('#classifiers-1 thead button')[3]"
    tail = ["failed", "pending", "0.900", "0.830", "0.110"]
    page.value(f"{head}.click()")
    assert page.value(COLUMN % 3) == ["0.474", "0.484", "0.614", "0.644", *tail]
    assert page.value(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    page.value(f"{head}.click()")
    assert page.value(COLUMN % 3) == ["0.644", "0.614", "0.484", "0.474", *tail]
    assert page.value("document.querySelectorAll('#classifiers-1 [aria-sort]').length") == 1
    assert page.value("[...document.querySelectorAll('#classifiers-1 tbody')].map(b => b.className)") == [
        "measured", "apart", "reported", "floor",
    ]  # fmt: skip
    quiet(page)


def test_a_header_sorts_by_keyboard(page: Page, saved: Callable[[Any], Path]) -> None:
    page.open(saved(example()))
    page.value("document.querySelectorAll('#classifiers-1 thead button')[1].focus()")
    page.press("Enter", 13, "\r")
    names = page.value(COLUMN % 1)
    assert names[:7] == ["broken", "cnn", "cnn", "vit", "vit", "waiting", "cnn"]


def test_what_stands_apart_is_grey_and_a_best_number_is_not(page: Page, saved: Callable[[Any], Path]) -> None:
    page.open(saved(example()))
    ink = "getComputedStyle(document.querySelector('#classifiers-1 %s')).color"
    grey, best = page.value(ink % "tbody.apart td.num"), page.value(ink % "tbody.measured td.best")
    assert grey == page.value(ink % "tbody.floor td.num") and grey != best


def test_a_wide_table_scrolls_inside_its_box_with_its_names_in_sight(page: Page, saved: Callable[[Any], Path]) -> None:
    made = runpy.run_path(str(UNIT / "example_boards.py"))
    info, records = made["classifier"]("cnn", "diagnosis", 0.5)
    wide = [dataclasses.replace(records[0], metric=f"metric-number-{i}") for i in range(16)]
    page.open(saved(made["boards"]((info, wide))))
    box = "document.querySelector('#classifiers-1').parentElement"
    assert page.value("document.documentElement.scrollWidth <= innerWidth") is True
    assert page.value(f"{box}.scrollWidth > {box}.clientWidth + 200") is True
    page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.value(f"{box}.classList.contains('more')") is True
    name = "document.querySelector('#classifiers-1 tbody td.sticky').getBoundingClientRect().left"
    page.value(f"{box}.scrollLeft = 1e6")
    assert page.value(f"Math.abs({name} - {box}.getBoundingClientRect().left) < 2") is True
    last = "[...document.querySelectorAll('#classifiers-1 thead th')].at(-1).getBoundingClientRect().right"
    assert page.value(f"{last} <= {box}.getBoundingClientRect().right + 1") is True
    quiet(page)


def test_matrices_and_subgroups_open_and_stay_inside_the_page(page: Page, saved: Callable[[Any], Path]) -> None:
    page.open(saved(example()))
    page.value("document.querySelectorAll('details').forEach(item => { item.open = true; })")
    assert page.value("document.querySelectorAll('table.matrix').length") == 3
    assert page.value("document.documentElement.scrollWidth <= innerWidth") is True
    assert page.value("[...document.querySelectorAll('section h2')].map(h => h.textContent)") == [
        "Classifiers", "Generators", "Subgroups", "Behind the distances", "Contamination", "Samples", "Losses",
        "Dataset", "Run", "Warnings",
    ]  # fmt: skip
    quiet(page)


def test_a_long_table_can_be_filtered(page: Page, saved: Callable[[Any], Path]) -> None:
    made = runpy.run_path(str(UNIT / "example_boards.py"))
    page.open(saved(made["boards"](*(made["classifier"](f"m{i}", "t", 0.1 + i / 50) for i in range(15)))))
    page.value("document.querySelector('input[type=search]').focus()")
    page.ask("Input.insertText", text="m14")
    assert page.value("document.querySelectorAll('#classifiers-1 tbody tr:not([hidden])').length") == 1


def test_hostile_names_run_nothing_and_are_read_as_text(page: Page, saved: Callable[[Any], Path]) -> None:
    sys.path.insert(0, str(FUZZ))
    try:
        boards = runpy.run_path(str(FUZZ / "hostile_boards.py"))
        texts = runpy.run_path(str(FUZZ / "hostile_texts.py"))["TEXTS"]
    finally:
        sys.path.remove(str(FUZZ))
    whole = [text for text in texts if not any("\ud800" <= letter <= "\udfff" for letter in text)]
    assert len(whole) > 300
    page.open(saved(boards["hostile_boards"](whole)))
    page.value("document.querySelectorAll('details').forEach(item => { item.open = true; })")
    page.value("document.querySelectorAll('thead button').forEach(button => button.click())")
    time.sleep(0.5)
    assert page.value("typeof window.hacked") == "undefined"
    assert page.value("document.scripts.length") == 1
    foreign = "iframe,object,embed,form,base,link:not([rel=icon]),a:not([href^='#'])"
    assert page.value(f'document.querySelectorAll("{foreign}").length') == 0
    shown = set(page.value(ROWS + ".map(row => (row.cells[1].firstChild?.data ?? '').trim())"))
    for text in whole:
        assert visible(without_paths(text)).strip() in shown, text[:80]
    quiet(page)
    record_count("hostile texts in Chromium", len(whole))
