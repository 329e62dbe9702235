"""Who publishes a results folder does so alone: whole files of one suite, whoever is slow, killed, or called alike."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from runs import BOARDS, SMALL, Unbroken, Zygote, boards, tracebacks

from dermae_bench.commands import publishing, sole_publisher
from dermae_bench.commands.building import Built
from dermae_bench.durable import TEMPORARY, digest_file
from dermae_bench.report.listed import write_changed
from dermae_bench.report.verify.digests import SUMS, check_digests, members, write_digests
from dermae_bench.report.verify.findings import Report
from dermae_bench.store import leases
from dermae_bench.store.artifacts import Store
from tests.counting import record_count

NAMES = [f"file-{number}" for number in range(12)]


def agrees(folder: Path) -> bool:
    """Whether the list of digests is right, and complete."""
    report = Report(folder="any")
    check_digests(folder, report)
    return not report.findings


class Example:
    """Suites of one name whose files hold a word each, written as slowly as asked."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.folder = place / "suite"
        self.built: list[str] = []
        self.between: Callable[[str, str], None] = lambda word, name: None
        """Called after each file, with the word and the file's name."""
        monkeypatch.setattr(publishing, "build", self._build)
        monkeypatch.setattr(publishing, "_state", lambda session: session.word)
        monkeypatch.setattr(publishing, "_replaced", lambda session, memo: None)
        monkeypatch.setattr(publishing, "echo", lambda text="", err=False: None)

    def publish(self, word: str) -> None:
        loaded = SimpleNamespace(path=self.place / f"{word}.yaml")
        about = SimpleNamespace(
            loaded=loaded, store=Store(self.place / "store"), folder=self.folder, stages=(), word=word
        )
        publishing.publish(cast("publishing.Session", about), "table")

    def words(self) -> set[str]:
        return {(self.folder / name).read_text() for name in NAMES}

    def _build(self, session: Any, folder: Path, width: int) -> Built:
        written: dict[Path, str] = {}
        for name in NAMES:
            write_changed(folder / name, session.word.encode(), written)
            self.between(session.word, name)
        write_digests(folder, written)
        self.built.append(session.word)
        digests = {path.name: digest for path, digest in written.items()}
        return Built(text={"generators": "", "classifiers": "", "facts": session.word}, digests=digests)


def waits_for(example: Example, store: Store, seconds: float) -> None:
    """Publish `a` while somebody holds the folder from `store`: nothing is written in these seconds, all of it then."""
    with sole_publisher.sole_publisher(store, example.folder):
        waiting = threading.Thread(target=example.publish, args=("a",))
        waiting.start()
        time.sleep(seconds)
        assert waiting.is_alive() and not example.built
    waiting.join(10.0)
    assert example.built.pop() == "a" and not example.built


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    return Example(tmp_path, monkeypatch)


def test_publishers_side_by_side_never_mix_and_the_last_one_stays(example: Example) -> None:
    inside: set[str] = set()
    crowds = []

    def slow(word: str, name: str) -> None:
        inside.add(word)
        crowds.append(len(inside))
        time.sleep(0.005)
        if name == NAMES[-1]:
            inside.discard(word)

    example.between = slow
    words = [f"word-{number}" for number in range(4)]
    threads = [threading.Thread(target=example.publish, args=(word,)) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert sorted(example.built) == words and set(crowds) == {1}
    assert example.words() == {example.built[-1]}
    assert agrees(example.folder)
    # the memo is of the last one, too: nothing is left to do
    example.publish(example.built[-1])
    assert len(example.built) == len(words)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1], SUMS])
def test_what_another_one_wrote_meanwhile_is_neither_listed_nor_believed(example: Example, name: str) -> None:
    def intrude(word: str, written: str) -> None:
        # as by a publisher on a machine whose locks do not reach here
        if written == NAMES[-1] and name != SUMS:
            (example.folder / name).write_text("b")

    example.between = intrude
    example.publish("a")
    if name == SUMS:
        (example.folder / SUMS).write_text("b")
    assert not agrees(example.folder)
    example.between = lambda word, written: None
    example.publish("a")
    assert example.words() == {"a"} and agrees(example.folder)
    example.publish("a")
    assert example.built == ["a", "a"]


def test_a_changed_file_is_found_whatever_its_size_and_times(example: Example) -> None:
    example.publish("a")
    changed = example.folder / NAMES[3]
    about = changed.stat()
    changed.write_text("b")
    os.utime(changed, ns=(about.st_atime_ns, about.st_mtime_ns))
    example.publish("a")
    assert example.words() == {"a"}
    # a file that nobody wrote is listed from then on
    (example.folder / "notes.txt").write_text("mine")
    assert not agrees(example.folder)
    example.publish("a")
    assert agrees(example.folder)
    assert (example.folder / "notes.txt").read_text() == "mine"
    example.publish("a")
    assert len(example.built) == 3


def test_what_finished_while_it_was_written_is_written_again(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["half", "whole", "whole", "whole", "whole"])
    monkeypatch.setattr(publishing, "_state", lambda session: next(states))
    for _ in range(3):
        example.publish("a")
    # of the first nobody knows what is in it; the second is whole, and the third finds it so
    assert example.built == ["a", "a"]


def test_leftovers_of_a_killed_publisher_go_and_are_never_listed(example: Example) -> None:
    for place in (example.folder, example.folder / "figures", example.folder / "own"):
        place.mkdir()
        (place / f"{TEMPORARY}0123.csv").write_text("half")
    example.publish("a")
    assert sorted(set(members(example.folder)) - set(NAMES)) == [f"own/{TEMPORARY}0123.csv"]
    assert agrees(example.folder)


def test_who_waits_says_for_whom(
    example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sole_publisher, "PATIENCE", 0.1)
    store, other = Store(example.place / "store"), Store(example.place / "another store")

    waits_for(example, store, 0.4)
    told = capsys.readouterr().err
    start = f"{example.folder} is being written: waiting for process {os.getpid()} on host "
    assert told.startswith(start) and "works on the results folder suite since 2" in told and told.count("\n") == 1
    # the folder is one and the same, though the stores are not
    shutil.rmtree(example.folder)
    waits_for(example, other, 0.4)
    assert "waiting for a process that publishes it from another store" in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_place_without_locks_is_published_all_the_same(
    example: Example, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(handle: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(leases.fcntl, "flock", flock)
    example.publish("a")
    assert example.words() == {"a"} and agrees(example.folder)


def test_one_who_may_not_write_in_the_store_is_kept_apart_by_the_folder(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lease: leases.Lease) -> bool:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(lease.path))

    monkeypatch.setattr(leases.Lease, "take", refuse)
    waits_for(example, Store(example.place / "store"), 0.2)
    assert example.words() == {"a"}


def test_a_full_disk_is_no_missing_lock(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lease: leases.Lease) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(lease.path))

    monkeypatch.setattr(leases.Lease, "take", refuse)
    with pytest.raises(OSError, match="No space left"):
        example.publish("a")
    assert not example.built


# -- whole commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def place(unbroken: Unbroken, shared: Path, tmp_path: Path) -> Path:
    """The small suite, finished, and another one of its name that needs no stage more."""
    folder = tmp_path / "place"
    shutil.copytree(shared / "small-suite" / "run", folder)
    (folder / "said.log").unlink()
    (folder / "v2.yaml").write_text(yaml.safe_dump({**SMALL, "description": "another one"}, sort_keys=False))
    return folder


def report(zygote: Zygote, folder: Path, suite: str, **environment: str) -> int:
    return zygote.code(zygote.start(folder, "report", suite, environment=environment))


def points(zygote: Zygote, folder: Path) -> list[dict[str, Any]]:
    """The fault points of `report small.yaml`, with another suite's results in its place."""
    log = folder.parent / "points"
    log.unlink(missing_ok=True)
    assert report(zygote, folder, "v2.yaml") == 0
    assert report(zygote, folder, "small.yaml", DERMAE_FAULT="count", DERMAE_FAULT_LOG=str(log)) == 0
    return [json.loads(line) for line in log.read_text().splitlines()]


def renames(zygote: Zygote, folder: Path) -> list[int]:
    """Those at which files get their names."""
    passed = points(zygote, folder)
    return [point["n"] for point in passed if point["kind"] == "rename" and "/results/small/" in point["path"]]


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def digests(folder: Path) -> dict[str, str]:
    results = folder / "results" / "small"
    return {name: digest_file(results / name) for name in [*members(results), SUMS]}


@pytest.mark.xdist_group("zygote")
def test_a_slow_publisher_is_waited_for_and_a_killed_one_is_healed(
    zygote: Zygote, unbroken: Unbroken, place: Path
) -> None:
    results = place / "results" / "small"
    named = renames(zygote, place)
    small = digests(place)
    assert boards(place) == unbroken.boards and agrees(results)
    assert report(zygote, place, "v2.yaml") == 0
    v2 = digests(place)
    assert {name for name in v2 if v2[name] != small[name]} >= {"evidence.json", "report.html", SUMS}
    said = (place / "said.log").read_text()
    assert said.count("held the results of") == 3 and f"{place / 'small.yaml'}, which has this name, too" in said

    slow = zygote.start(place, "report", "small.yaml", environment={"DERMAE_FAULT": f"stop@{named[1]}"})
    end = time.monotonic() + 30.0
    while not stopped(zygote.pid(slow)):
        assert time.monotonic() < end
        time.sleep(0.02)
    half = digests(place)
    other = zygote.start(place, "report", "v2.yaml")
    impatient = zygote.start(place, "report", "v2.yaml")
    assert not zygote.ended(other, 0.8) and not zygote.ended(impatient, 0.0)
    os.kill(zygote.pid(impatient), signal.SIGINT)
    assert zygote.code(impatient) == 130 and "stopped by SIGINT" in (place / "said.log").read_text()
    assert digests(place) == half
    os.kill(zygote.pid(slow), signal.SIGCONT)
    assert zygote.code(slow) == 0 and zygote.code(other) == 0
    assert digests(place) == v2 and agrees(results)

    assert report(zygote, place, "small.yaml", DERMAE_FAULT=f"kill@{named[1]}") == -9
    assert not agrees(results)
    # its lock died with it, and the mixture is noticed, whoever comes
    assert report(zygote, place, "v2.yaml") == 0
    assert digests(place) == v2 and agrees(results)
    assert tracebacks(place) == 0


@pytest.mark.slow
@pytest.mark.xdist_group("zygote")
def test_a_publisher_killed_at_every_rename_is_healed(zygote: Zygote, unbroken: Unbroken, place: Path) -> None:
    results = place / "results" / "small"
    named = renames(zygote, place)
    for number, point in enumerate(named):
        assert report(zygote, place, "v2.yaml") == 0
        assert report(zygote, place, "small.yaml", DERMAE_FAULT=f"kill@{point}") == -9
        # by the next command, whichever it is
        word = zygote.start(place, "run" if number % 2 else "report", "small.yaml")
        assert zygote.code(word) == 0
        assert boards(place) == unbroken.boards and agrees(results)
        assert {name.rpartition("/")[2] for name in members(results)} >= {*BOARDS}
    record_count("kills survived: while publishing", len(named))


@pytest.mark.slow
@pytest.mark.xdist_group("zygote")
@pytest.mark.parametrize(("part", "refusal"), list(enumerate(["enospc", "erofs", "eio"])))
def test_a_refusal_at_every_point_of_publishing_is_healed(
    zygote: Zygote, unbroken: Unbroken, place: Path, part: int, refusal: str
) -> None:
    numbers = [point["n"] for point in points(zygote, place)][part::3]
    for number in numbers:
        assert report(zygote, place, "v2.yaml") == 0
        assert report(zygote, place, "small.yaml", DERMAE_FAULT=f"{refusal}@{number}") in {0, 74}
        assert report(zygote, place, "small.yaml") == 0
        assert boards(place) == unbroken.boards and agrees(place / "results" / "small")
    assert tracebacks(place) == 0
    record_count("faults injected: while publishing", len(numbers))
