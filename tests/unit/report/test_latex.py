"""LaTeX of a leaderboard: it compiles in the head of a strict reader, and texts stay texts."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from example_boards import example

from dermae_bench.errors import NothingMatched, UserError
from dermae_bench.report.board_file import read_board, selected
from dermae_bench.report.escape import latex
from dermae_bench.report.export import csv_file, files
from dermae_bench.report.latex import latex_tables
from dermae_bench.report.leaderboard import Boards, cells_of

FUZZ = Path(__file__).parents[2] / "fuzz"
TEXTS = runpy.run_path(str(FUZZ / "hostile_texts.py"))["TEXTS"]
TEXT = {
    *"$&#_%{}", "'", "`", '"', "^", "~", "=", ".", "u", "v", "H", "c", "r", "o", "O", "l", "L", "ss", "ae", "AE", "oe",
    "OE", "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "textasciigrave",
    "symbol", "ldots", "pm", "times", "uparrow", "downarrow", "le", "ge", "textendash", "textemdash",
}  # fmt: skip
"""Commands that may stand for a letter."""
TABLE = {
    "begin", "end", "centering", "caption", "label", "small", "toprule", "midrule", "bottomrule", "par", "smallskip",
    "linewidth", "footnotesize", "scriptsize", "textbf", "textit", "\\",
}  # fmt: skip
TOKEN = re.compile(r"\\(?P<command>[A-Za-z]+|.)|(?P<special>[{}$&#^_~%])|(?P<plain>[^\\{}$&#^_~%]+)", re.DOTALL)


def read(text: str, commands: set[str]) -> list[int]:
    """Check braces, mathematics, environments and commands as TeX would; gives the cells of each table row."""
    assert text.isascii() and not re.search(r"[^\n -~]", text)
    opened: list[str] = []
    depth = 0
    rows: list[int] = []
    columns = 1
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("%"))
    for token in TOKEN.finditer(text):
        command, special = token["command"], token["special"]
        if command is not None:
            assert command in commands, token.group()
            if command in ("begin", "end"):
                name = re.match(r"\{(table|tabular|minipage)\}", text[token.end() :])
                assert name is not None
                if command == "begin":
                    opened.append(name[1])
                else:
                    assert opened.pop() == name[1]
            if command == "\\":
                assert opened[-1] == "tabular" and depth == 0
                rows.append(columns)
                columns = 1
        elif special == "{":
            opened.append("{")
        elif special == "}":
            assert opened.pop() == "{"
        elif special == "$":
            if opened and opened[-1] == "$":
                opened.pop()
            else:
                opened.append("$")
        elif special == "^":
            assert opened and opened[-1] == "$"
        elif special == "&":
            assert opened[-1] == "tabular"
            columns += 1
        else:
            assert special in (None, "~"), token.group()
    assert opened == []
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's boards; only for reading."""
    made = tmp_path_factory.mktemp("boards")
    for board in ("classifiers", "generators"):
        (made / f"{board}.json").write_text(files(example())[f"{board}.json"])
    return made


@pytest.mark.parametrize("board", ["classifiers", "generators"])
def test_tables_compile_and_have_as_many_cells_as_columns(folder: Path, board: str) -> None:
    made = read_board(folder, board)
    text = latex_tables(made, whole=True)
    forms = [len(form) for form in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)]
    parts = text.split(r"\begin{table}")[1:]
    assert len(forms) == len(parts) > 0
    for part, columns in zip(parts, forms, strict=True):
        assert set(read(r"\begin{table}" + part, TEXT | TABLE)) == {columns}
    assert text.count(r"\begin{table}") == len(list(made.table.sections()))


def test_the_best_is_bold_ties_are_marked_and_footnotes_say_what_was_measured(folder: Path) -> None:
    text = latex_tables(read_board(folder, "classifiers"), whole=True)
    best = next(line for line in text.splitlines() if line.startswith("cnn & balanced"))
    assert r"\textbf{0.644}$^{=}$ {\scriptsize [0.624, 0.664]} {\scriptsize $\pm$ 0.004}" in best
    other = next(line for line in text.splitlines() if line.startswith("vit & train"))
    assert r"\textbf" not in other and "0.484" in other
    assert re.search(r"\$\^\{a\}\$ f1\{-\}macro: identity [0-9a-f]{8}\{,\} n \{=\} 300", text)
    assert "Seeds: classifier 0." in text and "diverged at step 12" in text
    assert "of which rows are left out" not in text


def test_what_is_read_back_is_what_was_written(folder: Path) -> None:
    for board in ("classifiers", "generators"):
        assert csv_file(cells_of(read_board(folder, board).table)) == files(example())[f"{board}.csv"]


def test_columns_and_rows_are_chosen_by_name(folder: Path) -> None:
    table = read_board(folder, "classifiers").table
    some = selected(table, ["gmacs", "accuracy"], ["vit*", "* / leaky / *"])
    assert [column.key for column in some.metrics] == ["accuracy"] and some.costs == ("gmacs",)
    assert {line.info.names["classifier"] for line in some.lines} == {"vit", "cnn"}
    assert {line.cells["accuracy"].rank for line in some.lines} == {
        line.cells["accuracy"].rank for line in table.lines if line.info.row in {own.info.row for own in some.lines}
    }
    with pytest.raises(UserError, match="no column 'f1'"):
        selected(table, ["f1"], [])
    with pytest.raises(NothingMatched):
        selected(table, [], ["nobody"])


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"board": "generators"}', "{", '{"board": "classifiers", "metrics": 3}', "NaN", "[" * 5000],
)
def test_a_file_that_is_no_leaderboard_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "classifiers.json").write_text(text)
    with pytest.raises(UserError, match=r"classifiers\.json"):
        read_board(tmp_path, "classifiers")


def test_hostile_texts_stay_texts() -> None:
    for text in TEXTS:
        made = latex(text)
        assert read(f"x{made}x", TEXT) == []
        assert "&" not in made.replace("\\&", "") and "%" not in made.replace("\\%", "")
        # neither an argument nor a ligature
        assert not re.search(
            r"--|<<|>>|``|''|,,|\?`|!`|(?<!\{)[\[\]*@](?!\})|^\[(?!U\+)", made.replace("[U+", "").replace("]", "")
        )
    assert latex("\\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert latex("é ö ß ± 病") == r"\'{e} \"{o} \ss{} $\pm$ [U+75C5]"


def test_hostile_boards_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUZZ))
    whole = [text for text in TEXTS if not any("\ud800" <= letter <= "\udfff" for letter in text)]
    made: Boards = runpy.run_path(str(FUZZ / "hostile_boards.py"))["hostile_boards"](whole[::24])
    for name, text in files(made).items():
        (tmp_path / name).write_text(text)
    for board in ("classifiers", "generators"):
        rows = read(latex_tables(read_board(tmp_path, board), whole=False), TEXT | TABLE)
        assert len(rows) > len(whole) // 24
