"""Memory of an attempt with all that it started, and whether the kernel's out-of-memory killer has been at work."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from dermae_bench.execute.proc import descendants, processes

_IN_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")
"""File systems whose files are memory."""
_ANONYMOUS = "/memfd:"
"""How the names of files begin that are in no file system (memfd_create)."""
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How the kernel writes blanks in the names of mount points."""
_BLOCK = 512
"""Bytes of a block that `stat` counts."""


def memory_of(leader: int, limit: int, store: Path | None = None) -> int:
    """Bytes of memory of an attempt and of all that it started; 0 where the system does not tell.

    These are the processes of its group, those of its session, and all descendants of either. Daemons are among them,
    because an attempt adopts the orphans below it.

    Pages that a forked process shares with others are counted in part (PSS) as soon as the plain sum is above `limit`:
    an attempt must not be killed for what it has in common with the server or with its own workers.

    Files that are memory count like it, each once, whether mapped or not: those that one of these processes holds open
    and that have no name, or that it may write. A file with a name that it only reads is somebody's data.

    Args:
        leader: process id of the attempt.
        limit: bytes above which it is worth to count exactly.
        store: a folder whose file system is the user's choice: files with names there are what a run is to write.
    """
    everyone = processes()
    near = {pid for pid, about in everyone.items() if leader in (pid, about.group, about.session)}
    members = {pid: everyone[pid].resident for pid in descendants(near, everyone)}
    held = _held_files(members, store)
    most = sum(members.values()) + sum(held.values())
    if most <= limit:
        return most
    exact = sum(_share(pid, resident) for pid, resident in members.items())
    return exact + sum(held.values()) - (sum(_mapped(pid, held) for pid in members) if held else 0)


def _held_files(pids: Iterable[int], store: Path | None) -> dict[tuple[int, int], int]:
    """(device, inode) -> bytes of the files in memory that these processes hold open."""
    mounts = _mounts()
    try:
        spared = os.stat(store).st_dev if store is not None else None  # noqa: PTH116 (as below)
    except OSError:
        spared = None
    found = {}
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            for number in os.listdir(folder):  # noqa: PTH208 (numbers, not paths; and a hundred a second)
                # it may be closed, or its process may end, meanwhile
                with contextlib.suppress(OSError):
                    link = f"{folder}/{number}"
                    name = os.readlink(link)  # noqa: PTH115
                    nameless = name.startswith(_ANONYMOUS)
                    # only what lies in memory is asked for more: a file on a dead server would not answer
                    if not nameless and not (name.startswith("/") and _in_memory(name, mounts)):
                        continue
                    about = os.stat(link)  # noqa: PTH116
                    if not stat.S_ISREG(about.st_mode):
                        continue
                    written = os.lstat(link).st_mode & stat.S_IWUSR and about.st_dev != spared
                    if nameless or about.st_nlink == 0 or written:
                        found[about.st_dev, about.st_ino] = about.st_blocks * _BLOCK
    return found


def _mounts() -> list[tuple[str, bool]]:
    """Each mount point, the longest first, and whether what lies there is memory."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    points: dict[str, bool] = {}
    for line in lines:
        about, _, system = line.partition(" - ")
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), about.split()[4])
        # a later one hides an earlier one
        points[point.rstrip("/")] = system.split()[0] in _IN_MEMORY
    return sorted(points.items(), key=lambda point: len(point[0]), reverse=True)


def _in_memory(name: str, mounts: list[tuple[str, bool]]) -> bool:
    return next((memory for point, memory in mounts if name.startswith(f"{point}/")), False)


def _mapped(pid: int, files: Mapping[tuple[int, int], int]) -> int:
    """Bytes of a process's memory (PSS) that are pages of these files."""
    total, counts = 0, False
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
            if line.startswith("Pss:") and counts:
                total += int(line.split()[1]) * 1024
            elif "-" in line[:17]:
                # `start-end rights offset device inode name`
                _, _, _, device, inode, *_ = line.split(None, 5)
                major, minor = (int(number, 16) for number in device.split(":"))
                counts = (os.makedev(major, minor), int(inode)) in files
    return total


def _share(pid: int, resident: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return 0 if not Path(f"/proc/{pid}").exists() else resident
    except OSError:
        return resident
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), resident)


class OomKills:
    """Counts of the kernel: how many processes its out-of-memory killer has ended in our control group.

    Where no group counts, it is those of the whole machine. Each kill explains one death.
    """

    def __init__(self) -> None:
        self._files = counters()
        self._explained = self.count()

    def count(self) -> int:
        """Kills so far; 0 where nobody counts."""
        for file in self._files:
            with contextlib.suppress(OSError, ValueError, LookupError):
                lines = file.read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    def explains(self, before: int) -> bool:
        """Whether there was a kill since the count was `before` that has explained no other death yet."""
        now = self.count()
        if now <= before or now <= self._explained:
            return False
        self._explained = max(self._explained, before) + 1
        return True


def counters(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Files with a line `oom_kill N`, the nearest to this process first (cgroup v2, v1, the whole machine)."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            inner = place.strip("/")
            if not controllers:
                # inside a container the group's path may be one that only the host knows
                found += [base / inner / "memory.events" for base in (groups, groups / "unified")]
                found.append(groups / "memory.events")
            elif "memory" in controllers.split(","):
                found += [groups / "memory" / inner / "memory.oom_control", groups / "memory" / "memory.oom_control"]
    found.append(proc / "vmstat")
    return [file for file in found if _counts(file)]


def _counts(file: Path) -> bool:
    try:
        return any(line.startswith("oom_kill ") for line in file.read_text().splitlines())
    except OSError:
        return False
