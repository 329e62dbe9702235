"""Entries of a store that were changed behind its back are found before anybody uses them."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stored import MUTATIONS, put

from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged
from tests.counting import record_count
from tests.e2e.conftest import Bench, Ran, bench, finished, tiny  # noqa: F401 (fixtures)

BOARDS = ("classifiers.csv", "classifiers.json", "generators.csv", "generators.json", "records.jsonl", "timings.csv")


def mutate(root: Path, count: int, seed: int) -> int:
    """Harm entries `count` times, each time one that was whole; returns how often that was found before use."""
    chance = random.Random(seed)
    store = Store(root / "store")
    entries = [put(store, number, kind) for number in range(4) for kind in ("train", "score", "predict")]
    for kind, key in entries:
        # what is remembered of a good look must not hide what happens afterwards
        store.checked(kind, key)
    found = 0
    for turn in range(count):
        (kind, key), (other_kind, other_key) = chance.sample(entries, 2)
        folders = store.folder(kind, key), store.folder(other_kind, other_key)
        for number, folder in enumerate(folders):
            shutil.copytree(folder, root / f"kept-{number}")
        how = MUTATIONS[turn % len(MUTATIONS)]
        how(*folders, chance)
        try:
            store.checked(kind, key)
        except Damaged as error:
            assert f"{kind}/{key}" in str(error), how.__name__
            assert "quarantine/" in str(error), how.__name__
            assert not store.has(kind, key)
            found += 1
        for number, folder in enumerate(folders):
            shutil.rmtree(folder, ignore_errors=True)
            (root / f"kept-{number}").rename(folder)
        shutil.rmtree(store.root / "quarantine", ignore_errors=True)
        assert store.checked(kind, key)
    return found


def test_harm_is_found_before_use(tmp_path: Path) -> None:
    assert mutate(tmp_path, len(MUTATIONS), 0) == len(MUTATIONS)


@pytest.mark.slow
def test_a_thousand_times(tmp_path: Path) -> None:
    assert mutate(tmp_path, 1000, 1) == 1000
    record_count("store mutations found before use", 1000)


@pytest.mark.parametrize("number", range(3))
def test_a_foreign_entry_under_the_right_key_is_refused(tmp_path: Path, number: int) -> None:
    store, theirs = Store(tmp_path / "store"), Store(tmp_path / "theirs")
    kind, key = put(theirs, 10 + number)
    target = store.folder(*put(store, number))
    shutil.rmtree(target)
    shutil.copytree(theirs.folder(kind, key), target)
    with pytest.raises(Damaged, match="holds the manifest of"):
        store.checked("train", target.name)


# -- through the commands --------------------------------------------------------------------------------------------


def harmed(folder: Path, name: str, how: Callable[[Path], None]) -> str:
    """Change one file of the one finished stage of that name; returns KIND/KEY of it."""
    for path in sorted((folder / "results" / "store").glob("*/*/manifest.json")):
        about = json.loads(path.read_bytes())
        if about["name"] == name:
            files = sorted(about["files"], key=lambda file: about["files"][file]["bytes"])
            how(path.parent / files[-1])
            return f"{about['kind']}/{about['key']}"
    raise AssertionError(f"no stage {name}")


def flip_last(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def boards(folder: Path) -> dict[str, bytes]:
    names = [name for name in BOARDS if name != "timings.csv"]
    return {name: (folder / "results" / "tiny" / name).read_bytes() for name in names}


def names_of(folder: Path) -> list[str]:
    """Finished stages whose files stand behind the boards."""
    found = []
    for path in sorted((folder / "results" / "store").glob("*/*/manifest.json")):
        about = json.loads(path.read_bytes())
        if about["files"] and about["kind"] in {"prepare", "train", "predict", "score", "sample"}:
            found.append(about["name"])
    return found


def mend(bench: Bench, folder: Path, name: str) -> None:  # noqa: F811
    before = boards(folder)
    place = harmed(folder, name, flip_last)
    shutil.rmtree(folder / "results" / "tiny")
    ran = bench("run", "tiny.yaml")
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err + ran.out
    kind, _, key = place.partition("/")
    if list((folder / "results" / "store" / "quarantine").glob(f"{kind}-{key}-*")):
        assert place in ran.err
    assert boards(folder) == before


@pytest.mark.slow
def test_a_damaged_stage_is_made_again_and_the_boards_are_the_same(bench: Bench, finished: Ran, tmp_path: Path) -> None:  # noqa: F811
    chance = random.Random(2)
    names = names_of(tmp_path)
    for name in chance.sample(names, min(20, len(names))):
        mend(bench, tmp_path, name)
        record_count("store mutations mended by a run", 1)


def test_report_of_a_damaged_store_says_so_in_one_line(bench: Bench, finished: Ran, tmp_path: Path) -> None:  # noqa: F811
    name = next(name for name in names_of(tmp_path) if name.startswith("predict/"))
    place = harmed(tmp_path, name, flip_last)
    shutil.rmtree(tmp_path / "results" / "tiny")
    ran = bench("report", "tiny.yaml")
    assert ran.code == 1
    lines = ran.err.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{name}: ")
    assert place in lines[0]
    assert "quarantine/" in lines[0]
    assert lines[1].strip() == "`dermae-bench run` makes it again"
