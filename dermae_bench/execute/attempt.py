"""One attempt at one stage, in one process: a JSON spec goes in, a manifest (or a reason) comes out."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from dermae_bench.durable import encodable, remove_tree, write_text
from dermae_bench.errors import DataError
from dermae_bench.execute.run import Stopped
from dermae_bench.execute.stages.common import StageContext
from dermae_bench.execute.telling import told
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.store.artifacts import Store
from dermae_bench.store.contents import Contents, has_digests
from dermae_bench.store.fences import StillWorking, Superseded, working
from dermae_bench.store.manifests import Manifest, describe_files

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
    # as it was given: a plugin may take its secrets out of it before it tells them
    environment = dict(os.environ)
    store = Store(Path(spec["store"]))
    try:
        with working(folder, spec["name"]):
            result = _do(folder, spec, store, spec.get("fence") or store.begin(spec["key"]), environment)
    except StillWorking as error:
        result = {"ok": False, "category": "lost", "reason": encodable(str(error)), "phase": "start", "traceback": ""}
    except OSError as error:
        # the lock itself: no folder, no handle, a disk that refuses
        result = {"ok": False, "phase": "start", **told(error, store.root, environment)}
    # not flushed: after a power cut nobody waits for it, and what is finished is told by the manifest
    write_text(folder / "result.json", json.dumps(result), durable=False)


def _do(folder: Path, spec: dict[str, Any], store: Store, fence: str, environment: Mapping[str, str]) -> dict[str, Any]:
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
        result = {"ok": False, "phase": context.phase, **told(error, store.root, environment)}
    return result


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


def _device_name() -> str:
    import torch

    if torch.cuda.is_available() and os.environ.get("DERMAE_BENCH_DEVICE", "auto") != "cpu":
        return torch.cuda.get_device_name()
    return "cpu"
