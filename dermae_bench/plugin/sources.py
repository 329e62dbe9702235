"""Which files a plugin is made of, found by reading them: nothing is imported, nothing is run.

The digest of a plugin is that of its module and of everything it imports inside its own package or inside the
shipped one, parents included, since they run too. Third parties are named, so that their versions can stand beside it
in a key.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dermae_bench.bounded.files import Unreadable, open_plain, read_bytes
from dermae_bench.errors import DataMissing, PluginError

HARNESS = "dermae_bench"
BUILTIN = "dermae_bench.builtin"
SHIPPED = "dermae_plugins"
"""Plugins that come with the harness, and their parts. Others may build on them, and a version would not tell what
they were built on: a checkout that is edited keeps its version."""
LARGEST_SOURCE = 4 << 20
"""Bytes of a source file; the largest of well-known libraries has less than half of that."""
LARGEST_DATA = 1 << 30
"""Bytes of a file that a module declares in `sources`."""


@dataclass(frozen=True)
class Sources:
    """What a plugin's module is made of."""

    digest: str
    """SHA-256 over (module name, file digest) of the closure."""
    files: dict[str, Path]
    """Module name -> source file."""
    libraries: tuple[str, ...]
    """Top-level names of third-party modules it imports."""


@dataclass
class _Walk:
    """Import closure of one module inside `scope`."""

    scope: str
    folder: Path | None
    specs: dict[str, ModuleSpec | None] = field(default_factory=dict)

    def spec(self, name: str) -> ModuleSpec | None:
        if name not in self.specs:
            self.specs[name] = self._find(name)
        return self.specs[name]

    def _find(self, name: str) -> ModuleSpec | None:
        parent, _, _ = name.rpartition(".")
        if not parent:
            found = None
            if self.folder is None or name == SHIPPED:
                found = next((s for f in sys.meta_path if (s := f.find_spec(name, None, None))), None)
            # the installed package comes first, as it does when a plugin of the folder is imported
            return found if found or self.folder is None else PathFinder.find_spec(name, [str(self.folder)])
        above = self.spec(parent)
        locations = above.submodule_search_locations if above else None
        if locations is None:
            return None
        # never importlib.util.find_spec(name): it runs the parents, and with them torch
        return next((s for f in sys.meta_path if (s := f.find_spec(name, list(locations), None))), None)

    def inside(self, name: str, package: str) -> bool:
        """Whether the module `name` that a module of `package` imports is a source of the plugin."""
        if _within(name, SHIPPED):
            return True
        if _within(package, SHIPPED):
            # a file timm.py beside the plugin is not the timm that the shipped modules import
            return False
        if self.folder is not None:
            top = name.partition(".")[0]
            # a folder of plugins may be the harness's own checkout
            return top != HARNESS and self.spec(top) is not None
        return _within(name, self.scope)

    def imports(self, name: str, text: bytes, package: str) -> tuple[set[str], set[str]]:
        """Modules of the scope and top-level names of others that the source text imports."""
        own: set[str] = set()
        others: set[str] = set()
        for node in _imports_that_run(text):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    (own if self.inside(alias.name, package) else others).add(alias.name)
                continue
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if not self.inside(base, package):
                others.add(base)
                # `from dermae_bench import builtin` and the like name a module inside the scope from outside it
                own |= {f"{base}.{a.name}" for a in node.names if self.inside(f"{base}.{a.name}", package)}
                continue
            own.add(base)
            own |= {f"{base}.{a.name}" for a in node.names if a.name != "*" and self.spec(f"{base}.{a.name}")}
        for module in [*own, name]:
            parent = module.rpartition(".")[0]
            while parent and self.inside(parent, package):
                own.add(parent)
                parent = parent.rpartition(".")[0]
        return own - {name}, {other.partition(".")[0] for other in others}


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@cache
def _imports_that_run(text: bytes) -> Sequence[ast.Import | ast.ImportFrom]:
    """Every import of a module but those under `if TYPE_CHECKING:`; plugins share most of their files."""
    found: list[ast.Import | ast.ImportFrom] = []
    todo: list[ast.AST] = [ast.parse(text)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)
    return found


def sources_of(module: str, file: Path | None = None) -> Sources:
    """Closure and digest of the plugin module `module`, or of the single file `file` and its siblings.

    Raises:
        PluginError: a module of the closure has no source, or cannot be parsed.
    """
    top = module.partition(".")[0]
    scope = BUILTIN if module.startswith(f"{BUILTIN}.") else top
    walk = _Walk(scope, file.parent.resolve() if file else None)
    sums: dict[str, str] = {}
    files: dict[str, Path] = {}
    libraries: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in sums:
            continue
        if _within(name, SHIPPED) and scope != SHIPPED and walk.spec(name) is None:
            # it may be imported in a `try`, for the sake of another version; if not, the import tells the line
            sums[name] = "absent"
            continue
        path, package = _locate(walk, name, file if name == module else None)
        if path is None:
            sums[name] = "namespace"
            continue
        files[name] = path
        # the user knows a file by its name in the folder of plugins, whatever a link there leads to
        said = f"{module}.py" if path == file else path.name
        if path.suffix != ".py" and path != file:
            # a compiled module
            sums[name] = _digest(path, said)
            continue
        text = read_source(path, said)
        sums[name] = hashlib.sha256(text).hexdigest()
        try:
            own, others = walk.imports(name, text, package)
            data = _declared_data(text)
        except SyntaxError as error:
            line = f", line {error.lineno}" if error.lineno else ""
            raise PluginError(f"{said}{line}: {error.msg}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise PluginError(f"{said} is not Python: {error}") from error
        libraries |= others
        todo += own
        for relative in data:
            sums[f"{name}:{relative}"] = _data_digest(path.parent, relative, name)
    libraries -= set(sys.stdlib_module_names) | {HARNESS, "__future__"}
    digest = hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()
    return Sources(digest, files, tuple(sorted(libraries)))


def read_source(path: Path, said: str | None = None) -> bytes:
    """The bytes of a source file; never waits, and never reads more than `LARGEST_SOURCE`.

    Args:
        said: what it is called in an error, if not by its own name.

    Raises:
        PluginError: it is no plain file, too large, gone, or may not be read; with its name and the reason.
    """
    try:
        return read_bytes(path, LARGEST_SOURCE)
    except (Unreadable, DataMissing) as error:
        raise PluginError(f"{said or path.name} cannot be read: {_why(error)}") from error


def _digest(path: Path, words: str) -> str:
    try:
        with open_plain(path, LARGEST_DATA) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (Unreadable, DataMissing) as error:
        raise PluginError(f"{words} cannot be read: {_why(error)}") from error
    except OSError as error:
        raise PluginError(f"{words} cannot be read: {error.strerror}") from error


def _why(error: Unreadable | DataMissing) -> str:
    """What is wrong with a file, without its folder."""
    return error.reason.removeprefix("it cannot be read: ") if isinstance(error, Unreadable) else "it is not there"


def _declared_data(text: bytes) -> list[str]:
    """Files that a module declares by ``sources = ("table.json", ...)``: what no import shows, such as tables."""
    if b"sources" not in text:
        return []
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) or [ast.unparse(target) for target in node.targets] != ["sources"]:
            continue
        if isinstance(node.value, ast.Tuple | ast.List):
            return [str(e.value) for e in node.value.elts if isinstance(e, ast.Constant)]
    return []


def _data_digest(folder: Path, relative: str, module: str) -> str:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise PluginError(f"module {module} declares {relative!r} in `sources`, which lies outside its folder")
    return _digest(path, f"{relative!r}, which module {module} declares in `sources`,")


def _locate(walk: _Walk, name: str, file: Path | None) -> tuple[Path | None, str]:
    if file is not None:
        return file, ""
    spec = walk.spec(name)
    if spec is None:
        raise PluginError(f"module {name} has no source that can be found", hint="is its distribution installed?")
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    if spec.origin is None or not Path(spec.origin).is_file():
        if spec.submodule_search_locations is not None:
            return None, package
        raise PluginError(f"module {name} has no source file")
    return Path(spec.origin), package
