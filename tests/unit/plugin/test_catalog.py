"""Finding plugins without importing them: cards, clashes, and plugins that misbehave while they are imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.errors import DataMissing, PluginError
from dermae_bench.plugin import asking
from dermae_bench.plugin import catalog as module
from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.plugin.hookspecs import GROUP

METRIC = '''
"""A metric that needs no torch, so that its card is made quickly."""
from dataclasses import dataclass
from dermae_bench import api
{top}

class Share(api.PredictionMetric):
    """Share of right answers.

    More words."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        power: float = {power}
        """An exponent."""

    @classmethod
    def columns(cls, config):
        return [api.Column(name="share", better="higher")]

    def values(self, predictions):
        return {{"share": 1.0}}

@api.hookimpl
def dermae_metrics():
    return {{"{name}": Share}}
'''

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "plugins"
    path.mkdir()
    return path


@pytest.fixture
def write(folder: Path) -> Write:
    def write(file: str = "share", name: str | None = None, top: str = "", power: float = 1.0) -> Path:
        path = folder / f"{file}.py"
        path.write_text(METRIC.format(name=name or file, top=top, power=power))
        return path

    return write


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def catalog(folder: Path, cache: Path) -> Catalog:
    return Catalog(folder, cache)


def test_a_card_says_what_a_plugin_promises(write: Write, catalog: Catalog) -> None:
    write()
    card = catalog.card("metric", "share")
    assert (card.kind, card.name, card.origin, card.error) == ("metric", "share", "share.py", None)
    assert card.doc.splitlines()[0] == "Share of right answers."
    assert card.params["properties"]["power"]["default"] == 1.0
    assert card.columns[0]["name"] == "share"
    assert card.flags["metric"] == "prediction"
    assert list(card.files) == ["share"]
    assert card.libraries == []


def test_cards_are_made_once_and_kept(write: Write, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # what the children do with bytecode must not depend on who runs the tests
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    write("one")
    write("two")
    asked: list[int] = []
    real = module.ask

    def ask(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        asked.append(len(questions))
        return real(questions)

    monkeypatch.setattr(module, "ask", ask)
    first = Catalog(folder, cache)
    first.prefetch(["one", "two", "nobody"])
    # both in one child process
    assert asked == [2]
    assert Catalog(folder, cache).card("metric", "one") == first.card("metric", "one")
    assert asked == [2]
    write("one", power=2.0)
    assert Catalog(folder, cache).card("metric", "one").params["properties"]["power"]["default"] == 2.0
    Catalog(folder, cache).card("metric", "two")
    assert asked == [2, 1]
    for path in (cache / "cards").iterdir():
        path.write_text("{")
    Catalog(folder, cache).card("metric", "two")
    assert asked == [2, 1, 1]


def test_a_cache_that_cannot_be_written_costs_time_alone(write: Write, folder: Path, tmp_path: Path) -> None:
    write()
    (tmp_path / "file").write_text("")
    assert Catalog(folder, tmp_path / "file").card("metric", "share").error is None


FAULTS = {
    "unknown": ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found' (unknown.py, line 5)"),
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "vanishes": ("import os; os._exit(0)", "importing it ended the process"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "importing it ended the process"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "importing it ended the process"),
    "unparsed": ("def broken(:", "unparsed.py, line 5: invalid syntax"),
    "nul": ("x = '\0'", "null bytes"),
    "shadow": ("class api: pass", "api"),
}


def test_broken_plugins_have_their_reasons_and_the_others_work(write: Write, catalog: Catalog) -> None:
    names = [name for fault in FAULTS for name in (fault, f"after-{fault}")]
    for name in names:
        write(name, top=FAULTS[name][0] if name in FAULTS else "")
    references = [catalog.reference(name) for name in names]
    for name, card in zip(names, catalog.cards(references), strict=True):
        if name in FAULTS:
            assert FAULTS[name][1] in str(card.error)
            with pytest.raises(PluginError, match=f"plugin {name!r} cannot be used"):
                catalog.card("metric", name)
        else:
            assert card.error is None
            assert catalog.card("metric", name).kind == "metric"


def test_what_a_plugin_prints_reaches_nobody(write: Write, catalog: Catalog, capfd: pytest.CaptureFixture[str]) -> None:
    write(top="import os, sys\nprint('hello'); print('there', file=sys.stderr); os.write(1, b'raw')")
    assert catalog.card("metric", "share").error is None
    assert capfd.readouterr() == ("", "")


def test_a_plugin_that_hangs_is_given_up(write: Write, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "CARD_SECONDS", 1.5)
    monkeypatch.setattr(asking, "_LOOK_SECONDS", 0.1)
    write("share")
    write("waits", top="import time; time.sleep(60)")
    shared, waiting = catalog.cards([catalog.reference("share"), catalog.reference("waits")])
    assert shared.error is None
    assert "took too long" in str(waiting.error)


def test_a_broken_plugin_is_mended_without_a_change_of_its_source(write: Write, folder: Path, cache: Path) -> None:
    write(top="import comes_later")
    assert Catalog(folder, cache).cards([Catalog(folder, cache).reference("share")])[0].error
    (folder / "comes_later.py").write_text("")
    assert Catalog(folder, cache).card("metric", "share").error is None


def test_a_file_in_the_users_folder_takes_no_librarys_place(
    write: Write, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pluggy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    write()
    assert catalog.card("metric", "share").error is None


def test_clashes_are_errors_only_for_those_who_use_the_name(write: Write, catalog: Catalog) -> None:
    write("one", name="same")
    write("two", name="same")
    write("three", name="kid")
    write("alone")
    for name, places in (("same", r"one .one\.py. and two"), ("kid", "frechet|kid .*three")):
        with pytest.raises(PluginError, match=f"{name!r} is declared twice: by .*({places})"):
            catalog.card("metric", name)
    assert catalog.card("metric", "alone").error is None
    assert [found.origin for found in catalog.references["same"]] == ["one.py", "two.py"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    # as if few were installed: the cards of all of them take their time
    found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name in ("kid", "image-folder")]
    monkeypatch.setattr("dermae_bench.plugin.catalog.metadata.entry_points", lambda group: found)


def test_names_of_a_kind_are_known_without_a_card(write: Write, catalog: Catalog, few: None) -> None:
    write()
    write("cracked", top="import nowhere_to_be_found")
    assert catalog.names("dataset") == ["image-folder"]
    assert catalog.names("metric") == ["kid", "share"]
    assert catalog.names() == ["cracked", "image-folder", "kid", "share"]


def test_an_unknown_name_leads_to_the_files_that_cannot_be_read(write: Write, folder: Path, cache: Path) -> None:
    assert Catalog(None, cache).elsewhere == "one of your own needs --plugins-dir DIR"
    write()
    assert Catalog(folder, cache).elsewhere == f"no file of {folder} declares it"
    for number in range(4):
        write(f"cracked-{number}", top="def broken(:")
    with pytest.raises(PluginError) as caught:
        Catalog(folder, cache).reference("of-a-cracked-one")
    told = str(caught.value)
    assert told.startswith("unknown plugin 'of-a-cracked-one'\n")
    assert "cracked-0.py, line 5: invalid syntax; cracked-1.py, line 5" in told
    assert "(and 1 more files)" in told
    assert "needs --plugins-dir" not in told


def test_unknown_names_and_wrong_kinds_are_told(write: Write, catalog: Catalog, few: None) -> None:
    write()
    with pytest.raises(PluginError, match="unknown plugin 'shaer'"):
        catalog.card("metric", "shaer")
    with pytest.raises(PluginError, match="'share' is a metric, not a generator"):
        catalog.card("generator", "share")
    assert "share" in catalog.names("metric")
    assert "share" not in catalog.names("generator")
    with pytest.raises(PluginError, match=r"plugins folder .*nowhere is not there"):
        Catalog(Path("nowhere")).names()


def test_a_file_names_a_plugin_without_being_installed(write: Write, cache: Path, tmp_path: Path) -> None:
    path = write("mine", name="kid")
    catalog = Catalog(None, cache)
    card = catalog.card("metric", f"{path}:kid")
    # keys hold this name: no folder is in it, and it is not taken for the installed plugin
    assert card.name == "mine.py:kid"
    assert catalog.reference(card.name).file == str(path)
    assert catalog.reference("kid").file is None
    assert catalog.card("metric", f"{path}:Share").name == "mine.py:Share"
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "mine.py"
    other.write_text(path.read_text())
    with pytest.raises(PluginError, match="rename one of the files"):
        catalog.card("metric", f"{other}:kid")
    with pytest.raises(PluginError, match=r"nowhere\.py is not there"):
        catalog.card("metric", "nowhere.py:kid")
    with pytest.raises(PluginError, match="declares no 'other'"):
        catalog.card("metric", f"{path}:other")


def test_odd_entries_of_a_plugins_folder_do_no_harm(write: Write, folder: Path, catalog: Catalog) -> None:
    write()
    (folder / "folder.py").mkdir()
    (folder / "lost.py").symlink_to(folder / "nowhere")
    (folder / "helper.py").write_text("x = 1")
    (folder / "notes.txt").write_text("")
    assert catalog.card("metric", "share").error is None
    broken = catalog.cards([catalog.reference("lost"), catalog.reference("folder")])
    assert all("cannot be read" in str(card.error) for card in broken)
    assert "helper" not in catalog.references


def test_reading_cards_imports_nothing_heavy(write: Write, folder: Path, cache: Path) -> None:
    write()
    Catalog(folder, cache).card("metric", "share")
    script = (
        "import sys\nfrom pathlib import Path\nfrom dermae_bench.plugin.catalog import Catalog\n"
        "assert Catalog(Path(sys.argv[1]), Path(sys.argv[2])).card('metric', 'share').kind == 'metric'\n"
        "assert not {'torch', 'numpy', 'share'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, folder, cache], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- tasks -------------------------------------------------------------------------------------------------------

DATASET = '''
from dataclasses import dataclass
from pathlib import Path
from dermae_bench import api

class Lines(api.Dataset):
    """Classes from a file."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        root: api.Folder
        """Where they lie."""
        image_size: int = 8
        """Side."""

    home = "ask the author"

    @classmethod
    def tasks(cls, config):
        file = Path(config.root) / "classes.txt"
        if not file.is_file():
            raise api.DataMissing(f"{file} is not there")
        if file.read_text() == "die":
            import os
            os._exit(1)
        return [api.Task(name="diagnosis", classes=tuple(file.read_text().split()))]

    def examples(self):
        file = Path(self.config.root, "images.txt")
        if not file.is_file():
            raise api.DataMissing("no images")
        lines = [line.split() for line in file.read_text().splitlines()]
        return [api.Example(id=name, group=name, split=split, label=label) for name, split, label in lines]

    @property
    def split_rule(self):
        return "none"

@api.hookimpl
def dermae_datasets():
    return {"lines": Lines}
'''


def test_tasks_are_read_in_a_child_and_kept_under_what_they_depend_on(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lines.py").write_text(DATASET)
    catalog = Catalog(folder, cache)
    params = {"root": str(tmp_path), "image_size": 8}
    assert catalog.card("dataset", "lines").flags["home"] == "ask the author"
    with pytest.raises(DataMissing, match=r"classes\.txt is not there"):
        catalog.tasks("lines", params, "nothing")
    (tmp_path / "classes.txt").write_text("MEL NV")
    (task,) = catalog.tasks("lines", params, "two")
    assert task["classes"] == ["MEL", "NV"]
    with monkeypatch.context() as patch:
        patch.setattr(module, "ask", lambda questions: [{"error": "asked again"}])
        assert catalog.tasks("lines", params, "two") == [task]
        with pytest.raises(PluginError, match="'lines' cannot tell its tasks: asked again"):
            catalog.tasks("lines", params, "three")
    (tmp_path / "classes.txt").write_text("die")
    with pytest.raises(PluginError, match="ended the process"):
        catalog.tasks("lines", params, "four")


def test_images_are_counted_where_they_are_there(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lines.py").write_text(DATASET)
    catalog = Catalog(folder, cache)
    params = {"root": str(tmp_path), "image_size": 8}
    (tmp_path / "classes.txt").write_text("MEL NV")
    assert catalog.counts("lines", params, "no images") is None
    (tmp_path / "images.txt").write_text("a train NV\nb train NV\nc test MEL\n")
    counts = catalog.counts("lines", params, "three")
    assert counts == {"train": {"MEL": 0, "NV": 2}, "val": {"MEL": 0, "NV": 0}, "test": {"MEL": 1, "NV": 0}}
    with monkeypatch.context() as patch:
        patch.setattr(module, "ask", lambda questions: [{"error": "asked again"}])
        # the child that told the tasks has counted, too
        assert [task["name"] for task in catalog.tasks("lines", params, "three")] == ["diagnosis"]
        assert Catalog(folder, cache).counts("lines", params, "three") == counts
        assert catalog.counts("lines", params, "no images") is None
    # a fault of the plugin is told by the stage that reads the images
    for wrong in ("a train BCC\n", "a everywhere NV\n", "a train\n"):
        (tmp_path / "images.txt").write_text(wrong)
        assert catalog.counts("lines", params, wrong) is None
        assert len(catalog.tasks("lines", params, wrong)) == 1
        assert catalog.wrong("lines", params, wrong) is None
    assert catalog.wrong("lines", params, "no images") == "no images"


def test_an_answer_of_another_version_is_asked_again(folder: Path, cache: Path, tmp_path: Path) -> None:
    (folder / "lines.py").write_text(DATASET)
    (tmp_path / "classes.txt").write_text("MEL NV")
    catalog, params = Catalog(folder, cache), {"root": str(tmp_path), "image_size": 8}
    (task,) = catalog.tasks("lines", params, "x")
    (kept,) = (cache / "tasks").iterdir()
    for text in (json.dumps([task]), '{"tasks": []', '{"tasks": []}', "3"):
        kept.write_text(text)
        assert catalog.tasks("lines", params, "x") == [task]


def test_a_card_survives_json() -> None:
    card = Card("a", "metric", columns=[{"name": "x"}])
    assert Card(**json.loads(json.dumps(vars(card)))).columns == [{"name": "x"}]
