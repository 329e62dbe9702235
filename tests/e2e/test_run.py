"""A suite from file to leaderboard: the whole way, again, and after accidents."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PLUGINS, TINY, Bench, Ran, Suite, made_once

BOARDS = ("classifiers.csv", "generators.csv")


def boards(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in BOARDS}


def rows(folder: Path, board: str) -> list[dict[str, str]]:
    with (folder / f"{board}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_runs_to_leaderboards_and_is_cached_afterwards(bench: Bench, finished: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "tiny"
    expected = {
        "classifiers.csv", "classifiers.md", "classifiers.json", "generators.csv", "generators.md", "generators.json",
        "timings.csv", "report.html", "figures", "records.jsonl", "predictions.parquet", "suite.resolved.yaml",
        "environment.json", "evidence.json", "images.parquet", "contamination.csv", "contamination.md", "SHA256SUMS",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    assert all(row["status"] == "ok" for board in ("classifiers", "generators") for row in rows(folder, board))
    assert {row["kind"] for row in rows(folder, "generators")} == {"measured", "floor"}
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = bench("run", "tiny.yaml")
    assert again.code == 0
    assert "0 done" in again.err
    assert again.out == finished.out
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_equal_runs_give_equal_bytes_also_side_by_side(bench: Bench, finished: Ran, tmp_path: Path) -> None:
    assert bench("run", "tiny.yaml", "--results", "again", "-j", 2).code == 0
    assert boards(tmp_path / "again" / "tiny") == boards(tmp_path / "results" / "tiny")


@pytest.mark.usefixtures("prepared")
def test_a_failing_row_stays_visible_and_the_rest_runs(bench: Bench, suite: Suite, tmp_path: Path) -> None:
    ways = ("raise", "diverge", "exit", "exit0", "segfault", "shape", "stops-early")
    classifiers = {how: {"plugin": "misbehaving", "budget": "fine", "params": {"how": how}} for how in ways}
    path = suite(
        tasks=["malignancy"],
        extractors={},
        classifiers={**classifiers, **TINY["classifiers"]},
        rows=[{"classifiers": [*ways, "thumbs"], "train": "train"}],
        generators={},
        image_sets={},
        generator_rows=[],
        sample_metrics=[],
    )
    ran = bench("run", path)
    assert ran.code == 1
    by_name = {row["classifier"]: row for row in rows(tmp_path / "results" / "tiny", "classifiers")}
    assert by_name["thumbs"]["status"] == "ok"
    assert by_name["thumbs"]["accuracy"]
    for how in ways:
        assert by_name[how]["status"] == "failed", how
        assert by_name[how]["accuracy"] == "", how
    assert "diverged at step 2" in by_name["diverge"]["reason"]
    assert "the plugin broke on purpose" in by_name["raise"]["reason"]
    assert "sys.exit(3)" in by_name["exit"]["reason"]
    assert "without a result" in by_name["exit0"]["reason"]
    assert "SIGSEGV" in by_name["segfault"]["reason"]
    assert "not floating" in by_name["shape"]["reason"]
    assert "after 2 of 30 steps" in by_name["stops-early"]["reason"]
    # what failed is not served from the store: the same command tries it again
    assert "8 failed" in bench("run", path).err


@pytest.mark.usefixtures("finished")
def test_a_damaged_store_entry_is_found_and_made_again(bench: Bench, tmp_path: Path) -> None:
    first = boards(tmp_path / "results" / "tiny")
    store = tmp_path / "results" / "store"
    (weights,) = [
        path for path in store.glob("train/*/weights.safetensors") if _name(path).startswith("train/generator/pixels/")
    ]
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    # what was drawn from it, and what stands on that
    for path in store.glob("*/*/manifest.json"):
        if path.parent.parent.name in ("sample", "extract", "score") and "/pixels/" in _name(path):
            shutil.rmtree(path.parent)
    ran = bench("run", "tiny.yaml")
    assert ran.code == 0, ran.err
    assert "is damaged" in ran.err
    assert boards(tmp_path / "results" / "tiny") == first


def _name(path: Path) -> str:
    name: str = json.loads((path.parent / "manifest.json").read_text())["name"]
    return name


def _states(ran: Ran) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["state"], row["why"]) for row in json.loads(ran.out)["stages"]}


@pytest.mark.usefixtures("finished")
def test_editing_a_plugin_makes_its_own_stages_stale_and_plan_says_why(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "plugins"
    shutil.copytree(PLUGINS, own)
    words = ("plan", "tiny.yaml", "--plugins-dir", own, "--no-costs", "--format", "json")
    # where a plugin lies is in no key
    assert {state for state, _ in _states(bench(*words)).values()} == {"cached"}
    with (own / "thumbnails.py").open("a") as stream:
        stream.write("\n# edited\n")
    states = _states(bench(*words))
    stale = {name for name, (state, _) in states.items() if state == "stale"}
    expected = {name for name in states if "thumbs" in name}
    assert stale == expected
    assert "source of plugin thumbnails changed" in states["train/classifier/thumbs/train/diagnosis/seed=0"][1]


@pytest.mark.usefixtures("finished")
def test_a_changed_parameter_is_named(bench: Bench) -> None:
    words = ("plan", "tiny.yaml", "--no-costs", "--format", "json")
    states = _states(bench(*words, "--set", "classifiers.thumbs.params.lr=0.5"))
    assert "lr: 0.02 -> 0.5" in states["train/classifier/thumbs/train/diagnosis/seed=0"][1]


def test_explicit_defaults_and_the_order_of_keys_change_no_key(bench: Bench, suite: Suite) -> None:
    plain = _keys(bench("plan", suite(), "--no-costs", "--format", "json"))
    spelled = suite(
        "spelled.yaml",
        classifiers={"thumbs": {"params": {"side": 4, "lr": 2e-2}, "budget": "fine", "plugin": "thumbnails"}},
    )
    assert _keys(bench("plan", spelled, "--no-costs", "--format", "json")) == plain
    turned = suite("turned.yaml", **dict(reversed(TINY.items())))
    assert _keys(bench("plan", turned, "--no-costs", "--format", "json")) == plain


def _keys(ran: Ran) -> dict[str, str]:
    assert ran.code == 0, ran.err
    return {row["name"]: row["key"] for row in json.loads(ran.out)["stages"]}


@pytest.mark.usefixtures("prepared")
def test_only_and_skip(bench: Bench, suite: Suite) -> None:
    assert bench("run", suite(), "--only", "nothing-like-it").code == 3
    ran = bench("run", suite(), "--only", "score/classifier/thumbs/train/malignancy")
    assert ran.code == 0
    # the fit, its answers, their score and the cost; the data are there
    assert "1 stages cached, 3 done" in ran.err or "1 stages cached, 4 done" in ran.err


@pytest.mark.usefixtures("finished")
def test_force_runs_again(bench: Bench) -> None:
    ran = bench("run", "tiny.yaml", "--force", "train/generator/pixels")
    assert ran.code == 0
    assert "train/generator/pixels" in ran.err
    assert "train/classifier" not in ran.err


COLD = """
import functools, sys
from dermae_bench.execute import local
from dermae_bench.cli import main
# what else a server imports beforehand saves time, and nothing of it is needed here
local.LocalBackend = functools.partial(local.LocalBackend, ("torch", "pyarrow.parquet", "dermae_bench.execute.attempt"))
main(sys.argv[1:])
"""


def _cold(tmp_path: Path, *words: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COLD, *map(str, words), "--plugins-dir", str(PLUGINS)]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


SLOW: dict[str, Any] = {
    "tasks": ["malignancy"],
    "budgets": {"fine": {"steps": 12, "batch_size": 32, "checkpoint": 2}},
    "extractors": {},
    "generators": {},
    "image_sets": {},
    "generator_rows": [],
    "sample_metrics": [],
    "rows": [{"classifiers": "thumbs", "train": "train"}],
}


@pytest.fixture
def unbroken(shared: Path, warm_backend: Any) -> Path:
    """The slow suite, run without a break."""
    return made_once(shared / "unbroken", warm_backend, SLOW) / "results" / "tiny"


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_goes_on_and_gives_the_same_numbers(
    bench: Bench, suite: Suite, tmp_path: Path, unbroken: Path, how: signal.Signals
) -> None:
    path = suite(**SLOW)
    process = _cold(tmp_path, "run", path, THUMBNAIL_SECONDS="0.3")
    attempts = tmp_path / "results" / "store" / "attempts"
    try:
        _wait_for(lambda: list(attempts.glob("*/checkpoints/step-*")))
    finally:
        os.killpg(process.pid, how) if how == signal.SIGKILL else process.send_signal(how)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), output
    # a half-done run can be reported
    assert bench("report", path).code == 0
    assert {
        row["status"] for row in rows(tmp_path / "results" / "tiny", "classifiers") if row["kind"] == "measured"
    } == {"pending"}
    _wait_for(lambda: not _alive(attempts))
    resumed = bench("run", path)
    assert resumed.code == 0, resumed.err
    assert boards(tmp_path / "results" / "tiny") == boards(unbroken)


def _alive(attempts: Path) -> list[str]:
    """Processes that still work in one of the attempt folders."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith(str(attempts)):
            found.append(target)
    return found


READING = """
import json, sys
from dermae_bench.cli import main
# one process for all: whatever one of them imports stays, and is found after it
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as left:
        assert not left.code, (words, left.code)
    names = {"torch", "torchvision", "timm", "diffusers", "torchmetrics", "pandas", "scipy", "sklearn"}
    heavy = names & set(sys.modules)
    assert not heavy, (words, heavy)
"""


def test_commands_that_only_read_import_nothing_heavy(bench: Bench, finished: Ran, tmp_path: Path) -> None:
    assert bench("plugins", "list").code == 0
    (tmp_path / "table.csv").write_text("system,accuracy,f1\nA,.911,.9\nB,.897,.89\n")
    commands = [
        ["--help"],
        ["plugins"],
        ["list"],
        ["validate", "tiny.yaml"],
        ["plan", "tiny.yaml"],
        ["run", "tiny.yaml", "-q"],
        ["report", "tiny.yaml"],
        ["audit", "table.csv"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", READING, json.dumps(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_missing_reference_is_told_before_anything_runs(bench: Bench, suite: Suite, tmp_path: Path) -> None:
    for command in ("validate", "plan", "run"):
        ran = bench(command, suite(reference="nowhere.csv"))
        assert (ran.code, "nowhere.csv is not there" in ran.err) == (2, True)
    assert not (tmp_path / "results").exists()
