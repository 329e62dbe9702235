"""What an attempt says of an exception that a plugin made to be told badly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attempts import Bench

from dermae_bench.errors import BenchError
from dermae_bench.execute.endings import read_result
from dermae_bench.execute.stages import prepare
from dermae_bench.execute.telling import LONGEST, MOST_CAUSES


class Mute(Exception):
    def __str__(self) -> str:
        raise Mute

    __repr__ = __str__


class Leaving(RuntimeError):
    def __str__(self) -> str:
        raise SystemExit(0)


class Refusal(BenchError):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Hydra(Exception):
    """Every cause has another one."""

    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        return Hydra()


class Nobody(Exception):
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no class")


def ring() -> BaseException:
    first, second = ValueError("the head"), KeyError("the tail")
    first.__cause__, second.__cause__ = second, first
    return first


def long_chain() -> BaseException:
    error = ValueError("the last")
    for number in range(MOST_CAUSES + 50):
        cause, error = error, ValueError(str(number))
        error.__cause__ = cause
    return error


def odd_code() -> BaseException:
    return SystemExit(Mute())


CASES: dict[str, tuple[Callable[[], BaseException], str]] = {
    "ring": (ring, "ValueError: the head"),
    "long chain": (long_chain, f"ValueError: {MOST_CAUSES + 49}"),
    "endless chain": (Hydra, "Hydra: "),
    "huge": (lambda: ValueError("x" * (50 << 20)), "ValueError: xxx"),
    "mute": (Mute, "Mute, which has no message"),
    "leaves when asked": (Leaving, "Leaving, which has no message"),
    "refusal": (lambda: Refusal("no"), "Refusal"),
    "exit code": (odd_code, "the plugin called sys.exit("),
    "no class": (Nobody, "an error without a name"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_told_whatever_was_raised(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = CASES[case]

    def fail(context: Any) -> None:
        raise make()

    monkeypatch.setattr(prepare, "prepare", fail)
    bench = Bench(tmp_path)
    began = time.monotonic()
    key, result = bench.try_("prepare", {"how": case})
    assert time.monotonic() - began < 5
    assert (result["ok"], result["category"]) == (False, "crashed")
    assert result["reason"].startswith(words) and len(result["reason"]) <= LONGEST
    assert len(result["traceback"]) <= LONGEST
    # the driver takes it
    said = read_result(bench.store.attempt_folder(key))
    assert said["reason"].startswith(words), json.dumps(result)[:500]


def test_memory_that_ran_out_is_found_in_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(context: Any) -> None:
        error = ring()
        assert error.__cause__ is not None
        memory = MemoryError()
        memory.__cause__, error.__cause__.__cause__ = error, memory
        raise error

    monkeypatch.setattr(prepare, "prepare", fail)
    _, result = Bench(tmp_path).try_("prepare", {"how": "ring"})
    assert result["category"] == "oom"
