"""Typed parameters: dataclass -> JSON Schema -> checked values -> dataclass.

A field of a `Config` is written `name: annotation = default`, followed by a string literal that documents it::

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: Annotated[float, Between(0)] = 1e-4
        '''Learning rate of Adam.'''

Allowed annotations: bool, int, float, str, Literal[...], X | None and other unions of different JSON kinds,
tuple[X, ...], Mapping[str, X], nested frozen dataclasses, File, Folder, Annotated[number, Between(low, high)].
"""

from __future__ import annotations

import ast
import collections.abc
import itertools
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from dermae_bench.errors import PluginError
from dermae_bench.plugin.checking import Finding as Finding
from dermae_bench.plugin.checking import check as check
from dermae_bench.plugin.checking import json_kind, kinds_of, suggestion
from dermae_bench.plugin.checking import paths_in as paths_in


class File(str):
    """Path of a file given by the user; the digest of its content, never the path, enters keys."""


class Folder(str):
    """Path of a folder given by the user; the digest of its files enters keys."""


@dataclass(frozen=True)
class Between:
    """Inclusive bounds of a number: `Annotated[float, Between(0, 1)]`; None leaves a side open."""

    low: float | None = None
    high: float | None = None


_ALLOWED = (
    "allowed: bool, int, float, str, Literal, X | None, tuple[X, ...], Mapping[str, X], nested frozen dataclasses, "
    "File, Folder, Annotated[number, Between(low, high)]"
)
_PLAIN: Mapping[Any, Mapping[str, str]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    File: {"type": "string", "x-path": "file"},
    Folder: {"type": "string", "x-path": "folder"},
}


@cache
def schema_of(config: type, *, free: bool = False) -> dict[str, Any]:
    """JSON Schema (a subset of 2020-12) of a frozen dataclass. The result is cached: do not change it.

    Args:
        config: frozen dataclass; what its fields allow is listed at the head of this module.
        free: whether `Mapping[str, Any]` is allowed (the harness's own types hold a plugin's words so).

    Raises:
        PluginError: not a frozen dataclass, an annotation that is not supported, or a default that breaks the schema;
            names class and field.
    """
    parameters = getattr(config, "__dataclass_params__", None)
    if not is_dataclass(config) or parameters is None or not parameters.frozen:
        raise PluginError(
            f"{config.__qualname__} must be a frozen dataclass", hint="@dataclass(frozen=True, kw_only=True)"
        )
    hints, documents = _hints(config), _documents(config)
    properties: dict[str, Any] = {}
    for entry in fields(config):
        where = f"{config.__module__}.{config.__qualname__}.{entry.name}"
        schema = dict(_schema(hints[entry.name], where, free))
        if entry.name in documents:
            schema["description"] = documents[entry.name]
        if not _is_required(entry):
            default = _json(entry.default_factory() if entry.default_factory is not MISSING else entry.default)
            schema["default"], findings = check(default, schema)
            if findings:
                raise PluginError(f"the default of {where} is not allowed: {findings[0].message}")
        properties[json_name(entry.name)] = schema
    required = [json_name(entry.name) for entry in fields(config) if _is_required(entry)]
    return {
        "title": config.__qualname__,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def build(config: type, values: Mapping[str, Any]) -> Any:
    """Make the dataclass from values that `check` returned without a finding: tuples, nested dataclasses, File, Folder.

    Raises:
        PluginError: a key that the class does not have or lacks, or the class's own `__post_init__` refused the values.
    """
    converters = _converters(config)
    unknown = values.keys() - converters.keys()
    if unknown:
        name = min(unknown)
        raise PluginError(f"{config.__qualname__} has no parameter {name!r}", hint=suggestion(name, converters))
    keywords = {}
    for name, value in values.items():
        field_name, convert = converters[name]
        keywords[field_name] = value if convert is None else convert(value)
    try:
        return config(**keywords)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{config.__qualname__}: {error}") from error


@cache
def has_rules(config: type) -> bool:
    """Whether the dataclass, or one that it holds, has a `__post_init__`: then not all that its schema allows is."""
    return hasattr(config, "__post_init__") or any(has_rules(held) for held in _held(_hints(config).values()))


def _held(annotations: Iterable[Any]) -> Iterator[type]:
    """The dataclasses among annotations and in them."""
    for annotation in annotations:
        if isinstance(annotation, type) and is_dataclass(annotation):
            yield annotation
        else:
            yield from _held(get_args(annotation))


def json_name(field_name: str) -> str:
    """How a field is spelled in files: `from_` is written `from`."""
    return field_name[:-1] if field_name.endswith("_") else field_name


def _is_required(entry: Field[Any]) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


@cache
def _hints(config: type) -> dict[str, Any]:
    try:
        return get_type_hints(config, include_extras=True)
    except Exception as error:
        reason = f"the annotations of {config.__qualname__} cannot be read: {error}"
        raise PluginError(reason, hint="every name in them must be imported at the top of the module") from error


def _schema(annotation: Any, where: str, free: bool) -> Mapping[str, Any]:
    if isinstance(annotation, collections.abc.Hashable) and annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        schema = dict(_schema(arguments[0], where, free))
        for bounds in (extra for extra in arguments[1:] if isinstance(extra, Between)):
            if schema.get("type") not in ("integer", "number"):
                raise PluginError(f"{where}: Between bounds a number", hint=_ALLOWED)
            sides = {"minimum": bounds.low, "maximum": bounds.high}
            schema.update({side: bound for side, bound in sides.items() if bound is not None})
        return schema
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, UnionType):
        members = [_schema(argument, where, free) for argument in arguments]
        _need_distinct(members, where)
        return {"anyOf": members}
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], where, free)}
    if origin in (dict, collections.abc.Mapping) and arguments[0] is str:
        if arguments[1] is Any and free:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": _schema(arguments[1], where, free)}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return schema_of(annotation, free=free)
    raise PluginError(f"{where}: annotation {annotation!r} is not supported", hint=_ALLOWED)


def _need_distinct(members: list[Mapping[str, Any]], where: str) -> None:
    seen: set[str] = set()
    for member in members:
        kinds = kinds_of(member)
        if kinds & seen and not (kinds == {"object"} and "properties" in member):
            twice = ", ".join(sorted(kinds & seen))
            raise PluginError(f"{where}: two members of the union are the same in JSON ({twice})", hint=_ALLOWED)
        seen |= kinds


def _json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {json_name(entry.name): _json(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, str) else value


Converter = Callable[[Any], Any]


@cache
def _converters(config: type) -> dict[str, tuple[str, Converter | None]]:
    hints = _hints(config)
    return {json_name(entry.name): (entry.name, _converter(hints[entry.name])) for entry in fields(config)}


def _converter(annotation: Any) -> Converter | None:
    """What turns a JSON value into the annotated type; None where it is that already."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _converter(arguments[0])
    if annotation in (File, Folder):
        return annotation  # type: ignore[no-any-return]
    if origin in (Union, UnionType):
        return _union_converter(arguments)
    if origin is tuple:
        item = _converter(arguments[0])
        return tuple if item is None else lambda value: tuple(map(item, value))
    if origin in (dict, collections.abc.Mapping):
        inner = _converter(arguments[1])
        return dict if inner is None else lambda value: {key: inner(item) for key, item in value.items()}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return lambda value: build(annotation, value)
    return None


def _union_converter(arguments: tuple[Any, ...]) -> Converter | None:
    by_kind: dict[str, list[tuple[set[str], Converter]]] = {}
    for argument in arguments:
        convert = _converter(argument)
        if convert is None:
            continue
        is_class = isinstance(argument, type) and is_dataclass(argument)
        names = set(_converters(argument)) if is_class else set()
        origin = get_origin(argument)
        text = argument in (File, Folder)
        kind = "string" if text else "array" if origin is tuple else "object"
        by_kind.setdefault(kind, []).append((names, convert))
    if not by_kind:
        return None

    def converted(value: Any) -> Any:
        choices = by_kind.get(json_kind(value))
        if not choices:
            return value
        if len(choices) == 1:
            return choices[0][1](value)
        return max(choices, key=lambda choice: len(choice[0] & set(value)) - len(set(value) - choice[0]))[1](value)

    return converted


def _documents(config: type) -> dict[str, str]:
    """Field name -> the string literal under it, over the class and its bases; {} where there is no source."""
    found: dict[str, str] = {}
    for base in reversed(config.__mro__[:-1]):
        body = _class_body(getattr(sys.modules.get(base.__module__), "__file__", None), base.__qualname__)
        for statement, following in itertools.pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = following.value.value
                if isinstance(text, str):
                    found[statement.target.id] = " ".join(text.split())
    return found


@cache
def _class_bodies(source: str) -> dict[str, list[ast.stmt]]:
    bodies: dict[str, list[ast.stmt]] = {}

    def visit(statements: list[ast.stmt], prefix: str) -> None:
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                bodies[prefix + statement.name] = statement.body
                visit(statement.body, f"{prefix}{statement.name}.")
            elif isinstance(statement, ast.FunctionDef):
                visit(statement.body, f"{prefix}{statement.name}.<locals>.")

    visit(ast.parse(source).body, "")
    return bodies


def _class_body(file: str | None, qualname: str) -> list[ast.stmt]:
    if file is None or not file.endswith(".py"):
        return []
    # another file may lie there by now: an edited one in a notebook, one more attempt in a test
    linecache.checkcache(file)
    return _class_bodies("".join(linecache.getlines(file))).get(qualname, [])
