"""Ranks, ties, seeds, identities and order of a leaderboard."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys

import pytest
from example_boards import FRECHET, boards, classifier, example, generator

from dermae_bench.report.leaderboard import OTHER_IDENTITY, Boards, Record, Table, frame, table
from dermae_bench.report.ranking import UNLIKE_SEEDS


def ranks(suite: Boards, board: str = "classifiers", metric: str = "f1-macro") -> dict[str, str]:
    return {line.info.row: line.cells[metric].rank_text for line in table(suite, board).lines}


def order(leaderboard: Table) -> list[str]:
    return [line.info.row for line in leaderboard.lines]


def test_higher_is_better_ranks_downwards_and_lower_upwards() -> None:
    made = boards(classifier("a", "t", 0.5), classifier("b", "t", 0.9), generator("x", 30.0), generator("y", 10.0))
    assert ranks(made) == {"b | train | t": "1", "a | train | t": "2"}
    assert [r for r in ranks(made, "generators", FRECHET).values()] == ["1", "2"]
    assert order(table(made, "generators"))[0].startswith("y")


def test_everything_that_overlaps_the_best_shares_rank_one_and_the_next_takes_its_own_place() -> None:
    made = boards(
        *(classifier(name, "t", v, half=0.03) for name, v in [("a", 0.80), ("b", 0.77), ("c", 0.75), ("d", 0.70)])
    )
    assert list(ranks(made).values()) == ["1=", "1=", "1=", "4"]
    # c overlaps b, which overlaps a: only overlap with the best counts
    apart = boards(*(classifier(name, "t", v, half=0.02) for name, v in [("a", 0.80), ("b", 0.77), ("c", 0.74)]))
    assert list(ranks(apart).values()) == ["1=", "1=", "3"]


def test_without_intervals_only_equal_values_tie() -> None:
    made = boards(*(classifier(n, "t", v, half=None) for n, v in [("a", 0.8), ("b", 0.79), ("c", 0.79), ("d", 0.1)]))
    assert list(ranks(made).values()) == ["1", "2=", "2=", "4"]


@pytest.mark.parametrize("kind", ["floor", "reported"])
def test_floors_and_reported_rows_are_never_ranked_and_stand_last(kind: str) -> None:
    made = boards(classifier("great", "t", 0.99, kind=kind), classifier("poor", "t", 0.2))
    assert ranks(made) == {"poor | train | t": "1", "great | train | t": ""}
    assert order(table(made, "classifiers"))[-1].startswith("great")


def test_a_warning_that_names_a_metric_stands_at_that_metric_alone() -> None:
    texts = ("f1-macro: few images", "t: a class is rare", "accuracy: of what")
    (line,) = table(boards(classifier("a", "t", 0.5, warnings=texts)), "classifiers").lines
    assert line.cells["f1-macro"].warnings == texts[:2]
    assert line.cells["accuracy"].warnings == texts[1:]


def test_tasks_are_ranked_apart() -> None:
    made = boards(
        classifier("a", "diagnosis", 0.5), classifier("b", "malignancy", 0.9), classifier("b", "diagnosis", 0.2)
    )
    assert list(ranks(made).values()) == ["1", "2", "1"]


def test_distances_over_unequal_counts_are_never_ranked_together() -> None:
    made = boards(generator("a", 10.0, n=1000), generator("b", 9.0, n=500), generator("c", 11.0, n=1000))
    found = ranks(made, "generators", FRECHET)
    assert found["a | ddim, 50 steps | 1000"] == "1" and found["c | ddim, 50 steps | 1000"] == "2"
    assert found["b | ddim, 50 steps | 500"].startswith(OTHER_IDENTITY)


def test_two_groups_of_identities_are_ranked_among_themselves() -> None:
    leaky = {"identity": {"leaky": True}}
    made = boards(
        *(classifier(n, "t", v) for n, v in [("a", 0.5), ("b", 0.6), ("c", 0.7)]),
        *(classifier(n, "t", v, train="leaky", **leaky) for n, v in [("a", 0.95), ("b", 0.9)]),
    )
    assert list(ranks(made).items()) == [
        ("c | train | t", "1"), ("b | train | t", "2"), ("a | train | t", "3"),
        ("a | leaky | t", "1"), ("b | leaky | t", "2"),
    ]  # fmt: skip
    cells = {line.info.row: line.cells["f1-macro"].identity for line in table(made, "classifiers").lines}
    assert cells["a | train | t"] == cells["b | train | t"] != cells["a | leaky | t"]


def test_seeds_become_a_mean_with_spread_and_averaged_interval() -> None:
    cell = table(boards(classifier("a", "t", 0.5, seeds=(0, 1, 2))), "classifiers").lines[0].cells["f1-macro"]
    assert cell.value == pytest.approx(0.504) and cell.sd == pytest.approx(0.004)
    assert (cell.low, cell.high) == (pytest.approx(0.484), pytest.approx(0.524))
    assert table(boards(classifier("a", "t", 0.5)), "classifiers").lines[0].cells["f1-macro"].sd is None


def test_seeds_with_unlike_identities_give_no_mean() -> None:
    info, (first, *rest) = classifier("a", "t", 0.5, seeds=(0, 1))
    odd = dataclasses.replace(first, n=first.n + 1)
    cell = table(boards((info, [odd, *rest])), "classifiers").lines[0].cells["f1-macro"]
    assert cell.value is None and cell.reason == f"{UNLIKE_SEEDS}: n 300, not 301)"


def test_a_pending_seed_leaves_the_mean_without_a_rank_and_a_failed_one_takes_it_away() -> None:
    info, records = classifier("a", "t", 0.5, seeds=(0, 1, 2))
    rest = [record for record in records if record.seeds["classifier"] < 2]
    waiting = dataclasses.replace(info, status="pending")
    cell = table(boards((waiting, rest), classifier("b", "t", 0.4)), "classifiers").lines[1].cells["f1-macro"]
    assert cell.value == pytest.approx(0.502) and cell.rank is None and cell.reason == "n/a (2 of 3 seeds)"
    failed = dataclasses.replace(info, status="failed", reason="diverged")
    cell = table(boards((failed, rest)), "classifiers").lines[0].cells["f1-macro"]
    assert cell.value is None and cell.reason == "failed"


def test_a_metric_that_is_complete_keeps_its_number_when_another_failed() -> None:
    info, records = classifier("a", "t", 0.5)
    failed = dataclasses.replace(info, status="failed", reason="accuracy: no")
    line = table(
        boards((failed, [r for r in records if r.metric == "f1-macro"]), classifier("b", "t", 0.4)), "classifiers"
    )
    cells = next(line.cells for line in line.lines if line.info.row == info.row)
    assert cells["f1-macro"].rank == 1 and cells["accuracy"].value is None and cells["accuracy"].reason == "failed"


def test_order_of_rows_and_records_changes_nothing() -> None:
    made = example()
    rows, records = list(made.rows), list(made.records)
    random.Random(1).shuffle(rows)
    # metrics keep the order of their first record, so records are shuffled within their metric
    shuffled = sorted(
        random.Random(2).sample(records, len(records)), key=lambda r: [x.metric for x in records].index(r.metric)
    )
    again = dataclasses.replace(made, rows=tuple(rows), records=tuple(shuffled))
    for board in ("classifiers", "generators"):
        assert frame(table(made, board)).to_csv() == frame(table(again, board)).to_csv()


def test_frame_holds_numbers_as_numbers() -> None:
    made = frame(table(example(), "generators"))
    assert made[FRECHET].dtype.kind == "f" and list(made["generator"])[:2] == ["ddpm-conditional", "ddpm"]


def test_a_value_stands_exactly_where_the_status_is_ok_and_is_finite() -> None:
    _, (record, *_) = classifier("a", "t", 0.5)
    for change in ({"value": None}, {"status": "failed: x"}, {"value": float("nan")}, {"low": float("inf")}):
        with pytest.raises(ValueError, match="record a"):
            dataclasses.replace(record, **change)


def test_records_without_a_row_and_double_records_are_refused() -> None:
    info, records = classifier("a", "t", 0.5)
    with pytest.raises(ValueError, match="names row"):
        table(Boards(suite="s", rows=(), records=tuple(records)), "classifiers")
    with pytest.raises(ValueError, match="two records"):
        table(boards((info, [*records, records[0]])), "classifiers")


def test_an_empty_board_is_a_table_without_lines() -> None:
    assert table(boards(), "generators").lines == ()


def test_records_and_ranking_need_neither_pandas_nor_torch() -> None:
    code = (
        "import sys, dermae_bench.report.leaderboard as l, dermae_bench.report.export as e, dermae_bench.report.html\n"
        "e.files(l.Boards(suite='s', rows=(), records=()))\n"
        "assert not {'pandas', 'torch', 'torchvision', 'PIL'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_record_is_a_plain_value() -> None:
    assert {field.name for field in dataclasses.fields(Record)} >= {"identity", "n", "unit", "better", "key", "seeds"}
