"""`doctor`: does this installation work here? Each line is one thing tried for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dermae_bench.commands.printing import echo
from dermae_bench.durable import TEMPORARY, write_text
from dermae_bench.errors import FAILED, OK, BenchError
from dermae_bench.execute.local import Ended, LocalBackend
from dermae_bench.plugin.catalog import Catalog, cache_folder
from dermae_bench.store.artifacts import KINDS
from dermae_bench.store.environment import environment, versions
from dermae_bench.store.leases import Lease
from dermae_bench.store.refusals import free_bytes, refused, size

PROBE = """
import json, torch
from dermae_bench.plugin.flops import count_macs
layer = torch.nn.Linear(8, 4)
cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
macs = count_macs(layer, (torch.zeros(1, 8),))
print(json.dumps({"torch": torch.__version__, "cuda": cuda, "macs": macs}))
"""


def examine(results: Path, plugins_dir: Path | None) -> int:
    """Print one line a check; exit code 1 if any fails."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("system", _system),
        ("libraries", _libraries),
        ("torch", _torch),
        ("processes", _processes),
        ("store", lambda: _store(results)),
        ("cache", _cache),
        ("plugins", lambda: _plugins(plugins_dir)),
    ]
    code = OK
    for name, function in checks:
        try:
            echo(f"ok    {name:<10} {function()}")
        except (BenchError, OSError, subprocess.SubprocessError, ValueError) as error:
            echo(f"FAIL  {name:<10} {error}")
            code = FAILED
    return code


def _system() -> str:
    about = environment()
    return f"{about['system']}, {about['processor']}, {about['cores']} cores, Python {about['python']}"


def _libraries() -> str:
    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _torch() -> str:
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=300, check=False)
    if answer.returncode:
        raise BenchError(answer.stderr.strip().rpartition("\n")[2] or "torch cannot be imported")
    about = json.loads(answer.stdout)
    if about["macs"] != 32:
        raise BenchError(f"the FLOP counter says {about['macs']} MACs for a layer of 32")
    return f"{about['torch']}, device {about['cuda'] or 'cpu'}, FLOP counter right"


def _processes() -> str:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, LocalBackend(preload=("json",)) as backend:
        backend.submit("doctor", Path(folder), "dermae_bench.commands.doctor:no_op")
        ended: list[Ended] = []
        while not ended and time.monotonic() - started < 60:
            ended = backend.wait(1.0)
    if not ended or ended[0].code != 0:
        raise BenchError(f"an empty attempt ended as {ended[0] if ended else 'nothing'}")
    return (
        f"an attempt in a process of its own took {(time.monotonic() - started) * 1000:.0f} ms with the server's start"
    )


def no_op(folder: Path) -> None:
    """An attempt that does nothing."""
    write_text(folder / "result.json", "{}")


def _store(results: Path) -> str:
    root = results / "store"
    place = next(path for path in (root, *root.absolute().parents) if os.path.lexists(path))
    if not place.is_dir():
        raise BenchError(f"{place} is no folder")
    probe = Lease(place / f"{TEMPORARY}doctor-{os.getpid()}", "a try")
    try:
        taken = probe.take()
        held = probe.is_held()
        probe.release()
    except OSError as error:
        raise refused(error, place) from error
    finally:
        probe.path.unlink(missing_ok=True)
    if not taken or not held:
        raise BenchError(f"{place} lies on a file system whose locks do not hold")
    device = place.stat().st_dev
    elsewhere = [
        name for name in ("attempts", *KINDS) if (root / name).is_dir() and (root / name).stat().st_dev != device
    ]
    linked = f"; on another disk, so results are copied: {', '.join(elsewhere)}" if elsewhere else ""
    return f"{results} can be written and locked, {size(free_bytes(place))} free{linked}"


def _cache() -> str:
    folder = cache_folder()
    write_text(folder / "doctor", "ok", durable=False)
    return "can be written"


def _plugins(plugins_dir: Path | None) -> str:
    catalog = Catalog(plugins_dir)
    cards = catalog.cards([reference for found in catalog.references.values() for reference in found])
    broken = [f"{card.name}: {card.error}" for card in cards if card.error]
    if broken:
        raise BenchError(f"{len(broken)} of {len(cards)} are broken: {'; '.join(broken)}")
    return f"{len(cards)} can be used"
