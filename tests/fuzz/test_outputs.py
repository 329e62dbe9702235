"""Hostile texts in every file and on the terminal: they stay text, and can be told from each other."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile_boards import hostile_boards
from hostile_texts import CANARY, TEXTS
from markdown_it import MarkdownIt

from dermae_bench.report import escape
from dermae_bench.report.export import files, terminal_table, write
from dermae_bench.report.leaderboard import Boards
from tests.counting import record_count

WHOLE = tuple(text for text in TEXTS if not any("\ud800" <= letter <= "\udfff" for letter in text))
"""What UTF-8 can hold: no name has half a letter, since readers refuse or rewrite it."""
SOME = tuple(dict.fromkeys([*WHOLE[::60], WHOLE[-2]]))
"""For every run of the tests; all of them stand in the long ones."""
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


def controls(text: str) -> set[str]:
    return {c for c in set(text) if unicodedata.category(c) in UNSEEN and c != "\n"}


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def texts(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SOME if request.param == "some" else WHOLE


@pytest.fixture(scope="module")
def boards(texts: tuple[str, ...]) -> Boards:
    return hostile_boards(texts)


@pytest.fixture(scope="module")
def written(boards: Boards, texts: tuple[str, ...]) -> dict[str, str]:
    began = time.perf_counter()
    found = files(boards)
    assert time.perf_counter() - began < 2 + len(texts) / 10
    return found


def test_no_file_and_no_table_holds_a_control_character(
    written: dict[str, str], boards: Boards, texts: tuple[str, ...]
) -> None:
    for name, text in written.items():
        assert controls(text) == set(), name
        text.encode()
    for board in ("classifiers", "generators"):
        for width in (80, 200):
            table = terminal_table(boards, board, width)
            assert controls(table) == set()
            assert max(map(escape.width_of, table.split("\n"))) <= width
    if texts is WHOLE:
        record_count("hostile texts through every output", len(texts))


def test_a_cell_of_a_csv_file_is_text_or_a_number(written: dict[str, str]) -> None:
    names = {name for name in written if name.endswith(".csv")}
    assert names == {
        "classifiers.csv", "generators.csv", "timings.csv", "subgroups.csv", "contamination.csv", "nearest-pairs.csv",
        "distance-over-n.csv",
    }  # fmt: skip
    for name in names:
        rows = list(csv.reader(io.StringIO(written[name]), strict=True))
        assert len({len(row) for row in rows}) == 1, name
        for cell in (cell for row in rows for cell in row if not NUMBER.fullmatch(cell)):
            assert not cell.lstrip().startswith(FORMULA), (name, cell)


def read_back(cell: str) -> str:
    """The text behind a cell: the apostrophe off, escapes undone."""
    if cell.startswith("'") and (cell.lstrip(" '").startswith(FORMULA) or re.match(r"[ ']*\\[trn]", cell)):
        cell = cell[1:]
    escapes = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr])")
    return escapes.sub(lambda found: found.group().encode().decode("unicode_escape"), cell)


def test_a_cell_reads_back_as_the_text_that_it_was() -> None:
    cells = {text: escape.csv_text(text) for text in TEXTS}
    assert len(set(cells.values())) == len(TEXTS)
    kept = [text for text in TEXTS if len(cells[text]) <= 400 and "… (" not in cells[text]]
    assert len(kept) > len(TEXTS) - 20
    for text in kept:
        assert read_back(cells[text]) == text
    assert escape.csv_text("=1") == "'=1" and escape.csv_text("'=1") == "''=1" and escape.csv_text("'x") == "'x"


def test_json_is_ascii_and_holds_the_text_as_it_was(written: dict[str, str], texts: tuple[str, ...]) -> None:
    expected = {escape.without_paths(text) for text in texts}
    for name in written:
        if name.endswith((".json", ".jsonl")):
            assert written[name].isascii(), name
    read = [json.loads(line) for line in written["records.jsonl"].split("\n")[:-1]]
    assert {record["names"]["classifier"] for record in read if record["board"] == "classifiers"} == expected
    rows = json.loads(written["classifiers.json"])["rows"]
    assert expected == {row["names"]["classifier"] for row in rows}


class Shown(HTMLParser):
    """Texts, elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_shows_every_text_as_text(written: dict[str, str], texts: tuple[str, ...]) -> None:
    page = Shown()
    page.feed(written["report.html"])
    assert page.tags.count("script") == 1 and page.tags.count("style") == 1
    assert not set(page.tags) & {"iframe", "object", "embed", "form", "base", "a:", "video", "math"}
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on") or name in {"srcdoc", "action", "xlink:href"}}
    links = {value for name, value in page.attributes if name in {"href", "src"}}
    assert all(link.startswith(("#", "data:image/png;base64,")) or link == "data:," for link in links)
    told = set(page.texts)
    for text in texts:
        assert escape.visible(escape.without_paths(text)).strip() in told, text[:80]
    assert f"<script>{CANARY}" not in written["report.html"]


def test_only_our_own_script_may_run_and_nothing_is_asked_for(written: dict[str, str]) -> None:
    page = written["report.html"]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = rules.pop("script-src")
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", script)
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "style-src": "'unsafe-inline'", "base-uri": "'none'",
        "form-action": "'none'",
    }  # fmt: skip
    # before anything that a name could stand in
    assert page.index("Content-Security-Policy") < page.index("<title>")


def inline(text: str) -> Iterator[tuple[str, str]]:
    """(kind, content) of what a renderer of Markdown makes of a document."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token.type, token.content
        yield from ((child.type, child.content) for child in token.children or ())


def test_markdown_renders_every_text_as_text(written: dict[str, str]) -> None:
    names = [name for name in written if name.endswith(".md")]
    assert set(names) == {"classifiers.md", "generators.md", "subgroups.md", "contamination.md"}
    for name in names:
        kinds = {kind for kind, _ in inline(written[name])}
        assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block", "hr"}, name
        assert not kinds & {"blockquote_open", "ordered_list_open"}, name
        assert "table_open" in kinds


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_markdown_text_is_what_was_written(every: int) -> None:
    for text in TEXTS[::every]:
        for place in ("| {} | z |\n| --- | --- |\n| {} | z |\n", "- {}\n", "# {}\n"):
            if not text.strip():
                continue
            found = list(inline(place.format(*[escape.markdown(text)] * 2)))
            read = {content for kind, content in found if kind == "inline"}
            words = "".join(content for kind, content in found if kind.startswith("text"))
            if place.startswith("|"):
                assert len(read) == 2, text[:80]
                words = words.partition("z")[0] if "z" not in escape.visible(text) else words[: len(words) // 2 - 1]
            elif text == "-":
                continue
            assert words == escape.visible(text), text[:80]


def test_no_name_becomes_a_path(tmp_path: Path, boards: Boards) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    write(boards, folder)
    outside = [path for path in tmp_path.rglob("*") if folder not in (path, *path.parents)]
    assert outside == []
    for path in folder.rglob("*"):
        assert re.fullmatch(r"[a-z0-9.-]+", path.name), path.name
    told = list(folder.rglob("*.txt"))
    assert told
    assert [path.name for path in told if controls(path.read_text(encoding="utf-8"))] == []
