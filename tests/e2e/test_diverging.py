"""A fit that leaves the numbers: the board says at which step, shows no number, and nothing is tried for ever."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Bench, Suite

PLUGIN = f"{Path(__file__).with_name('diverging.py')}:diverging"
WAYS = {
    "loss-nan": "diverged at step 20: loss is not finite",
    "loss-inf": "diverged at step 20: loss is not finite",
    "loss-minus-inf": "diverged at step 20: loss is not finite",
    "gradient": "diverged at step 20: gradient norm is not finite",
    "weight": "diverged at step 20: norm of the weights is not finite",
    # whichever notices first: the loader, or who reads from its worker
    "worker-killed": "DataLoader worker|Connection reset",
    # what sends the worker's items dies in a thread of its own; only the time limit of the loader tells
    "shm-full": "DataLoader timed out",
    "logits": "logits that are not finite",
}


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("ways", [["weight"], pytest.param(list(WAYS), marks=pytest.mark.slow)], ids=["one", "all"])
def test_a_diverged_row_names_its_step_and_a_second_run_goes_to_it_at_once(
    bench: Bench, suite: Suite, tmp_path: Path, ways: list[str]
) -> None:
    notes = {how: tmp_path / f"{how}.txt" for how in ways}
    params = {how: {"how": how, "at": 20, "note": str(note)} for how, note in notes.items()}
    path = suite(
        budgets={"fine": {"steps": 30, "batch_size": 8, "checkpoint": 8}},
        extractors={},
        generators={},
        image_sets={},
        generator_rows=[],
        sample_metrics=[],
        tasks=["diagnosis"],
        classifiers={how: {"plugin": PLUGIN, "budget": "fine", "params": params[how]} for how in ways},
        rows=[{"classifiers": ways, "train": "train"}],
    )
    for again in (False, True):
        assert bench("run", path.name).code == 1
        with (tmp_path / "results" / "tiny" / "classifiers.csv").open(newline="") as stream:
            rows = {row["classifier"]: row for row in csv.DictReader(stream) if row["classifier"] in ways}
        for how in ways:
            assert re.search(WAYS[how], rows[how]["reason"]), (how, rows[how]["reason"])
            assert rows[how]["accuracy"] == "", how
            if how not in {"worker-killed", "shm-full", "logits"}:
                steps = [int(line) for line in notes[how].read_text().split()]
                # the last checkpoint is of step 16: nothing before it is done again, and nobody tries for ever
                assert steps == (list(range(21)) + (list(range(16, 21)) if again else [])), how
