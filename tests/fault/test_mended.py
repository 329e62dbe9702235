"""What once went wrong: foreign signals, forged results, names that are no text, damage that nobody looked for."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api, durable
from dermae_bench.builtin.datasets.image_folder import ImageFolder, ImageFolderConfig
from dermae_bench.commands import session as commands
from dermae_bench.durable import canonical, digest_of
from dermae_bench.errors import DataError, StorageError
from dermae_bench.execute import executor as module
from dermae_bench.execute.attempt import _reason, _trace
from dermae_bench.execute.endings import judge, read_result
from dermae_bench.execute.executor import Executor, Options, Outcome
from dermae_bench.execute.local import Ended
from dermae_bench.store.artifacts import Store
from dermae_bench.store.contents import Contents
from dermae_bench.store.manifests import MANIFEST, Damaged, Failure, Manifest, describe_files
from dermae_bench.suite.stage import Stage, key_of
from tests.e2e.conftest import TINY, Bench, Ran, Suite, bench, copied, made_once, suite  # noqa: F401 (fixtures)

# -- digests of data -----------------------------------------------------------------------------------------------


def digest(tmp_path: Path, folder: Path) -> str:
    return Contents(tmp_path / "memo.json").folder(folder, [tmp_path])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"pixels")
    return folder


def test_what_lies_behind_any_link_belongs_to_the_digest(tmp_path: Path, data: Path) -> None:
    disk = tmp_path / "disk" / "deep"
    disk.mkdir(parents=True)
    (disk / "2.png").write_bytes(b"one")
    (data / "a").symlink_to(disk.parent)
    (data / "b").symlink_to(disk)
    before = digest(tmp_path, data)
    assert digest(tmp_path, data) == before
    (disk / "2.png").write_bytes(b"two")
    after = digest(tmp_path, data)
    assert after != before
    (data / "b").unlink()
    assert digest(tmp_path, data) != after


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        os.mkfifo,
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, data: Path, make: Callable[[Path], None]) -> None:
    make(data / "odd.png")
    with pytest.raises(DataError, match=r"odd\.png"):
        digest(tmp_path, data)


def test_names_that_are_no_text_are_listed(tmp_path: Path, data: Path) -> None:
    (data / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        digest(tmp_path, data)
    assert "bad\\udcff.png" in str(caught.value).encode().decode()


def test_a_file_changed_under_its_old_time_is_read_again(tmp_path: Path, data: Path) -> None:
    memo = Contents(tmp_path / "memo.json")
    before, about = memo.folder(data), (data / "1.png").stat()
    (data / "1.png").write_bytes(b"pixelz")
    os.utime(data / "1.png", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert memo.folder(data) != before


def test_the_image_folder_reads_nothing_hidden(tmp_path: Path, data: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,label\n.hidden/1.png,a\n./1.png,b\n")
    folder = ImageFolder(ImageFolderConfig(root=api.Folder(str(data)), csv=api.File(str(table))))
    with pytest.raises(DataError) as caught:
        folder.examples()
    assert [problem for problem in caught.value.names if "hidden" in problem]
    assert not [problem for problem in caught.value.names if "line 3" in problem]


# -- store -----------------------------------------------------------------------------------------------------------


def stage(name: str, *inputs: Stage) -> Stage:
    parts = {"name": name, "inputs": {i.name: i.key for i in inputs}}
    kind = name.partition("/")[0]
    return Stage(kind=kind, name=name, work={}, parts=parts, inputs={i.name: i for i in inputs}, key=key_of(parts))


DATA = stage("prepare/data")
NET = stage("train/net", DATA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def commit(store: Store, done: Stage, **summary: Any) -> Path:
    out = store.attempt_folder(done.key) / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.txt").write_text(done.name)
    about = {"kind": done.kind, "key": done.key, "name": done.name, "parts": done.parts, "summary": summary}
    store.commit(out, Manifest(**about, files=describe_files(out)))
    return store.folder(done.kind, done.key)


def test_a_changed_number_in_a_manifest_is_damage(store: Store) -> None:
    path = commit(store, DATA, value=0.25) / MANIFEST
    assert store.manifest(DATA.kind, DATA.key).summary == {"value": 0.25}
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(Damaged, match="no readable manifest"):
        store.manifest(DATA.kind, DATA.key)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {"name": "other"}},
        {"files": {"../x": {"bytes": 1, "sha256": ""}}},
        {"files": {"result.txt": 3}},
        {"files": []},
        {"summary": None},
        {"seconds": "long"},
        {"name": 3},
        {"version": 99},
    ],
)
def test_a_manifest_that_does_not_fit_is_damage_though_its_digest_is_right(
    store: Store, change: dict[str, Any]
) -> None:
    path = commit(store, DATA) / MANIFEST
    fields = {**json.loads(path.read_text()), **change}
    del fields["sha256"]
    path.write_text(canonical({**fields, "sha256": digest_of(fields)}))
    with pytest.raises(Damaged, match=DATA.key):
        store.manifest(DATA.kind, DATA.key)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "null", '{"sha256": NaN}', "\udcff"])
def test_what_is_no_manifest_does_not_stand_in_the_way(store: Store, text: str) -> None:
    folder = commit(store, DATA)
    (folder / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    commit(store, DATA)
    assert store.checked(DATA.kind, DATA.key)
    assert len(list((store.root / "quarantine").iterdir())) == 1


def test_a_glance_sees_sizes_and_strangers_and_reads_no_file(store: Store) -> None:
    path = commit(store, DATA) / "result.txt"
    path.write_text("x" * path.stat().st_size)
    store.glanced(DATA.kind, DATA.key)
    (path.parent / "more").mkdir()
    with pytest.raises(Damaged, match="more"):
        store.glanced(DATA.kind, DATA.key)
    assert not store.has(DATA.kind, DATA.key)


def test_a_vanished_place_is_told_as_such(store: Store) -> None:
    with pytest.raises(StorageError, match="cannot use gone"), store.writable():
        raise OSError(errno.ENOENT, "", "gone")


def test_a_lease_is_taken_though_its_folder_goes_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.stay()
    real, refusals = Path.mkdir, [FileNotFoundError(), FileExistsError()]

    def mkdir(path: Path, *words: Any, **more: Any) -> None:
        if refusals:
            raise refusals.pop()
        real(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert store.lease(DATA.key).take()


# -- walking a plan --------------------------------------------------------------------------------------------------


class Backend:
    """Attempts end as they are told to, one a call; the last way stands for all that follow."""

    def __init__(self, store: Store, *ways: Any) -> None:
        self.store, self.ways = store, list(ways)
        self.running: list[tuple[str, Path]] = []
        self.began: list[str] = []
        self.leased_at_close: list[bool] = []

    def warm_up(self) -> None:
        pass

    def submit(self, attempt: str, folder: Path, call: str, limits: object) -> None:
        self.running.append((attempt, folder))
        self.began.append(json.loads((folder / "spec.json").read_text())["name"])

    def wait(self, timeout: float | None) -> Sequence[Ended]:
        attempt, folder = self.running.pop(0)
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        if way == "finish":
            commit(self.store, next(found for found in (DATA, NET) if found.key == attempt))
        else:
            (folder / "result.json").write_text(way)
        return [Ended(attempt, 0, 1, 0.1, "exit")]

    def terminate(self, attempt: str) -> None:
        pass

    def kill(self, attempt: str, reason: str = "killed") -> None:
        pass

    def close(self, *, hurry: bool = False) -> None:
        lease = self.store.lease(DATA.key)
        self.leased_at_close.append(not lease.take())
        lease.release()


class Silent:
    """A display that keeps what failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def started(self, key8: str, name: str) -> None: ...
    def update(self, key8: str, status: Any) -> None: ...
    def finished(self, key8: str, name: str, seconds: float) -> None: ...
    def cached(self, count: int) -> None: ...
    def note(self, text: str) -> None: ...
    def failed(self, key8: str, name: str, reason: str) -> None:
        self.failures.append(reason)


def walk(store: Store, *ways: Any, plan: Sequence[Stage] = (DATA, NET)) -> tuple[Outcome, Backend]:
    backend = Backend(store, *ways)
    return Executor(store, lambda: backend, Silent(), Options()).run(plan), backend


STOPPED = '{"ok": false, "stopped": true}'


def test_a_signal_to_one_attempt_alone_costs_one_more_try(store: Store) -> None:
    outcome, backend = walk(store, STOPPED, "finish")
    assert backend.began == ["prepare/data", "prepare/data", "train/net"]
    assert (outcome.done, outcome.blocked, outcome.interrupted) == ([DATA, NET], [], None)


def test_one_that_keeps_stopping_is_a_failure(store: Store) -> None:
    outcome, backend = walk(store, STOPPED)
    assert backend.began == ["prepare/data"] * 2
    assert outcome.failed[DATA.key].category == "lost"
    assert outcome.blocked == [NET]


@pytest.mark.parametrize(
    "text",
    [
        '{"ok": true}',
        '{"ok": "yes"}',
        '{"ok": false}',
        "[]",
        "3",
        "null",
        "{",
        "[" * 100_000,
        '{"ok": false, "category": "damaged", "reason": "x"}',
        '{"ok": false, "category": "stopped", "reason": "x"}',
        '{"ok": false, "category": ["crashed"], "reason": "x"}',
        '{"ok": false, "category": "crashed", "reason": ["x"], "damaged": true}',
        '{"ok": false, "category": "crashed", "reason": "bad \\udcff", "traceback": "\\udcff", "phase": {"a": 1}}',
    ],
)
def test_whatever_a_plugin_writes_is_a_failure_of_its_stage(store: Store, text: str) -> None:
    outcome, _ = walk(store, text)
    assert list(outcome.failed) == [DATA.key]
    assert store.failure(DATA.key) == outcome.failed[DATA.key]
    assert outcome.failed[DATA.key].reason


def test_a_status_of_any_shape_is_survived(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.0)
    backend = Backend(store, "finish")
    real = backend.wait

    def wait(timeout: float | None) -> Sequence[Ended]:
        if not (status := backend.running[0][1] / "status.json").exists():
            status.write_text("[3]")
            return []
        return real(timeout)

    backend.wait = wait  # type: ignore[method-assign]
    assert Executor(store, lambda: backend, Silent(), Options()).run([DATA]).done == [DATA]


def test_processes_end_before_their_leases_are_given_up(store: Store) -> None:
    backend = Backend(store, "finish")

    def wait(timeout: float | None) -> Sequence[Ended]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return []

    backend.wait = wait  # type: ignore[method-assign]
    outcome = Executor(store, lambda: backend, Silent(), Options()).run([DATA])
    assert outcome.interrupted == signal.SIGINT
    assert backend.leased_at_close == [True]
    assert store.lease(DATA.key).take()


def test_cached_stages_that_lost_bytes_are_made_again(store: Store) -> None:
    walk(store, "finish")
    (store.folder(NET.kind, NET.key) / "result.txt").write_text("short")
    (store.folder(DATA.kind, DATA.key) / MANIFEST).write_text("{}")
    outcome, backend = walk(store, "finish")
    assert backend.began == ["prepare/data", "train/net"]
    assert outcome.cached == 0
    assert store.checked(NET.kind, NET.key)


def test_reasons_can_be_written_down() -> None:
    from dermae_bench.durable import encodable

    error = RuntimeError("bad \udcff name")
    assert encodable(_reason(error)) == "RuntimeError: bad \\udcff name"
    assert "\\udcff" in encodable(_trace(error)).encode().decode()
    assert encodable("Grün ✓") == "Grün ✓"


def test_what_an_attempt_says_comes_back(tmp_path: Path) -> None:
    said = {"ok": False, "category": "data", "reason": "x", "phase": "p", "traceback": "t", "damaged": True}
    (tmp_path / "result.json").write_text(json.dumps(said))
    assert read_result(tmp_path) == {**said, "outside": False}
    verdict = judge(tmp_path, read_result(tmp_path), Ended("a", 0, 1, 1.0, "exit"))
    assert (verdict.category, verdict.reason, verdict.phase, verdict.traceback) == ("data", "x", "p", "t")


# -- results folder --------------------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = {
    "extractors": {}, "generators": {}, "image_sets": {}, "generator_rows": [], "sample_metrics": [],
    "rows": [TINY["rows"][0]],
}  # fmt: skip


@pytest.fixture
def plain(shared: Path, warm_backend: Any, tmp_path: Path) -> Ran:
    """A finished suite of one classifier, as if it had been run in `tmp_path`."""
    return copied(made_once(shared / "plain", warm_backend, PLAIN), tmp_path)


@pytest.mark.usefixtures("plain")
def test_damage_under_a_finished_suite_is_mended_before_it_is_shown(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = "tiny.yaml"
    folder, place = tmp_path / "results" / "tiny", tmp_path / "results" / "store"
    boards = {name: (folder / name).read_bytes() for name in ("classifiers.json", "predictions.parquet")}
    (table,) = list(place.glob("predict/*/predictions.parquet"))[:1]

    def spoil() -> None:
        data = bytearray(table.read_bytes())
        data[len(data) // 2] ^= 1
        table.write_bytes(data)
        (folder / "classifiers.json").unlink()

    spoil()
    told = bench("report", path)
    assert told.code == 1
    assert "Traceback" not in told.err
    assert "predictions.parquet of store entry predict/" in told.err
    assert bench("run", path).code == 0
    spoil()
    score = next(path for path in sorted(place.glob("score/*/manifest.json")) if '"value":0.' in path.read_text())
    score.write_text(score.read_text().replace('"value":0.', '"value":1.'))
    ran = bench("run", path)
    assert ran.code == 0, ran.err
    assert "predictions.parquet of store entry predict/" in ran.err
    assert "2 done, 0 failed" in ran.err
    assert {name: (folder / name).read_bytes() for name in boards} == boards


def test_a_finished_suite_is_shown_where_nothing_can_be_written(
    bench: Bench,  # noqa: F811
    plain: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, first = "tiny.yaml", plain
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    make = durable._temporary

    def temporary(target: Path) -> Path:
        if "elsewhere" in str(target):
            raise OSError(errno.EROFS, "Read-only file system", str(target))
        return make(target)

    monkeypatch.setattr(durable, "_temporary", temporary)
    again = bench("run", path, "--results", "elsewhere")
    assert (again.code, again.out.splitlines()[:-1]) == (0, first.out.splitlines()[:-1])
    # without the memo too, as long as nothing would change
    shutil.rmtree(tmp_path / "elsewhere" / "store" / "boards")
    again = bench("run", path, "--results", "elsewhere")
    assert (again.code, again.out.splitlines()[:-1]) == (0, first.out.splitlines()[:-1])
    (tmp_path / "elsewhere" / "tiny" / "classifiers.json").write_text("{}")
    assert bench("run", path, "--results", "elsewhere").code == 74


@pytest.mark.usefixtures("plain")
def test_the_resolved_suite_follows_the_suite(bench: Bench, suite: Suite, tmp_path: Path) -> None:  # noqa: F811
    unused = {**TINY["budgets"], "spare": {"steps": 77, "batch_size": 16}}
    ran = bench("run", suite(**PLAIN, budgets=unused))
    assert ran.code == 0
    assert "0 done" in ran.err
    assert "spare" in (tmp_path / "results" / "tiny" / "suite.resolved.yaml").read_text()


def test_reasons_are_one_short_line_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "\x1b[2J" + "long " * 200 + "\nsecond line"
    outcome = Outcome(failed={DATA.key: Failure(key=DATA.key, name=DATA.name, reason=reason, category="crashed")})

    class Session:
        folder = Path("results")

    commands._leave(Session(), outcome)  # type: ignore[arg-type]
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "second line" not in err
    assert max(map(len, err.splitlines())) < 400
