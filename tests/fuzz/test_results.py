"""Results folders of strangers: `verify`, `compare` and `list` name what is wrong and never break."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile
import pytest
import verified_folder

from dermae_bench.commands.comparing import compare_results
from dermae_bench.commands.listing import list_results
from dermae_bench.errors import BenchError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import FILE
from dermae_bench.report.verify.digests import write_digests
from dermae_bench.report.verify.render import json_report, terminal_report
from dermae_bench.report.verify.verify import verify
from tests.counting import record_count
from tests.result_folders import Folder, answers, images
from tests.sharing import shared_folder

STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 2**63, 1e308, -0.0, "", "x", "../../etc/passwd", "\x1b[2J", "\u202e", "=1+1",
    "a" * 5_000, [], {}, [[]], [None], {"": None}, {"sha256": "?"}, "ok", "failed", "test", "generated", [1, 2],
    {"name": "x"},
)  # fmt: skip
TEXTS = ("evidence.json", "records.jsonl", "classifiers.json", "generators.json", "suite.resolved.yaml", "SHA256SUMS",
         "classifiers.csv", "leaderboard.md", "timings.csv")  # fmt: skip
TABLES = ("predictions.parquet", "images.parquet")


@pytest.fixture(scope="module")
def whole(shared: Path) -> Path:
    return shared_folder(shared, "verified", verified_folder.results_folder) / "results" / "tiny"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `compare` reads: two rows of two seeds."""
    test = images(lesions=12)
    folder = Folder(tmp_path_factory.mktemp("small") / "results" / "small", metrics=("accuracy", "brier"))
    for name, right in (("a", 0.6), ("b", 0.8)):
        folder.row(name, test, [answers(test, right, seed) for seed in (1, 2)])
    return folder.write()


def structure(value: Any, chance: random.Random) -> Any:
    """One value somewhere inside taken out, doubled, moved or replaced."""
    places = list(_places(value))
    if not places:
        return copy.deepcopy(chance.choice(STRANGE))
    holder, step = chance.choice(places)
    kind = chance.randrange(4)
    if kind == 0:
        del holder[step]
    elif kind == 1 and isinstance(holder, list):
        holder.extend(copy.deepcopy(holder[: chance.choice((1, len(holder)))]))
    elif kind == 2:
        other, at = chance.choice(places)
        # a copy: a value inside itself is no JSON
        holder[step] = json.loads(json.dumps(other[at])) if step in holder or isinstance(holder, list) else None
    else:
        holder[step] = copy.deepcopy(chance.choice(STRANGE))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in list(items):
        yield value, step
        yield from _places(inner)


def harmed(data: bytes, name: str, chance: random.Random) -> bytes:
    """The bytes of a file, changed as bytes or, where it is JSON, as a value."""
    if not name.endswith((".json", ".jsonl")) or chance.random() < 0.4:
        return hostile.mutated(data, chance)
    lines = data.decode().splitlines() if name.endswith(".jsonl") else [data.decode()]
    place = chance.randrange(len(lines))
    try:
        value = json.loads(lines[place])
    except ValueError:
        return hostile.mutated(data, chance)
    for _ in range(chance.choice((1, 1, 2, 5))):
        value = structure(value, chance)
    lines[place] = json.dumps(value)
    return ("\n".join(lines) + ("\n" if name.endswith(".jsonl") else "")).encode()


def fuzz(whole: Path, place: Path, names: tuple[str, ...], count: int, seed: int, use: Callable[[Path], None]) -> None:
    """Change one file of a copy at a time, `count` times, and put it back."""
    folder = place / "results" / whole.name
    shutil.copytree(whole, folder)
    store = whole.parent / "store"
    if store.is_dir() and seed % 2:
        (place / "results" / "store").symlink_to(store)
    names = tuple(name for name in names if (folder / name).is_file())
    chance = random.Random(seed)
    for number in range(count):
        name = names[number % len(names)]
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(harmed(before, name, chance))
        if name != "SHA256SUMS" and chance.random() < 0.8:
            write_digests(folder)
        with hostile.bounded():
            use(folder)
        (folder / name).write_bytes(before)


def verified(catalog: Catalog) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        store = folder.parent / "store"
        try:
            report = verify(folder, store=store if store.is_dir() else None, without_store=False, catalog=catalog)
        except BenchError as error:
            assert error.exit_code == 2
            return
        shown = terminal_report(report)
        assert "\x1b" not in shown
        json.loads(json_report(report))

    return use


def compared(folder: Path) -> None:
    try:
        code = compare_results([str(folder), "a", "b"], metrics=["accuracy"])
        assert code == 0
    except BenchError as error:
        assert error.exit_code == 2
        assert 0 < len(error.message) < 3_000


def listed(folder: Path) -> None:
    try:
        assert list_results(folder.parent, "table") == 0
    except BenchError as error:
        assert error.exit_code == 2


def test_some_changed_folders_are_verified(whole: Path, tmp_path: Path) -> None:
    fuzz(whole, tmp_path, (*TEXTS, *TABLES), 5, 0, verified(Catalog()))


def test_some_changed_folders_are_compared(small: Path, tmp_path: Path) -> None:
    fuzz(small, tmp_path, ("evidence.json", "records.jsonl", "predictions.parquet"), 15, 0, compared)


def test_some_changed_folders_are_listed(whole: Path, tmp_path: Path) -> None:
    fuzz(whole, tmp_path, ("classifiers.json", "generators.json"), 20, 0, listed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_changed_folders_are_verified(whole: Path, tmp_path: Path, seed: int) -> None:
    fuzz(whole, tmp_path, (*TEXTS, *TABLES), 150, seed, verified(Catalog()))
    record_count("inputs fuzzed: result files", 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_changed_folders_are_compared(small: Path, tmp_path: Path, seed: int) -> None:
    fuzz(small, tmp_path, ("evidence.json", "records.jsonl", "predictions.parquet"), 600, seed, compared)
    record_count("inputs fuzzed: result files", 600)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_changed_folders_are_listed(whole: Path, tmp_path: Path, seed: int) -> None:
    fuzz(whole, tmp_path, ("classifiers.json", "generators.json"), 500, seed, listed)
    record_count("inputs fuzzed: result files", 500)


@pytest.mark.slow
def test_a_million_records_are_too_many(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(small, folder)
    line = (folder / "records.jsonl").read_text().splitlines()[0]
    with (folder / "records.jsonl").open("w") as records:
        records.writelines(line + "\n" for _ in range(1_000_000))
    with pytest.raises(BenchError, match=r"records\.jsonl"):
        compare_results([str(folder), "a", "b"])
    assert (folder / FILE).is_file()
