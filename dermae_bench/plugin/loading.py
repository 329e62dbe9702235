"""Importing one plugin, in a process that may: by its module, through its hook, by its name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import near
from dermae_bench.plugin.hookspecs import KINDS, PROJECT, Declarations

_BASES = {
    "dataset": ("data", ("Dataset",)),
    "generator": ("contracts", ("Generator",)),
    "pretrainer": ("contracts", ("Pretrainer",)),
    "classifier": ("contracts", ("Classifier",)),
    "extractor": ("extractor", ("Extractor",)),
    "metric": ("measures", ("SampleMetric", "PredictionMetric", "CostMetric")),
}
"""Kind -> (module, classes) of what a plugin of that kind derives from; imported when one is loaded."""
_HARNESS = Path(__file__).parent.parent
_IMPORTING = (_HARNESS / "plugin", _HARNESS / "testing", Path(importlib.__file__).parent)
"""Folders of what stands between a question about a plugin and the plugin's own code."""


def load_module(module: str, file: str | None = None) -> ModuleType:
    """Import an installed module, or a single file together with the siblings that it imports."""
    if file is None:
        return importlib.import_module(module)
    path = Path(file)
    if str(path.parent) not in sys.path:
        # last, so that a plugin called like a library never stands in for it
        sys.path.append(str(path.parent))
    # a name of its own: a plugin file called timm.py must not replace the library in this process
    module = f"dermae_bench_file_{module}"
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path.name} is not a Python file")
    loaded = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        # half a module must not be found by whoever imports that name next
        del sys.modules[module]
        if before is not None:
            sys.modules[module] = before
        raise
    return loaded


def place_of(error: BaseException, home: Path | None = None) -> str:
    """`` (FILE, line N)``: where in its own files a plugin stood; empty where it stood in none.

    Args:
        error: what the plugin raised, as it was caught.
        home: folder of its files; without it, that of the first one that was imported.
    """
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    stood = [(path, line) for path, line in frames if path.is_absolute() and path.parent not in _IMPORTING]
    home = home or (stood[0][0].parent if stood else None)
    # what it calls may raise, and itself be called by others: the innermost of its own lines is meant
    own = [(path, line) for path, line in stood if path.parent == home]
    return f" ({own[-1][0].name}, line {own[-1][1]})" if own else ""


def _refuse_misspelt(module: ModuleType) -> None:
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if hasattr(function, f"{PROJECT}_impl") and name not in KINDS:
            code = inspect.unwrap(function).__code__
            guess = near(name, KINDS)
            raise PluginError(
                f"{Path(code.co_filename).name}, line {code.co_firstlineno}: unknown hook {name!r}; "
                + (f"did you mean {guess!r}?" if guess else f"hooks: {', '.join(sorted(KINDS))}")
            )


def load_plugin(name: str, module: str, file: str | None = None) -> tuple[str, type[Any]]:
    """(kind, class) that the module's hooks declare under `name`.

    Raises:
        PluginError: no hook returns that name, more than one does, or a hook is misspelt.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Declarations)
    try:
        loaded = load_module(module, file)
        _refuse_misspelt(loaded)
        manager.register(loaded, name=module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(str(error)) from error
    found: list[tuple[str, type[Any]]] = []
    by_class: list[tuple[str, type[Any]]] = []
    offered: list[str] = []
    for hook, kind in KINDS.items():
        for mapping in getattr(manager.hook, hook)():
            if not isinstance(mapping, Mapping) or not all(isinstance(cls, type) for cls in mapping.values()):
                raise PluginError(f"{hook} of module {module} must return a mapping from names to classes")
            offered += mapping
            found += [(kind, cls) for key, cls in mapping.items() if name == key]
            by_class += [(kind, cls) for key, cls in mapping.items() if name == cls.__name__ != key]
    found = found or by_class
    if len(found) != 1:
        what = "declares no" if not found else "declares more than one"
        raise PluginError(
            f"module {module} {what} {name!r}", hint=f"it declares: {', '.join(sorted(offered)) or 'nothing'}"
        )
    kind, cls = found[0]
    home, bases = _BASES[kind]
    contracts = importlib.import_module(f"dermae_bench.plugin.{home}")
    if not issubclass(cls, tuple(getattr(contracts, base) for base in bases)):
        raise PluginError(
            f"{cls.__name__} of module {module} is declared as a {kind}, but is no "
            + " or ".join(f"api.{base}" for base in bases)
        )
    return kind, cls
