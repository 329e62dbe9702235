"""The conformance kit that every plugin, ours and others', must pass.

In a plugin's own tests::

    from dermae_bench.testing import check

    def test_conformance():
        check("my-plugin")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermae_bench.errors import BenchError, PluginError
from dermae_bench.plugin.catalog import Catalog, Reference
from dermae_bench.plugin.loading import load_plugin, place_of
from dermae_bench.testing.promise import Check


def run_checks(name: str, plugins_dir: Path | None = None) -> tuple[str, Sequence[Check]]:
    """(kind, results) of every check that applies to the plugin `name`; imports it in this process.

    Raises:
        PluginError: there is no such plugin, or it cannot be imported.
    """
    # torch is costly, and the command line tells what went wrong without it
    from dermae_bench.testing.checks import checks_for

    kind, cls = imported(name, Catalog(plugins_dir).reference(name))
    return kind, checks_for(kind, cls)


def imported(name: str, reference: Reference) -> tuple[str, type[Any]]:
    """(kind, class) of a plugin, which is imported in this process.

    Raises:
        PluginError: it cannot be imported.
    """
    try:
        return load_plugin(reference.name, reference.module, reference.file)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}{place_of(error)}"
        raise PluginError(f"plugin {name!r} cannot be imported: {reason}") from error


def check(name: str, plugins_dir: Path | None = None) -> None:
    """Raise `PluginError` naming every broken promise of the plugin `name`."""
    kind, results = run_checks(name, plugins_dir)
    broken = [result for result in results if result.reason is not None]
    if broken:
        lines = "\n  ".join(f"{result.name}: {result.reason}" for result in broken)
        raise PluginError(f"{kind} {name!r} breaks {len(broken)} of {len(results)} promises:\n  {lines}")


__all__ = ["Check", "check", "run_checks"]
