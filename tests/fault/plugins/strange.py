"""A classifier that does, while it is fitted, one of the things that strangers' code has done."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api

HOG_BYTES = 3 * 2**30


class NobodyExpects(BaseException):
    """No `Exception`, so nobody who catches those sees it."""


def nothing() -> None:
    """Behave."""


def raise_it() -> None:
    raise RuntimeError("broken on purpose")


def raise_base() -> None:
    raise NobodyExpects("broken on purpose")


def interrupt() -> None:
    raise KeyboardInterrupt


def leave() -> None:
    sys.exit(3)


def leave_at_once() -> None:
    os._exit(0)


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def recurse() -> None:
    recurse()


def loop() -> None:
    while True:
        pass


def hold_the_lock() -> None:
    # PyDLL keeps the interpreter's lock: no Python thread and no Python signal handler runs
    # a pipe that nobody writes into: unlike sleep(3), read(2) goes on after a signal
    ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)


def deadlock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)


def daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(os.environ["STRANGE_NOTES"], f"daemon-{os.getpid()}").touch()
            time.sleep(1000)
        os._exit(0)


def threads() -> None:
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def close_streams() -> None:
    os.close(1)
    os.close(2)


def chdir() -> None:
    os.chdir("/")


def delete_folder() -> None:
    shutil.rmtree(Path.cwd(), ignore_errors=True)


def random_state() -> None:
    torch.manual_seed(1)
    np.random.seed(1)


def default_dtype() -> None:
    torch.set_default_dtype(torch.float64)


def process_state() -> None:
    os.umask(0o777)
    os.environ["LC_ALL"] = "tr_TR.UTF-8"
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    sys.setrecursionlimit(100)


def print_much() -> None:
    line = "x" * 1023 + "\n"
    for _ in range(2**20):
        sys.stdout.write(line)


def write_outside() -> None:
    # beside its own work, into what other stages have finished
    for entry in Path.cwd().parent.parent.glob("prepare/*"):
        (entry / "mine.txt").write_text("I was here")


def forge_result() -> None:
    Path("result.json").write_text('{"ok": true}')
    os._exit(0)


def forge_manifest() -> None:
    spec = json.loads(Path("spec.json").read_bytes())
    Path("out", "weights.safetensors").write_bytes(b"none")
    Path("out", "manifest.json").write_text(json.dumps({"kind": "train", "key": spec["key"], "files": {}}))
    os._exit(0)


def replace_logs() -> None:
    for name in ("stdout.log", "stderr.log", "status.json"):
        Path(name).unlink(missing_ok=True)
        os.mkfifo(name)


def pipe_status() -> None:
    """A pipe that nobody writes into, and no further sign of life."""
    Path("status.json").unlink(missing_ok=True)
    os.mkfifo("status.json")
    time.sleep(1000)


def pipe_fence() -> None:
    Path("fence").unlink(missing_ok=True)
    os.mkfifo("fence")


def folder_fence() -> None:
    Path("fence").unlink(missing_ok=True)
    Path("fence").mkdir()


def folder_result() -> None:
    Path("result.json").mkdir()


def folders_and_raise() -> None:
    for name in ("result.json", "status.json"):
        Path(name).unlink(missing_ok=True)
        Path(name).mkdir()
    failure = Path("../../failures", f"{Path.cwd().name}.json")
    failure.parent.mkdir(exist_ok=True)
    failure.mkdir(exist_ok=True)
    raise RuntimeError("broken on purpose")


def full_device() -> None:
    # the device refuses when it is flushed, and the error names no file
    with Path("/dev/full").open("w") as stream:
        stream.write("x" * 100_000)


def forge_storage() -> None:
    said = {"ok": False, "category": "storage", "reason": "cannot write /: forged", "phase": "fitting", "traceback": ""}
    Path("result.json").write_text(json.dumps(said))
    os._exit(0)


def spoil_digests() -> None:
    hashlib.file_digest = lambda stream, name: hashlib.new("sha256", b"x")  # type: ignore[assignment]


def link_self() -> None:
    here = Path.cwd()
    shutil.rmtree(here, ignore_errors=True)
    here.symlink_to(here.name)


def nest() -> None:
    for _ in range(3000):
        Path("a").mkdir()
        os.chdir("a")


def kill_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


def hog() -> None:
    held = bytearray(HOG_BYTES)
    # touched, or it would take no memory
    for place in range(0, HOG_BYTES, 4096):
        held[place] = 1
    time.sleep(1000)


def run_out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory, said on purpose")


ENDS: dict[str, Callable[[], None]] = {
    "raise": raise_it, "raise-base": raise_base, "interrupt": interrupt, "exit": leave, "exit-0": leave_at_once,
    "segfault": segfault, "abort": abort, "recurse": recurse, "loop": loop, "hold-the-lock": hold_the_lock,
    "deadlock": deadlock, "ignore-signals": ignore_signals, "delete-folder": delete_folder,
    "forge-result": forge_result, "forge-manifest": forge_manifest, "forge-storage": forge_storage,
    "full-device": full_device,
    "spoil-digests": spoil_digests, "folders-and-raise": folders_and_raise, "kill-parent": kill_parent, "hog": hog,
    "out-of-memory": run_out_of_memory, "pipe-status": pipe_status, "pipe-fence": pipe_fence,
    "folder-fence": folder_fence, "link-self": link_self,
}  # fmt: skip
"""What a fit does not survive."""
GOES_ON: dict[str, Callable[[], None]] = {
    "daemon": daemon, "threads": threads, "close-streams": close_streams, "chdir": chdir,
    "random-state": random_state, "default-dtype": default_dtype, "process-state": process_state,
    "print-much": print_much, "write-outside": write_outside, "replace-logs": replace_logs,
    "nest": nest, "folder-result": folder_result,
}  # fmt: skip
"""What a fit may survive, with an artifact like that of one that behaves."""


class Strange(api.Classifier):
    """Logistic regression on coarse colours, with one strange habit."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        how: str = ""
        """What it does in its third step; nothing by default."""

    tiny = {"how": ""}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.linear = nn.Linear(48, len(task.classes))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        how = self.config.how
        for number, batch in enumerate(run.batches(train)):
            assert batch.labels is not None
            if number == 2:
                (ENDS | GOES_ON).get(how, nothing)()
            if number == 2 and how == "stops-early":
                return
            loss = F.cross_entropy(self._scores(batch.images), batch.labels)
            run.step(loss * (float("nan") if how == "diverge" and number == 2 else 1.0), optimizer)
            if how == "wants-more":
                unknown = torch.optim.SGD(self.parameters(), lr=1.0)
                run.step(F.cross_entropy(self._scores(batch.images), batch.labels), unknown)

    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = self.linear(F.adaptive_avg_pool2d(api.from_uint8(images), 4).flatten(1).to(self.linear.weight))
        return scores

    def forward(self, images: Tensor) -> Any:
        scores = self._scores(images)
        match self.config.how:
            case "no-tensor":
                return scores.tolist()
            case "wrong-shape":
                return F.pad(scores, (0, 1))
            case "not-finite":
                return scores * float("nan")
            case "integers":
                return scores.long()
        return scores

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Linear(3, 3), (torch.zeros(1, 3),))


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"strange": Strange}
