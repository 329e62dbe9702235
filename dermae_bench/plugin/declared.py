"""Which plugins a single file declares, read from its source: nothing is imported for a list of names."""

from __future__ import annotations

import ast
from pathlib import Path

from dermae_bench.errors import PluginError
from dermae_bench.plugin.sources import read_source


def declared(file: Path) -> list[str]:
    """Names that a single-file plugin declares: the string keys of the mappings its hooks return."""
    try:
        tree = _parsed(file)
    except PluginError:
        # listed under its file name, with the reason on its card
        return [file.stem]
    hooks = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("dermae_")]
    mappings = [n for hook in hooks for n in ast.walk(hook) if isinstance(n, ast.Dict)]
    return [k.value for m in mappings for k in m.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]


def _parsed(file: Path) -> ast.Module:
    """Raises PluginError: it cannot be read or is not Python, with its name, line and reason."""
    try:
        return ast.parse(read_source(file))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise PluginError(f"{file.name}{line}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise PluginError(f"{file.name} is not Python: {error}") from error


def why_unread(file: Path) -> str:
    """Why the names of a file are unknown; empty where it can be read."""
    try:
        _parsed(file)
    except PluginError as error:
        return error.message
    return ""
