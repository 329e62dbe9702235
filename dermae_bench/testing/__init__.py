"""The conformance kit that every plugin, ours and others', must pass.

In a plugin's own tests::

    from dermae_bench.testing import check

    def test_conformance():
        check("my-plugin")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dermae_bench.errors import BenchError, PluginError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.testing.checks import Check, checks_for


def run_checks(name: str, plugins_dir: Path | None = None) -> tuple[str, Sequence[Check]]:
    """(kind, results) of every check that applies to the plugin `name`; imports it in this process.

    Raises:
        PluginError: there is no such plugin, or it cannot be imported.
    """
    reference = Catalog(plugins_dir).reference(name)
    try:
        kind, cls = load_plugin(reference.name, reference.module, reference.file)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    return kind, checks_for(kind, cls)


def check(name: str, plugins_dir: Path | None = None) -> None:
    """Raise `PluginError` naming every broken promise of the plugin `name`."""
    kind, results = run_checks(name, plugins_dir)
    broken = [result for result in results if result.reason is not None]
    if broken:
        lines = "\n  ".join(f"{result.name}: {result.reason}" for result in broken)
        raise PluginError(f"{kind} {name!r} breaks {len(broken)} of {len(results)} promises:\n  {lines}")


__all__ = ["Check", "check", "run_checks"]
