"""Manifests and failures are read within bounds; what is no such thing is told apart from what cannot be opened."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from dermae_bench.durable import canonical, digest_of
from dermae_bench.store import manifests
from dermae_bench.store.manifests import MANIFEST, Damaged, Failure, Manifest, read_failure, read_manifest

KEY = "ab" * 16
FAILURE = Failure(key=KEY, name="train/x", reason="diverged", category="diverged")


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    fields = json.loads(canonical(asdict(Manifest(kind="train", key=KEY, name="train/x", parts={}, files={}))))
    (tmp_path / MANIFEST).write_text(canonical({**fields, "sha256": digest_of(fields)}))
    return tmp_path


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grown(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(manifests.LARGEST + 1)


HARM: dict[str, Callable[[Path], object]] = {
    "no plain file": pipe,
    "more than 64 MiB": grown,
    "depth": lambda path: path.write_text("[" * 200_000),
    "not what was written": lambda path: path.write_text(path.read_text().replace("train/x", "train/y")),
    "No such file": Path.unlink,
}


@pytest.mark.parametrize("reason", HARM)
def test_a_harmed_manifest_is_damage_and_never_a_wait(entry: Path, reason: str) -> None:
    assert read_manifest(entry, "train", KEY).name == "train/x"
    HARM[reason](entry / MANIFEST)
    with pytest.raises(Damaged, match=reason):
        read_manifest(entry, "train", KEY)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_a_process_without_free_handles_calls_nothing_damaged(
    entry: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*words: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(manifests.os, "open", refused)
    with pytest.raises(OSError, match=os.strerror(code)):
        read_manifest(entry, "train", KEY)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "[" * 200_000, "null", json.dumps({**asdict(FAILURE), "reason": ["x"]}),
     json.dumps({**asdict(FAILURE), "seconds": "long"}), json.dumps({**asdict(FAILURE), "more": 1})],
)  # fmt: skip
def test_what_is_no_failure_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "failure.json"
    assert read_failure(path) is None
    path.write_text(json.dumps(asdict(FAILURE)))
    assert read_failure(path) == FAILURE
    path.write_text(text)
    assert read_failure(path) is None
    pipe(path)
    assert read_failure(path) is None
