"""Runs the maker of cards and outlives it: whatever an imported plugin leaves behind is ended here.

Run as ``python -m dermae_bench.plugin.warden ASK.json ANSWERS.jsonl PARENT``, `PARENT` being the process id of who
asks. No plugin is imported in this process: it forks one that does. It ends with its parent, and on SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from dermae_bench.plugin.strays import adopt_orphans, die_with_parent, kill_children

FAREWELL_SECONDS = 5.0
"""How long killed processes may take to disappear."""
_OURS = (signal.SIGTERM, signal.SIGCHLD)


def guard(asked: Path, answers: Path, parent: int) -> NoReturn:
    """Have the questions answered in a process of its own, end all that it began, and leave."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    # the kernel sends it, with SIGCONT, if a plugin stopped this process and the parent died then
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)
    me, maker = os.getpid(), os.fork()
    if maker == 0:
        _make(asked, answers, me)
    while signal.sigwait(_OURS) != signal.SIGTERM and not _ended(maker):
        pass
    # where orphans are not adopted, its group is what can be found
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(maker, signal.SIGKILL)
    kill_children(me, FAREWELL_SECONDS)
    os._exit(0)


def _ended(maker: int) -> bool:
    """Whether the maker has ended; orphans that have are waited for, the maker is not: its number stays its own."""
    while (seen := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
        if seen.si_pid == maker:
            return True
        os.waitpid(seen.si_pid, 0)
    return False


def _make(asked: Path, answers: Path, parent: int) -> NoReturn:
    try:
        os.setsid()
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        from dermae_bench.plugin.cardmaker import answer_all

        answer_all(asked, answers)
    except BaseException:  # noqa: BLE001 (this process must not go on as a second warden)
        traceback.print_exc()
    finally:
        # without exit handlers: all is answered, and a plugin's threads must not hold it up
        os._exit(0)


if __name__ == "__main__":
    guard(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
