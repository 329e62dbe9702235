"""Attempts as plugins might behave; called by name in processes of their own. Only the standard library is imported."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def tell(folder: Path, name: str, text: object) -> None:
    """Write a file that is there completely or not at all."""
    (folder / f"{name}.tmp").write_text(str(text))
    (folder / f"{name}.tmp").rename(folder / name)


def good(folder: Path) -> None:
    tell(folder, "done", os.getpid())


def facts(folder: Path) -> None:
    import json

    descriptors = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    words = {
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "session": os.getsid(0),
        "group": os.getpgid(0),
        "stdin": sys.stdin.read(),
        # the listing holds one itself
        "descriptors": sorted(n for n in descriptors if Path(f"/proc/self/fd/{n}").exists()),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "openmp": os.environ["OMP_NUM_THREADS"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.SIG_DFL,
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "modules": sorted(sys.modules),
    }
    tell(folder, "facts", json.dumps(words))


def speaks(folder: Path) -> None:
    print("from print")
    print("no such letter in ASCII: \N{LATIN SMALL LETTER E WITH ACUTE} \ud800")
    os.write(1, b"from os.write\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["echo", "from a subprocess"], check=True)
    print("to stderr", file=sys.stderr)


def raises(folder: Path) -> None:
    raise RuntimeError("the shapes do not fit")


def leaves_with_number(folder: Path) -> None:
    sys.exit(7)


def leaves_with_words(folder: Path) -> None:
    sys.exit("no more of this")


def leaves_at_once(folder: Path) -> None:
    os._exit(0)


def segfaults(folder: Path) -> None:
    ctypes.string_at(0)


def aborts(folder: Path) -> None:
    os.abort()


def closes_its_outputs(folder: Path) -> None:
    os.close(1)
    os.close(2)
    print("into the void", flush=True)


def closes_its_outputs_and_goes_on(folder: Path) -> None:
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)
    good(folder)


def sleeps(folder: Path) -> None:
    tell(folder, "pid", os.getpid())
    time.sleep(60)


def holds_the_interpreter(folder: Path) -> None:
    tell(folder, "pid", os.getpid())
    # PyDLL does not release the global lock: no Python signal handler, no thread runs
    # a pipe that nobody writes into: unlike sleep(3), read(2) goes on after a signal
    ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)


def ignores_termination(folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeps(folder)


def saves_when_terminated(folder: Path) -> None:
    def save(number: int, frame: object) -> None:
        with (folder / "saved").open("a") as file:
            file.write("x")
        time.sleep(0.1)
        sys.exit(143)

    signal.signal(signal.SIGTERM, save)
    sleeps(folder)


def leaves_a_grandchild(folder: Path) -> None:
    tell(folder, "grandchild", subprocess.Popen(["sleep", "60"]).pid)


def waits_with_a_grandchild(folder: Path) -> None:
    leaves_a_grandchild(folder)
    sleeps(folder)


def leaves_a_daemon(folder: Path) -> None:
    """Fork twice with a session in between: the daemon is in no group that anybody knows."""
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            tell(folder, "daemon", os.getpid())
            time.sleep(60)
        os._exit(0)
    os.waitpid(middle, 0)
    while not (folder / "daemon").exists():
        time.sleep(0.005)


def waits_with_a_daemon(folder: Path) -> None:
    leaves_a_daemon(folder)
    sleeps(folder)


def waits_for_go(folder: Path) -> None:
    tell(folder, "pid", os.getpid())
    while not (folder / "go").exists():
        time.sleep(0.005)


def meets_the_other(folder: Path) -> None:
    """End only when another attempt runs at the same time."""
    tell(folder, "here", os.getpid())
    while len(list(folder.parent.glob("*/here"))) < 2:
        time.sleep(0.005)


def prints_much(folder: Path) -> None:
    print("the first line")
    for _ in range(300):
        print("x" * 9_999)
    print("the last line")


def prints_much_and_goes_on(folder: Path) -> None:
    prints_much(folder)
    waits_for_go(folder)
    print("behind the cut")


def changes_its_surroundings(folder: Path) -> None:
    os.umask(0o777)
    os.chdir("/")
    os.environ["HOME"] = "/nowhere"
    sys.path.clear()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def removes_its_folder(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def trains(folder: Path) -> None:
    """Two torch threads forward and backward: hangs when the parent had used its own."""
    import torch

    tell(folder, "fork", torch.cuda._is_in_bad_fork())
    torch.set_num_threads(2)
    square = torch.randn(600, 600, requires_grad=True)
    (square @ square).sum().backward()
    torch.nn.functional.conv2d(torch.randn(8, 16, 32, 32), torch.randn(16, 16, 3, 3))
    good(folder)
