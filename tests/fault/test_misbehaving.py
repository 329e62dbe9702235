"""Plugins that misbehave: their own row fails, with a reason, and nobody else's does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import Zygote, processes_below, tracebacks, write_suite

from tests.counting import record_count

HERE = Path(__file__).parent / "plugins"
STRANGE = HERE / "strange.py"

ENDS = {
    "raise": ("crashed", "broken on purpose"),
    "raise-base": ("crashed", "NobodyExpects"),
    "interrupt": ("crashed", "KeyboardInterrupt"),
    "exit": ("crashed", "sys.exit(3)"),
    "exit-0": ("crashed", "without a result"),
    "segfault": ("crashed", "SIGSEGV"),
    "abort": ("crashed", "SIGABRT"),
    "recurse": ("crashed", "RecursionError"),
    "loop": ("timeout", ""),
    "hold-the-lock": ("timeout", ""),
    "deadlock": ("timeout", ""),
    "ignore-signals": ("timeout", ""),
    "delete-folder": ("", ""),
    "forge-result": ("lost", ""),
    "forge-manifest": ("crashed", ""),
    "forge-storage": ("crashed", "yet the store can be written"),
    "full-device": ("crashed", "yet the store can be written"),
    "spoil-digests": ("invalid-output", "its result was spoiled"),
    "folders-and-raise": ("", ""),
    "kill-parent": ("lost", ""),
    "hog": ("oom", "limited to 2 GiB"),
    "out-of-memory": ("oom", "memory"),
    "pipe-status": ("timeout", ""),
    "pipe-fence": ("", ""),
    "folder-fence": ("", ""),
    "link-self": ("", ""),
    "diverge": ("diverged", "step 2"),
    "stops-early": ("crashed", "2 of 6 steps"),
    "wants-more": ("crashed", "not registered"),
}
"""What it does -> how its fit's failure is classed, and what the reason says; empty: whatever fits."""
UNSEEN = {"forge-result", "folders-and-raise", "kill-parent", "delete-folder", "pipe-status", "link-self"}
"""After these nobody can say in which phase it was."""
RETURNS = ("no-tensor", "wrong-shape", "not-finite", "integers")
GOES_ON = (
    "daemon", "threads", "close-streams", "chdir", "random-state", "default-dtype", "process-state", "print-much",
    "write-outside", "replace-logs", "nest", "folder-result",
)  # fmt: skip


def suite(folder: Path, *ways: str, wall: str = "6s", mem: str = "2GiB") -> Path:
    """The small suite with a row for each way, and one that behaves."""
    habits = {way: {"how": way} for way in ways} | {"good": {"how": ""}}
    classifiers = {
        name: {"plugin": f"{STRANGE}:Strange", "budget": "short", "params": params} for name, params in habits.items()
    }
    return write_suite(
        folder, classifiers=classifiers, rows=[{"classifiers": list(classifiers), "train": "train"}], generators={},
        generator_rows=[], extractors={}, sample_metrics=[], resources={"wall": wall, "mem": mem},
    )  # fmt: skip


def rows(folder: Path) -> dict[str, Any]:
    board = json.loads((folder / "results/small/classifiers.json").read_bytes())
    return {row["names"]["classifier"]: row for row in board["rows"]}


def failures(folder: Path) -> dict[str, dict[str, Any]]:
    """Classifier -> why its stage failed."""
    found = {}
    for path in (folder / "results/store/failures").glob("*.json"):
        about = json.loads(path.read_bytes())
        found[about["name"].split("/")[2]] = about
    return found


@pytest.fixture
def started(zygote: Zygote, tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    def run(*ways: str) -> tuple[int, Path]:
        suite(tmp_path, *ways)
        notes = tmp_path / "notes"
        notes.mkdir()
        name = zygote.start(tmp_path, "run", "small.yaml", "-j", "2", environment={"STRANGE_NOTES": str(notes)})
        code = zygote.code(name, 300.0)
        assert zygote.gone(), f"still there: {processes_below(os.getpid())}"
        return code, tmp_path

    return run


def check_ends(folder: Path, ways: dict[str, tuple[str, str]]) -> None:
    why = failures(folder)
    shown = rows(folder)
    for way, (category, words) in ways.items():
        assert way in why, way
        assert why[way]["category"] == category or not category, (way, why[way])
        assert words in why[way]["reason"], (way, why[way]["reason"])
        assert why[way]["phase"] or way in UNSEEN, way
        assert shown[way]["status"] == "failed", way
        if category == "timeout":
            # in which function of the plugin it hung
            assert "strange.py" in why[way]["traceback"], way


@pytest.mark.slow
def test_whatever_ends_a_fit_ends_its_row_alone(started: Callable[..., tuple[int, Path]]) -> None:
    code, folder = started(*ENDS, *RETURNS)
    assert code == 1
    check_ends(folder, ENDS | dict.fromkeys(RETURNS, ("invalid-output", "returned")))
    assert rows(folder)["good"]["status"] == "ok"
    assert tracebacks(folder) == 0
    record_count("misbehaving plugins", len(ENDS) + len(RETURNS))


@pytest.mark.slow
def test_what_a_fit_survives_changes_nobody_s_numbers(started: Callable[..., tuple[int, Path]]) -> None:
    code, folder = started(*GOES_ON)
    assert code == 0, (folder / "said.log").read_text()
    weights = {
        json.loads(path.read_bytes())["name"].split("/")[2]: json.loads(path.read_bytes())["summary"]["weights"]
        for path in folder.glob("results/store/train/*/manifest.json")
    }
    for way in GOES_ON:
        assert weights[way] == weights["good"] or way == "default-dtype", way
    for path in folder.glob("notes/daemon-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name.removeprefix("daemon-")), 0)
    sizes = [path.stat().st_size for path in folder.glob("results/store/attempts/*/*.log")]
    assert all(size <= 50_000_000 for size in sizes)
    record_count("misbehaving plugins", len(GOES_ON))


# one worker alone pays for the zygote
@pytest.mark.xdist_group("zygote")
def test_some_that_misbehave_in_a_pull_request(started: Callable[..., tuple[int, Path]]) -> None:
    ways = ("exit-0", "segfault", "diverge", "forge-result")
    code, folder = started(*ways)
    assert code == 1
    check_ends(folder, {way: ENDS[way] for way in ways})
    assert rows(folder)["good"]["status"] == "ok"


@pytest.mark.slow
def test_what_lies_in_the_way_of_the_next_run_is_moved_aside(zygote: Zygote, tmp_path: Path) -> None:
    suite(tmp_path, "folders-and-raise")
    codes = []
    for _ in range(3):
        codes.append(zygote.code(zygote.start(tmp_path, "run", "small.yaml", environment={}), 120.0))
        assert rows(tmp_path)["good"]["status"] == "ok"
        assert tracebacks(tmp_path) == 0
    # each start goes on from the last checkpoint, and past the step at which it raised
    assert codes == [1, 1, 0]
