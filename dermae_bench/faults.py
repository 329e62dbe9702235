"""Faults on purpose: every write, flush, rename and removal that matters passes a point, and a test may act there.

With `DERMAE_FAULT` unset a point costs one comparison. Set, it is ``ACTION@K`` or ``ACTION@K+``: at the K-th point
(from 1; ``+``: and at every later one), counted over all processes of a run that share the file `DERMAE_FAULT_COUNT`:

- ``kill``: SIGKILL to the driver (`DERMAE_FAULT_DRIVER`, a process id, which a command sets to its own) and to this
  process's group;
- ``stop``: SIGSTOP to this process;
- ``enospc``, ``edquot``, ``eio``, ``erofs``, ``eacces``, ``emfile``: the operating system's refusal, as an `OSError`;
- ``count`` (no ``@``): nothing; only count.

With `DERMAE_FAULT_LOG` each point appends a line ``{n, pid, time, kind, path, from}`` to that file; `time` is in
nanoseconds since 1970, read just before the thing is done.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from dermae_bench.errors import UserError

REFUSALS = {
    "enospc": errno.ENOSPC,
    "edquot": errno.EDQUOT,
    "eio": errno.EIO,
    "erofs": errno.EROFS,
    "eacces": errno.EACCES,
    "emfile": errno.EMFILE,
}
ACTIONS = ("kill", "stop", *REFUSALS)
_DIGITS = 18
"""Of the largest K."""


@dataclass
class _Plan:
    action: str
    """`kill`, `stop`, a refusal, or `count`."""
    at: int
    onwards: bool
    count: Path | None
    log: Path | None
    passed: int = 0
    """Points of this process, where no file counts for all."""


def _read() -> _Plan | UserError | None:
    """What the environment asks for, or what is wrong with that: an import has nobody to tell it to."""
    asked = os.environ.get("DERMAE_FAULT")
    if not asked:
        return None
    action, _, where = asked.partition("@")
    number = where.removesuffix("+")
    counted = len(number) <= _DIGITS and number.isdecimal() and int(number) > 0
    if not (action == "count" and not where) and not (action in ACTIONS and counted):
        words = f"{asked[:80]!r}{'...' if len(asked) > 80 else ''}"
        return UserError(f"DERMAE_FAULT={words}: it is `count`, or one of {', '.join(ACTIONS)} with @K or @K+")
    count, log = (os.environ.get(name) for name in ("DERMAE_FAULT_COUNT", "DERMAE_FAULT_LOG"))
    return _Plan(
        action=action,
        at=int(number or 0),
        onwards=where.endswith("+"),
        count=Path(count) if count else None,
        log=Path(log) if log else None,
    )


_plan = _read()


def arm() -> None:
    """Read the environment again: a process that was forked from one without faults may have some of its own."""
    global _plan
    _plan = _read()


def lead() -> None:
    """Name this process, a command that begins, as the driver: attempts have groups of their own.

    Raises:
        UserError: `DERMAE_FAULT` asks for nothing that there is.
    """
    if isinstance(_plan, UserError):
        raise _plan
    if _plan is not None:
        os.environ["DERMAE_FAULT_DRIVER"] = str(os.getpid())


def point(kind: str, path: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> None:
    """Announce what is about to be done to `path`: `write`, `sync`, `rename` (from `source`), `remove`, `lock`.

    Raises:
        OSError: the refusal that `DERMAE_FAULT` asks for here.
        UserError: it asks for nothing that there is.
    """
    if _plan is not None:
        if isinstance(_plan, UserError):
            raise _plan
        _act(_plan, kind, path, source)


def _act(plan: _Plan, kind: str, path: str | os.PathLike[str], source: str | os.PathLike[str] | None) -> None:
    number = _number(plan)
    if plan.log is not None:
        about = {"n": number, "pid": os.getpid(), "time": time.time_ns(), "kind": kind, "path": _full(path)}
        line = {**about, "from": _full(source)} if source is not None else about
        _append(plan.log, json.dumps(line).encode() + b"\n")
    if plan.action == "count" or not (number == plan.at or (plan.onwards and number > plan.at)):
        return
    if plan.action in REFUSALS:
        code = REFUSALS[plan.action]
        raise OSError(code, os.strerror(code), os.fspath(path))
    if plan.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    driver = os.environ.get("DERMAE_FAULT_DRIVER")
    if driver:
        os.kill(int(driver), signal.SIGKILL)
    os.kill(0, signal.SIGKILL)


def _full(path: str | os.PathLike[str]) -> str:
    # a run's processes need not stand in one folder
    return str(Path(path).absolute())


def _number(plan: _Plan) -> int:
    """Which point this is: of the run, where a file counts for all its processes."""
    if plan.count is not None:
        return _append(plan.count, b".")
    plan.passed += 1
    return plan.passed


def _append(path: Path, words: bytes) -> int:
    """Append in one piece, which the kernel keeps whole; returns where it ends."""
    # opened anew each time: a forked attempt closes what it inherits, and a shared handle would share its position
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, words)
        return os.lseek(handle, 0, os.SEEK_CUR)
    finally:
        os.close(handle)
