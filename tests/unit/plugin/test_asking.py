"""A child's answers: strangers' code runs there, and may write into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench.plugin import asking

GOOD = '{"kind": "metric"}\n'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), (GOOD, 1), (GOOD + GOOD, 2), (GOOD + '{"kind"', 1), (GOOD + "scribble\n" + GOOD, 1),
        (GOOD + "[]\n", 1), ("[" * 200_000 + "\n", 0), ("\udcff\n", 0),
    ],
)  # fmt: skip
def test_answers_end_where_they_are_none(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert asking._answers(path) == [{"kind": "metric"}] * count


def test_more_than_the_limit_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(GOOD)
    with path.open("r+b") as stream:
        stream.truncate(asking.LARGEST + 1)
    assert asking._answers(path) == []
    assert asking._answers(tmp_path / "absent") == []
