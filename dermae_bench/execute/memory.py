"""Memory of an attempt with all that it started, and whether the kernel's out-of-memory killer has been at work."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dermae_bench.execute.proc import descendants, processes


def memory_of(leader: int, limit: int) -> int:
    """Bytes of resident memory of an attempt and of all that it started; 0 where the system does not tell.

    These are the processes of its group, those of its session, and all descendants of either. Daemons are among them,
    because an attempt adopts the orphans below it.

    Pages that a forked process shares with others are counted in part (PSS) as soon as the plain sum is above `limit`:
    an attempt must not be killed for what it has in common with the server or with its own workers.
    """
    everyone = processes()
    near = {pid for pid, about in everyone.items() if leader in (pid, about.group, about.session)}
    members = {pid: everyone[pid].resident for pid in descendants(near, everyone)}
    if sum(members.values()) <= limit:
        return sum(members.values())
    return sum(_share(pid, resident) for pid, resident in members.items())


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
