"""docs/external.md: the suite of two tasks that it shows reads the files that it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dermae_bench.commands.session import open_session

PAGE = Path(__file__).parents[2] / "docs" / "external.md"
DIAGNOSIS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (None, ["diagnosed | elsewhere | diagnosis", "diagnosed | elsewhere | malignancy"]),
        ("malignancy", ["diagnosed | elsewhere | malignancy", "asked | elsewhere | malignancy"]),
    ],
)
def test_the_suite_of_two_tasks_has_the_rows_that_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str | None, expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores").mkdir()
    both = ",".join(f"prob.{name}" for name in (*DIAGNOSIS, "benign", "malignant"))
    (tmp_path / "scores" / "both.csv").write_text(f"id,{both}\n")
    (tmp_path / "scores" / "malignancy.csv").write_text("id,prob.benign,prob.malignant\n")
    (shown,) = [
        text
        for text in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        if text.startswith("version:")
    ]
    (tmp_path / "suite.yaml").write_text(shown)
    session = open_session(
        tmp_path / "suite.yaml", preset=preset, sets=(), results=tmp_path / "results", plugins_dir=None
    )
    assert session.missing is None
    assert [row.row for row in session.rows if row.kind == "measured"] == expected
    asked = [stage for stage in session.stages if stage.name.startswith("predict/given/")]
    # malignancy is asked of the one file, and follows from the diagnosis in the other
    assert {stage.name.split("/")[2]: stage.name.split("/")[3] for stage in asked} == (
        {"diagnosed": "diagnosis"} if preset is None else {"diagnosed": "diagnosis", "asked": "malignancy"}
    )
