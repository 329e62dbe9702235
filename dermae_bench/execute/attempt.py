"""One attempt at one stage, in one process: a JSON spec goes in, a manifest (or a reason) comes out."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from dermae_bench.durable import encodable, remove_tree, write_text
from dermae_bench.errors import BenchError, DataError, Diverged, InvalidOutput, StorageError
from dermae_bench.execute.run import Stopped
from dermae_bench.execute.stages.common import StageContext
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.store.artifacts import Store
from dermae_bench.store.contents import Contents, has_digests
from dermae_bench.store.fences import StillWorking, Superseded, working
from dermae_bench.store.manifests import Damaged, Manifest, describe_files
from dermae_bench.store.refusals import concerns, refused

_NO_MEMORY = ("can't allocate memory", "not enough memory", "cannot allocate memory", "out of memory", "bad_alloc")
"""What torch's CPU allocator, CUDA's runtime and C++ say."""
_WORKER_KILLED = re.compile(r"DataLoader worker \(pid.*\) is killed by signal: (Killed|Terminated)")
LONGEST = 100_000
"""Characters of a reason or a traceback; the driver, which knows the secrets, strikes them out before it cuts more."""
MOST_CAUSES = 100
"""How many causes of an exception are looked at."""
_T = TypeVar("_T")
KINDS = ("prepare", "train", "sample", "extract", "predict", "score", "cost")


class _StopFlag:
    """Set by SIGTERM: the stage writes a checkpoint at the next chance and leaves."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked


class _Timed(StageContext):
    """A context that notes how long each phase lasts, and tells when one begins."""

    phases: dict[str, float]
    _since: float

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "phase":
            now = time.monotonic()
            held = self.__dict__
            if "phase" in held:
                spent = held["phases"]
                spent[self.phase] = spent.get(self.phase, 0.0) + now - held["_since"]
            else:
                held["phases"] = {}
            held["_since"] = now
        super().__setattr__(name, value)
        if name == "phase" and "_last_status" in self.__dict__:
            # always told, not twice a second at most: a process that dies in its first moments died in this phase
            self._last_status = time.monotonic()
            self._tell({})


def attempt(folder: Path) -> None:
    """Do the stage described by `folder/spec.json`; leave `result.json` there.

    The result is {"ok": true} after the manifest was committed, {"stopped": true} after a checkpoint on request,
    or {"ok": false, category, reason, phase, traceback}.
    """
    spec = json.loads((folder / "spec.json").read_bytes())
    store = Store(Path(spec["store"]))
    try:
        with working(folder, spec["name"]):
            result = _do(folder, spec, store, spec.get("fence") or store.begin(spec["key"]))
    except StillWorking as error:
        result = {"ok": False, "category": "lost", "reason": encodable(str(error)), "phase": "start", "traceback": ""}
    except OSError as error:
        # the lock itself: no folder, no handle, a disk that refuses
        result = {"ok": False, "phase": "start", **_told(error, store.root)}
    # not flushed: after a power cut nobody waits for it, and what is finished is told by the manifest
    write_text(folder / "result.json", json.dumps(result), durable=False)


def _do(folder: Path, spec: dict[str, Any], store: Store, fence: str) -> dict[str, Any]:
    """The stage itself; what `result.json` will hold.

    Raises:
        Superseded: a later start took over the folder: nothing more is written there.
    """
    started = time.monotonic()
    spec = {**spec, "fence": fence}
    out = folder / "out"
    context = _Timed(folder=folder, spec=spec, out=out, stop=_StopFlag())
    result: dict[str, Any]
    try:
        remove_tree(out)
        out.mkdir()
        function = getattr(import_module(f"dermae_bench.execute.stages.{spec['kind']}"), spec["kind"])
        summary = function(context)
        _check_unchanged(spec)
        context.phase = "committing"
        manifest = Manifest(
            kind=spec["kind"],
            key=spec["key"],
            name=spec["name"],
            parts=spec["parts"],
            files=describe_files(out),
            summary=summary,
            seconds=round(time.monotonic() - started, 3),
            max_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            environment={
                **spec["environment"],
                "device": _device_name(),
                "phases": {phase: round(seconds, 3) for phase, seconds in context.phases.items()},
            },
        )
        store.commit(out, manifest, fence=fence)
        result = {"ok": True}
    except Superseded:
        raise
    except Stopped:
        result = {"ok": False, "stopped": True}
    except BaseException as error:  # noqa: BLE001 (the one place where whatever a plugin raises becomes a record)
        result = {"ok": False, "phase": context.phase, **_told(error, store.root)}
    return result


def _told(error: BaseException, root: Path) -> dict[str, Any]:
    """What `result.json` says of an exception, however it behaves when it is asked."""
    reason = _asked(lambda: _refusal(error, root), None) or _asked(lambda: _reason(error), "an error without a name")
    said: dict[str, Any] = {
        "category": _asked(lambda: _category(error, root), "crashed"),
        "reason": encodable(reason[:LONGEST]),
        "traceback": encodable(_asked(lambda: _trace(error), "")),
    }
    if _asked(lambda: isinstance(error, Damaged), False):
        said["damaged"] = True
    if _asked(lambda: _ended_from_outside(error), False):
        said["outside"] = True
    return said


def _check_unchanged(spec: Mapping[str, Any]) -> None:
    """What was read has to be what the key says.

    Raises:
        DataError: files changed since their digests were taken, by name.
    """
    hashed = spec["parts"].get("work", {})
    if not has_digests(hashed):
        return
    # unchanged files are known by size, times and inode, and are not read again
    changed = Contents(cache_folder() / "contents.json").changed(spec["work"], hashed)
    if changed:
        raise DataError(
            "data changed while the stage read them",
            [encodable(name) for name in changed],
            hint="give the same command again: it takes the data as they are then",
        )


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
    return _asked(lambda: f"{name}: {error}", f"{name}, which has no message")


def _trace(error: BaseException) -> str:
    """The traceback with those of the causes, or alone where there is no end of causes."""
    lines: list[str]
    if len(list(_causes(error))) < MOST_CAUSES:
        lines = traceback.format_exception(error)
    else:
        lines = [*traceback.format_tb(error.__traceback__), _reason(error)]
    return "".join(lines)[-LONGEST:]


def _words(error: BaseException) -> str:
    """What an exception says; empty where it cannot say it."""
    return _asked(lambda: f"{error}", "")


def _asked(ask: Callable[[], _T], otherwise: _T) -> _T:
    """What an exception answers; a plugin's own may raise while it is asked, and its end has to be told anyhow."""
    try:
        return ask()
    except BaseException:  # noqa: BLE001 (see above)
        return otherwise


def _device_name() -> str:
    import torch

    if torch.cuda.is_available() and os.environ.get("DERMAE_BENCH_DEVICE", "auto") != "cpu":
        return torch.cuda.get_device_name()
    return "cpu"
