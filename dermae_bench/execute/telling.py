"""What an attempt says of an exception: category, reason with its place, traceback, however the exception behaves."""

from __future__ import annotations

import errno
import os
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dermae_bench.durable import encodable
from dermae_bench.errors import BenchError, DataError, Diverged, InvalidOutput, StorageError
from dermae_bench.secrets import redact
from dermae_bench.store.manifests import Damaged
from dermae_bench.store.refusals import concerns, refused

_NO_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory", "out of memory", "bad_alloc")
"""What torch's CPU allocator, CUDA's runtime and C++ say."""
_WORKER_KILLED = re.compile(r"DataLoader worker \(pid.*\) is killed by signal: (Killed|Terminated)")
LONGEST = 100_000
"""Characters of a reason or a traceback; the driver, which knows more secrets, strikes them out before it cuts more."""
_READ = 4 * LONGEST
"""Characters of them in which secrets are looked for, before they are cut to `LONGEST`."""
MOST_CAUSES = 100
"""How many causes of an exception are looked at."""
_T = TypeVar("_T")
_OURS = (
    str(Path(__file__).parents[1]) + os.sep,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
"""Folders of the harness and of libraries: a line in a plugin tells its author more than the line below it in torch."""


def told(error: BaseException, root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What `result.json` says of an exception, however it behaves when it is asked.

    Args:
        root: of the store.
        environment: whose secrets are struck out.
    """
    reason = _asked(lambda: _refusal(error, root), None) or _asked(lambda: _reason(error), "an error without a name")
    said: dict[str, Any] = {
        "category": _asked(lambda: _category(error, root), "crashed"),
        "reason": redact(encodable(reason[:_READ]), environment)[:LONGEST],
        "traceback": redact(encodable(_asked(lambda: _trace(error)[-_READ:], "")), environment)[-LONGEST:],
    }
    if _asked(lambda: isinstance(error, Damaged), False):
        said["damaged"] = True
    if _asked(lambda: _ended_from_outside(error), False):
        said["outside"] = True
    return said


def _category(error: BaseException, root: Path) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    if _out_of_memory(error):
        return "oom"
    if isinstance(error, InvalidOutput):
        return "invalid-output"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, StorageError) or _refusal(error, root):
        return "storage"
    return "crashed"


def _out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch (CPU or CUDA) or the system had no memory left to give."""
    for cause in _causes(error):
        text = _words(cause).lower() if isinstance(cause, RuntimeError) else ""
        if (
            isinstance(cause, MemoryError)
            or type(cause).__name__ == "OutOfMemoryError"
            or (isinstance(cause, OSError) and cause.errno == errno.ENOMEM)
            or any(words in text for words in _NO_MEMORY)
        ):
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, its cause, the cause of that, each once; a chain may be a ring, or have no end."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen and len(seen) < MOST_CAUSES:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _ended_from_outside(error: BaseException) -> bool:
    """Whether a data loader's worker was killed: the only error that says nothing about the plugin."""
    return isinstance(error, RuntimeError) and _WORKER_KILLED.search(_words(error)) is not None


def _refusal(error: BaseException, root: Path) -> str | None:
    """What the system refused below the store, with place and free space; None of all other errors."""
    return refused(error, root).message if isinstance(error, OSError) and concerns(error, root) else None


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the plugin called sys.exit({_asked(lambda: repr(error.code), '')})"
    name = type(error).__name__
    if isinstance(error, BenchError):
        return _words(error) or name
    return _asked(lambda: f"{name}: {error}", f"{name}, which has no message") + _place(error)


def _place(error: BaseException) -> str:
    """Where in a stranger's code it was raised, ` (FILE:LINE)`; empty where it was in none."""
    frames = _asked(lambda: list(traceback.extract_tb(error.__traceback__)), list[traceback.FrameSummary]())
    theirs = [frame for frame in frames if not frame.filename.startswith((*_OURS, "<"))]
    return f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""


def _trace(error: BaseException) -> str:
    """The traceback with those of the causes, or alone where there is no end of causes."""
    lines: list[str]
    if len(list(_causes(error))) < MOST_CAUSES:
        lines = traceback.format_exception(error)
    else:
        lines = [*traceback.format_tb(error.__traceback__), _reason(error)]
    return "".join(lines)


def _words(error: BaseException) -> str:
    """What an exception says; empty where it cannot say it."""
    return _asked(lambda: f"{error}", "")


def _asked(ask: Callable[[], _T], otherwise: _T) -> _T:
    """What an exception answers; a plugin's own may raise while it is asked, and its end has to be told anyhow."""
    try:
        return ask()
    except BaseException:  # noqa: BLE001 (see above)
        return otherwise
