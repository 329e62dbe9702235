"""One attempt at one stage, in one process: a JSON spec goes in, a manifest (or a reason) comes out."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from dermae_bench.durable import encodable, write_text
from dermae_bench.errors import BenchError, DataError, Diverged, InvalidOutput, StorageError
from dermae_bench.execute.run import Stopped
from dermae_bench.execute.stages.common import StageContext
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged, Manifest, describe_files

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
    """A context that notes how long each phase lasts."""

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


def attempt(folder: Path) -> None:
    """Do the stage described by `folder/spec.json`; leave `result.json` there.

    The result is {"ok": true} after the manifest was committed, {"stopped": true} after a checkpoint on request,
    or {"ok": false, category, reason, phase, traceback}.
    """
    started = time.monotonic()
    spec = json.loads((folder / "spec.json").read_bytes())
    store = Store(Path(spec["store"]))
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    context = _Timed(folder=folder, spec=spec, out=out, stop=_StopFlag())
    result: dict[str, Any]
    try:
        function = getattr(import_module(f"dermae_bench.execute.stages.{spec['kind']}"), spec["kind"])
        summary = function(context)
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
        store.commit(out, manifest)
        result = {"ok": True}
    except Stopped:
        result = {"ok": False, "stopped": True}
    except (Exception, SystemExit) as error:  # noqa: BLE001 (the one place where whatever a plugin raises becomes a record)
        result = {
            "ok": False,
            "category": _category(error),
            "reason": encodable(_reason(error)),
            "phase": context.phase,
            "traceback": encodable(_trace(error)),
        }
        if isinstance(error, Damaged):
            result["damaged"] = True
    # not flushed: after a power cut nobody waits for it, and what is finished is told by the manifest
    write_text(folder / "result.json", json.dumps(result), durable=False)


def _category(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "oom"
    if isinstance(error, InvalidOutput):
        return "invalid-output"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, StorageError) or (isinstance(error, OSError) and error.errno in {28, 30, 122}):
        return "storage"
    return "crashed"


def _reason(error: BaseException) -> str:
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the plugin called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {error}"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-20_000:]


def _device_name() -> str:
    import torch

    if torch.cuda.is_available() and os.environ.get("DERMAE_BENCH_DEVICE", "auto") != "cpu":
        return torch.cuda.get_device_name()
    return "cpu"
