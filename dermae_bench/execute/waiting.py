"""A run that has nothing to do but to wait for other runs says so, once for each of them."""

from __future__ import annotations

from collections.abc import Callable

from dermae_bench.store.leases import Lease

WAIT_SECONDS = 5.0
"""After how long with nothing to do."""


class Waiting:
    """For whom a run waits.

    Args:
        say: told "waiting for process ... on host ..., which works on ... since ...".
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.held: list[Lease] = []
        """Leases of stages that are ready, which others hold."""
        self._say = say
        self._since: float | None = None
        self._told: set[tuple[str, int]] = set()
        """Host and process of those who were named."""

    def busy(self) -> None:
        """Something of this run is under way."""
        self._since = None

    def idle(self, now: float) -> None:
        """Nothing is; name those who hold what is ready when that has lasted long enough (seconds, monotonic)."""
        self._since = self._since if self._since is not None else now
        if now < self._since + WAIT_SECONDS:
            return
        for lease in self.held:
            holder = lease.holder()
            if holder is not None and (holder.host, holder.pid) not in self._told:
                self._told.add((holder.host, holder.pid))
                self._say(f"waiting for {holder}")
