"""Which of several groups of unlike numbers is the ranking of a section, and which stand apart from it."""

from __future__ import annotations

from example_boards import boards, classifier

from dermae_bench.report.leaderboard import table


def test_of_equal_groups_a_leaky_one_never_leads() -> None:
    # by its name alone it would: "a" stands before "z"
    made = boards(
        *(
            classifier(name, "t", value, train="leaky", identity={"leaky": "by image"})
            for name, value in [("a", 0.99), ("b", 0.98)]
        ),
        *(classifier(name, "t", value) for name, value in [("y", 0.5), ("z", 0.6)]),
    )
    cells = {line.info.row: line.cells["f1-macro"] for line in table(made, "classifiers").lines}
    assert [row for row, cell in cells.items() if not cell.apart] == ["z | train | t", "y | train | t"]
    assert all("leaky by image" in cells[f"{name} | leaky | t"].apart for name in "ab")
