"""Errors in few lines: a reason made brief, and a suite's mistakes with what could not be checked behind them."""

from __future__ import annotations

import pytest

from dermae_bench.errors import Place, Problem, SuiteError, brief


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("", ""),
        ("one", "one"),
        ("what and where\n  what to do\n", "what and where; what to do"),
        # a line that ends like a part of a list gets no second sign
        ("what and where;\n  what to do;", "what and where; what to do"),
        ("\n\n  first  \n\t\n second\r\n", "first; second"),
        ("17 images are not there\n  a.png\n  b.png\n  get them", "17 images are not there; a.png (and more)"),
        # no number that contradicts the one at the beginning
        ("36 problem(s)\n  line 170\n  line 171\n  and 34 more", "36 problem(s); line 170 (and more)"),
        ("a\nb\n\n \nc", "a; b (and more)"),
        ("a\vb\u2028c\x85d", "a; b (and more)"),
    ],
)
def test_a_reason_is_brief(reason: str, line: str) -> None:
    assert brief(reason) == line


def test_a_brief_reason_stays_as_it_is() -> None:
    once = brief("a;\nb\nc\nd")
    assert once == "a; b (and more)" == brief(once)


@pytest.mark.parametrize(
    ("count", "more", "last"),
    [
        (1, False, "1 error in the suite"),
        (2, False, "2 errors in the suite"),
        (1, True, "1 error in the suite; once mended, what depends on them is checked as well"),
        (3, True, "3 errors in the suite; once mended, what depends on them is checked as well"),
    ],
)
def test_a_suite_says_how_much_is_wrong_and_whether_that_is_all(count: int, more: bool, last: str) -> None:
    problems = [Problem(f"wrong {i}", Place("x.yaml", i + 1, 3), "a: b", "do it") for i in range(count)]
    error = SuiteError(problems, more=more)
    assert (error.message, error.problems, error.exit_code) == (last, tuple(problems), 2)
    lines = str(error).splitlines()
    assert lines[:4] == ["x.yaml:1:3: wrong 0", "    1 | a: b", "          ^", "      do it"]
    assert lines[4 * count :] == [last]


def test_what_is_about_the_file_and_not_in_it_is_told_alone() -> None:
    alone = Problem("there is no suite file x.yaml", hint="suites/ has some")
    assert str(SuiteError([alone])) == "there is no suite file x.yaml\n      suites/ has some"
    # beside another one it is counted
    assert str(SuiteError([alone, alone])).endswith("\n2 errors in the suite")
