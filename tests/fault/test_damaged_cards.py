"""Damage in the cache of cards: what was kept is used as it was written, or made anew without a word."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermae_bench.bounded.files import LARGEST_TEXT
from dermae_bench.bounded.memos import kept
from dermae_bench.errors import PluginError
from dermae_bench.plugin import catalog as module
from dermae_bench.plugin import conversions
from dermae_bench.plugin.cards import told_of
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.data import Task
from tests.counting import record_count

CARD = {
    "kind": "generator",
    "doc": "Draws.\n\nMore words.",
    "params": {"properties": {"lr": {"type": "number", "default": 0.02}}, "required": []},
    "sampling": {"properties": {}},
    "columns": [],
    "flags": {"tiny": True, "conditional": False},
    "libraries": ["torch"],
}
TASK = {"name": "dx", "classes": ["MEL", "NV"], "positive": None, "parent": None, "mapping": {}, "image_size": 0}
TOLD = {"tasks": [TASK], "counts": {"train": {"MEL": 3, "NV": 4}}, "attributes": {"age": "number"}, "wrong": None}
Damage = Callable[[Path], object]
Make = Callable[[], Catalog]


class Asked:
    """Answers in place of a child, and how often."""

    def __init__(self) -> None:
        self.times = 0
        self.card: Mapping[str, Any] = CARD
        self.told: Mapping[str, Any] = TOLD

    def __call__(self, questions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        self.times += 1
        return [self.card if "card" in question else self.told for question in questions]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(module, "ask", made)
    return made


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(f"def dermae_generators():\n    return {{'{name}': None}}\n")
    return folder


@pytest.fixture
def catalog(plugins: Path, tmp_path: Path, asked: Asked) -> Make:
    """A new one each time, as each command has."""
    return lambda: Catalog(plugins, tmp_path / "cache")


def _other_text(old: str, new: str) -> Damage:
    def damage(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return damage


def _older(path: Path) -> None:
    """As it was written before there were digests."""
    path.write_text(json.dumps(json.loads(path.read_text())["value"]))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _too_large(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(LARGEST_TEXT + 1)


ANY = {
    "older": _older,
    "pipe": _pipe,
    "folder": _folder,
    "link": _link_to_itself,
    "too-large": _too_large,
    "empty": lambda path: path.write_text(""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "text-behind": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "number": lambda path: path.write_text("3"),
    "null": lambda path: path.write_text("null"),
    "deep": lambda path: path.write_text("[" * 200_000),
    "no-text": lambda path: path.write_bytes(b"\xff\xfe" * 100),
    "zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
}
CARDS = ANY | {
    "value": _other_text("0.02", "0.92"),
    "type": _other_text('"libraries":["torch"]', '"libraries": 5'),
    "no-mapping": lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), "params": "x"})),
}
TASKS = ANY | {
    "value": _other_text('"MEL":3', '"MEL":9'),
    "type": _other_text(json.dumps(TOLD["tasks"], separators=(",", ":")), "3"),
    "older-type": lambda path: path.write_text('{"tasks": 3, "counts": null, "attributes": null}'),
}


@pytest.mark.parametrize("damage", CARDS.values(), ids=CARDS)
def test_a_damaged_card_is_made_anew(catalog: Make, asked: Asked, tmp_path: Path, damage: Damage) -> None:
    first = catalog().card("generator", "one")
    assert catalog().card("generator", "one") == first
    assert asked.times == 1
    (path,) = (tmp_path / "cache" / "cards").iterdir()
    damage(path)
    assert catalog().card("generator", "one").params == CARD["params"]
    assert asked.times == 2
    if not path.is_dir() or path.is_symlink():
        assert catalog().card("generator", "one") == first
        assert asked.times == 2


@pytest.mark.parametrize("damage", TASKS.values(), ids=TASKS)
def test_damaged_tasks_are_read_anew(catalog: Make, asked: Asked, tmp_path: Path, damage: Damage) -> None:
    assert catalog().counts("one", {}, "facts") == catalog().counts("one", {}, "facts") == TOLD["counts"]
    assert asked.times == 1
    (path,) = (tmp_path / "cache" / "tasks").iterdir()
    damage(path)
    assert catalog().counts("one", {}, "facts") == TOLD["counts"]
    assert asked.times == 2


def test_a_sound_card_in_anothers_place_is_not_its_own(catalog: Make, asked: Asked, tmp_path: Path) -> None:
    catalog().card("generator", "one")
    (one,) = (tmp_path / "cache" / "cards").iterdir()
    asked.card = {**CARD, "doc": "Another."}
    catalog().card("generator", "two")
    (two,) = set((tmp_path / "cache" / "cards").iterdir()) - {one}
    shutil.copy(one, two)
    assert catalog().card("generator", "two").doc == "Another."


def test_every_damaged_byte_is_seen(catalog: Make, tmp_path: Path) -> None:
    catalog().card("generator", "one")
    catalog().tasks("one", {}, "facts")
    rng, tried = np.random.default_rng(0), 0
    for folder in ("cards", "tasks"):
        (path,) = (tmp_path / "cache" / folder).iterdir()
        sound, value = path.read_bytes(), kept(path)
        assert value is not None
        for at in range(len(sound)):
            bad = bytearray(sound)
            bad[at] ^= int(rng.integers(1, 256))
            path.write_bytes(bad)
            assert kept(path) is None, at
            tried += 1
        path.write_bytes(sound)
        assert kept(path) == value
    record_count("damaged bytes of cards seen", tried)


@pytest.mark.parametrize(
    "answer",
    [{"params": "x"}, {"libraries": 5}, {"libraries": [5]}, {"columns": [3]}, {"surplus": 1}, {"doc": None}],
    ids=lambda answer: next(iter(answer)),
)
def test_an_answer_that_is_no_card_is_the_plugins_error(catalog: Make, asked: Asked, answer: Mapping[str, Any]) -> None:
    asked.card = {**CARD, **answer}
    with pytest.raises(PluginError, match="'one' cannot be used: what it promises cannot be read"):
        catalog().card("generator", "one")


@pytest.mark.parametrize("told", [{}, {**TOLD, "tasks": 3}, {**TOLD, "tasks": [{}]}, {**TOLD, "counts": {"train": 3}}])
def test_an_answer_without_tasks_is_the_plugins_error(catalog: Make, asked: Asked, told: Mapping[str, Any]) -> None:
    asked.told = told
    with pytest.raises(PluginError, match="'one' cannot tell its tasks"):
        catalog().tasks("one", {}, "facts")


def test_what_json_does_not_know_is_kept_all_the_same(catalog: Make, asked: Asked) -> None:
    asked.card = {**CARD, "params": {"properties": {"clip": {"default": float("inf")}, "name": {"default": "\udcff"}}}}
    assert (
        catalog().card("generator", "one").params == catalog().card("generator", "one").params == asked.card["params"]
    )
    assert asked.times == 1


def test_a_task_is_known_by_its_fields() -> None:
    assert {about.name for about in fields(Task)} == set(TASK)
    assert told_of(TOLD) == TOLD


@pytest.mark.parametrize("damage", [_pipe, _folder, _link_to_itself, _too_large, ANY["deep"]])
def test_what_is_said_of_a_conversion_is_read_as_carefully(tmp_path: Path, damage: Damage) -> None:
    state, about = tmp_path / "state.safetensors", tmp_path / "state.json"
    about.write_text(json.dumps({"version": 1, "sha256": "0", "source": "state"}))
    damage(about)
    assert conversions._kept(state, about) is None
