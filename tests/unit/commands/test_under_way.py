"""`show KEY` of a stage that was begun and has not ended: running or broken off, where it stands, what it printed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import Answer, ask

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Failure, Manifest

ABOUT = {"seed": 0}
KEY, OTHER = digest_of(ABOUT)[:32], digest_of({"seed": 1})[:32]
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "store")


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    return lambda *words: ask(capsys, "show", *words, "--results", tmp_path / "results")


@pytest.fixture(autouse=True)
def nobody_waits() -> Iterator[None]:
    """A test that opens a pipe is ended by a signal, and fails."""
    signal.alarm(20)
    yield
    signal.alarm(0)


def begin(store: Store, key: str = KEY, **status: Any) -> Path:
    """What an attempt leaves in its folder while it goes."""
    folder = store.attempt_folder(key)
    (folder / "checkpoints" / "step-0000000020").mkdir(parents=True)
    (folder / "checkpoints" / "step-0000000010").mkdir()
    (folder / "spec.json").write_text(json.dumps({"kind": "train", "name": "train/gan", "work": {"seed": 0}}))
    (folder / "status.json").write_text(json.dumps({"phase": "fitting", "step": 24, "steps": 90, **status}))
    (folder / "stdout.log").write_text("epoch 1\nepoch 2\n")
    (folder / "stderr.log").write_text("a warning\n")
    return folder


def lines(answer: Answer) -> dict[str, str]:
    """Word -> what is said of it, of the lines above what was printed."""
    about = [line for line in answer.out.splitlines() if line[13:] and line[12] == " "]
    return {line[:12].strip(): line[13:] for line in about}


def test_one_that_runs_says_where_it_stands_and_what_it_printed(store: Store, show: Callable[..., Answer]) -> None:
    folder = begin(store)
    lease = store.lease(KEY, "train/gan")
    assert lease.take()
    answer = show(KEY[:6])
    assert (answer.code, answer.err) == (0, "")
    assert lines(answer) == {
        "status": "running", "key": KEY, "kind": "train", "name": "train/gan",
        "last sign": "fitting, step 24 of 90", "goes on from": "step 20", "folder": str(folder),
    }  # fmt: skip
    assert answer.out.endswith("\nepoch 1\nepoch 2\na warning\n")
    # the same in JSON, where what it printed has a name
    about = json.loads(show(KEY, "--format", "json").out)
    assert about == {**lines(answer), "printed": "epoch 1\nepoch 2\na warning\n"}
    lease.release()


def test_one_whose_process_is_gone_was_broken_off(store: Store, show: Callable[..., Answer]) -> None:
    begin(store)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if store.lease(KEY).take() else 1)
        finally:
            os._exit(70)
    assert os.waitpid(child, 0)[1] == 0
    assert (store.attempt_folder(KEY) / "lease").exists()
    about = lines(show(KEY))
    assert about["status"] == "broken off; the same `run` goes on with it"
    assert (about["last sign"], about["goes on from"]) == ("fitting, step 24 of 90", "step 20")


def test_one_that_has_only_begun_has_nothing_to_go_on_from(store: Store, show: Callable[..., Answer]) -> None:
    lease = store.lease(KEY)
    assert lease.take()
    answer = show(KEY)
    assert answer.code == 0
    assert lines(answer) == {
        "status": "running", "key": KEY, "last sign": "none", "goes on from": "its beginning",
        "folder": str(store.attempt_folder(KEY)),
    }  # fmt: skip
    lease.release()


def test_blocks_are_gone_on_from_too(store: Store, show: Callable[..., Answer]) -> None:
    (store.attempt_folder(KEY) / "blocks").mkdir(parents=True)
    (store.attempt_folder(KEY) / "blocks" / "images-00000.npy").touch()
    assert lines(show(KEY))["goes on from"] == "1 block"


def test_what_a_plugin_wrote_there_steers_no_terminal(store: Store, show: Callable[..., Answer]) -> None:
    folder = begin(store, phase=HOSTILE)
    (folder / "spec.json").write_text(json.dumps({"kind": HOSTILE, "name": ["train/gan"], HOSTILE: HOSTILE}))
    (folder / "stdout.log").write_text(HOSTILE)
    answer = show(KEY)
    assert answer.code == 0 and "\\x1b[2J" in answer.out
    assert not {c for c in answer.out if (ord(c) < 32 and c != "\n") or ord(c) == 0x202E}
    # a name that is no text is none
    assert "name" not in lines(answer)
    about = json.loads(show(KEY, "--format", "json").out)
    assert about["kind"] == HOSTILE and HOSTILE in about["printed"] and len(about) == 7


@pytest.mark.parametrize("how", ["pipe", "folder", "link", "text", "list", "deep", "absent"])
def test_what_cannot_be_read_there_is_left_out(store: Store, show: Callable[..., Answer], how: str) -> None:
    folder = begin(store)
    for name in ("spec.json", "status.json", "stdout.log", "stderr.log"):
        path = folder / name
        path.unlink()
        if how == "pipe":
            os.mkfifo(path)
        elif how == "folder":
            path.mkdir()
        elif how == "link":
            path.symlink_to(path.name)
        elif how != "absent":
            path.write_text({"text": "{", "list": "[3]", "deep": "[" * 100_000}[how])
    answer = show(KEY)
    assert (answer.code, answer.err) == (0, "")
    about = lines(answer)
    assert (about["status"][:10], about["last sign"], about["goes on from"]) == ("broken off", "none", "step 20")
    assert not {"kind", "name"} & set(about)


def test_a_secret_that_it_printed_is_struck_out(
    store: Store, show: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2hunter2")
    (begin(store) / "stderr.log").write_text("connecting with hunter2hunter2\n")
    answer = show(KEY)
    assert "connecting with " in answer.out and "hunter2" not in answer.out


def test_what_ended_is_told_before_what_it_left(store: Store, show: Callable[..., Answer]) -> None:
    begin(store)
    store.record_failure(Failure(key=KEY, name="train/gan", reason="it broke", category="crashed"))
    assert lines(show(KEY))["status"] == "failed"
    store.record_failure(Failure(key=OTHER, name="train/x", reason="it broke", category="crashed"))
    begin(store, OTHER)
    work = store.attempt_folder(OTHER) / "out"
    work.mkdir()
    parts = {"seed": 1}
    store.commit(work, Manifest(kind="train", key=OTHER, name="train/x", parts=parts, files={}, summary={}))
    assert json.loads(show(OTHER, "--format", "json").out)["parts"] == parts


@pytest.mark.parametrize("ended", [False, True])
def test_a_beginning_that_several_keys_have_is_refused(store: Store, show: Callable[..., Answer], ended: bool) -> None:
    near = KEY[:4] + "0" * 28
    begin(store)
    if ended:
        store.record_failure(Failure(key=near, name="train/x", reason="it broke", category="crashed"))
    else:
        begin(store, near)
    answer = show(KEY[:4])
    assert answer.code == 2
    assert answer.err.startswith(f"2 stages have keys that begin with '{KEY[:4]}'\n")
    assert lines(show(KEY[:5]))["key"] == KEY


def test_other_names_among_attempts_are_no_stages(store: Store, show: Callable[..., Answer]) -> None:
    for name in ("abcd", "ab" * 15 + "xy", "ab" * 17):
        (store.root / "attempts" / name).mkdir(parents=True)
    answer = show("ab")
    assert answer.code == 2 and "was begun that has a key with the beginning 'ab'" in answer.err
