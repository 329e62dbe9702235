"""Values against a JSON Schema: everything that is wrong, each with its path, and the values with defaults filled in.

Only the words that `params.schema_of` writes are understood: type, properties, required, additionalProperties,
default, enum, const, anyOf, items, minimum, maximum. Cards carry such schemas, so a suite is checked without plugins.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
Schema = Mapping[str, Any]

_LARGEST = 2**63 - 1
_SHOWN_NAMES = 30
_LONGEST_NAME, _MOST_NAMES = 100, 100
"""Beyond these nobody looks for what was meant: comparing texts is slow."""
_GUESSES = 20
"""Keys of one mapping for which a known one is suggested; with more of them unknown, it is another file."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong in a value: where (path of keys and indices), what, and a way out."""

    path: Path
    message: str
    hint: str | None = None
    on_key: bool = False
    """Whether the key itself is wrong, not what stands behind it."""


def check(value: Any, schema: Schema, at: Path = ()) -> tuple[Any, list[Finding]]:
    """Compare a JSON value with a schema.

    Args:
        value: what the user wrote; never changed.
        schema: as made by `params.schema_of`.
        at: where the value stands in a larger document; goes before every path.

    Returns:
        The value with defaults filled in, whole numbers turned into floats where a number is asked for and unknown
        keys left out (so an omitted and an explicit default, 1 and 1.0, are equal), and all findings. Where there is
        a finding the value stands as it was given.
    """
    findings: list[Finding] = []
    return _checked(value, schema, at, findings), findings


def paths_in(value: Any, schema: Schema, at: Path = ()) -> list[tuple[Path, str, str]]:
    """Every path given by the user: (place in the value, ``file`` or ``folder``, the text as written)."""
    if "x-path" in schema:
        return [(at, str(schema["x-path"]), value)] if isinstance(value, str) else []
    if "anyOf" in schema:
        member = _member(value, schema)
        return paths_in(value, member, at) if member is not None else []
    if isinstance(value, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        others = schema.get("additionalProperties")
        found = []
        for key, item in value.items():
            inner = properties.get(key, others)
            # most values are no paths and hold none
            if isinstance(inner, dict) and (type(item) is not str or "type" not in inner or "x-path" in inner):
                found += paths_in(item, inner, (*at, key))
        return found
    if isinstance(value, list | tuple) and "items" in schema:
        return [found for i, item in enumerate(value) for found in paths_in(item, schema["items"], (*at, i))]
    return []


def near(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, or None when nothing is close."""
    names = list(names)
    if len(names) > _MOST_NAMES:
        names = [name for name in names if name[:1].casefold() == word[:1].casefold()][:_MOST_NAMES]
    names = [name for name in names if len(name) <= _LONGEST_NAME]
    if len(word) > _LONGEST_NAME:
        return None
    folded = {name.casefold().replace("_", "-"): name for name in names}
    close = difflib.get_close_matches(word.casefold().replace("_", "-"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def suggestion(word: str, names: Iterable[str], label: str = "valid") -> str:
    """A "did you mean" where one is near, then the valid names."""
    valid = sorted(names)
    guess = near(word, valid)
    shown = ", ".join(valid[:_SHOWN_NAMES]) + (
        f", ... ({len(valid) - _SHOWN_NAMES} more)" if len(valid) > _SHOWN_NAMES else ""
    )
    return (f"did you mean {guess!r}? " if guess else "") + f"{label}: {shown or 'none'}"


def dotted(path: Sequence[str | int]) -> str:
    """A path as a person reads it: ``classifiers.vit-b.params``."""
    return ".".join(step if isinstance(step, str) and step.isprintable() else repr(step) for step in path)


def shown(value: Any) -> str:
    """A value in a message: short, and never with raw control characters."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return f"text {value[:60]!r}" + ("..." if len(value) > 60 else "")
    return "a mapping" if isinstance(value, Mapping) else "a list"


def json_kind(value: Any) -> str:
    """JSON's name for the type of a value; whole numbers are ``integer``, all others ``number``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, Mapping) else "array"


def kinds_of(schema: Schema) -> frozenset[str]:
    """JSON kinds that a schema may accept; empty for one that accepts anything."""
    if "anyOf" in schema:
        return frozenset().union(*(kinds_of(member) for member in schema["anyOf"]))
    if "enum" in schema:
        return frozenset(map(json_kind, schema["enum"]))
    if "const" in schema:
        return frozenset((json_kind(schema["const"]),))
    kind = schema.get("type")
    return frozenset(("integer", "number")) if kind == "number" else frozenset((kind,) if kind else ())


def _checked(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    kind = schema.get("type")
    if kind is not None:
        return _BY_TYPE[kind](value, schema, at, findings)
    if "anyOf" in schema:
        member = _member(value, schema)
        if member is None:
            return _mismatch(value, schema, at, findings)
        is_choice = "enum" in member or "const" in member
        return _chosen(value, member, schema, at, findings) if is_choice else _checked(value, member, at, findings)
    is_free = "enum" not in schema and "const" not in schema
    return _free(value, schema, at, findings) if is_free else _chosen(value, schema, schema, at, findings)


def _chosen(value: Any, schema: Schema, whole: Schema, at: Path, findings: list[Finding]) -> Any:
    choices = schema["enum"] if "enum" in schema else (schema["const"],)
    # type() beside ==, since True == 1 and 1.0 == 1
    if not any(type(choice) is type(value) and choice == value for choice in choices):
        guess = near(value, (c for c in choices if isinstance(c, str))) if isinstance(value, str) else None
        message = f"expected {_expected(whole)}, got {shown(value)}"
        findings.append(Finding(at, message, f"did you mean {guess!r}?" if guess else None))
    return value


def _choice(value: Any) -> str:
    return repr(value) if isinstance(value, str) else shown(value)


def _member(value: Any, schema: Schema) -> Schema | None:
    kind = json_kind(value)
    fitting: list[Schema] = [member for member in schema["anyOf"] if kind in kinds_of(member)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    keys = set(value)

    def fit(member: Schema) -> tuple[int, int]:
        known = set(member.get("properties", ()))
        return len(keys & known) - len(keys - known), -len(set(member.get("required", ())) - keys)

    return max(fitting, key=fit)


_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}


def _expected(schema: Schema) -> str:
    if "anyOf" in schema:
        words = list(dict.fromkeys(_expected(member) for member in schema["anyOf"]))
        return ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]
    if "enum" in schema:
        return "one of " + ", ".join(map(_choice, schema["enum"]))
    if "const" in schema:
        return _choice(schema["const"])
    return f"the path of a {schema['x-path']}" if "x-path" in schema else _WORDS[schema["type"]]


def _mismatch(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    kinds, hint = kinds_of(schema), None
    if value is None:
        hint = "give it a value, or remove the key"
    elif isinstance(value, str) and "boolean" in kinds and value.lower() in ("yes", "on", "y", "no", "off", "n"):
        hint = "write true" if value.lower() in ("yes", "on", "y") else "write false"
    elif isinstance(value, str) and kinds & {"integer", "number", "boolean"} and _is_quoted_number(value):
        hint = "remove the quotes"
    elif isinstance(value, float) and "integer" in kinds and value.is_integer():
        hint = f"write {int(value)}"
    elif isinstance(value, bool | int | float) and "string" in kinds:
        hint = f"write it in quotes: {shown(value)!r}"
    elif "array" in kinds and isinstance(value, str | int | float):
        hint = f"write [{value if isinstance(value, str) else shown(value)}]"
    findings.append(Finding(at, f"expected {_expected(schema)}, got {shown(value)}", hint))
    return value


def _is_quoted_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return text in ("true", "false")


def _within(value: float, schema: Schema, at: Path, findings: list[Finding]) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        words = (f"at least {low}" if low is not None else "", f"at most {high}" if high is not None else "")
        bounds = " and ".join(filter(None, words))
        findings.append(Finding(at, f"{value} is out of range: {bounds}"))


def _integer(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    if type(value) is not int:
        return _mismatch(value, schema, at, findings)
    if not -_LARGEST <= value <= _LARGEST:
        findings.append(Finding(at, f"{value} is too large: whole numbers have at most 63 bits"))
    else:
        _within(value, schema, at, findings)
    return value


def _number(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    if type(value) is int and -_LARGEST <= value <= _LARGEST:
        value = float(value)
    if type(value) is not float:
        return _mismatch(value, schema, at, findings)
    if not math.isfinite(value):
        findings.append(Finding(at, f"{value} is not a finite number"))
    else:
        _within(value, schema, at, findings)
    return value + 0.0  # -0.0 and 0.0 are one value


def _simple(kind: type) -> Callable[[Any, Schema, Path, list[Finding]], Any]:
    def checked(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
        if not isinstance(value, kind):
            return _mismatch(value, schema, at, findings)
        if "x-path" in schema and not value:
            findings.append(Finding(at, f"expected {_expected(schema)}, got empty text"))
        return value

    return checked


def _array(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    if not isinstance(value, list | tuple):
        return _mismatch(value, schema, at, findings)
    items = schema.get("items", {})
    return [_checked(item, items, (*at, i), findings) for i, item in enumerate(value)]


def _object(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    # dict first: the abstract class is ten times slower to ask
    if not isinstance(value, dict) and not isinstance(value, Mapping):
        return _mismatch(value, schema, at, findings)
    properties: Mapping[str, Any] | None = schema.get("properties")
    if properties is None:
        others = schema.get("additionalProperties")
        if not isinstance(others, dict):
            return _free(value, schema, at, findings)
        return {key: _checked(item, others, (*at, key), findings) for key, item in value.items()}
    result, taken = {}, 0
    for name, inner in properties.items():
        if name in value:
            taken += 1
            result[name] = _checked(value[name], inner, (*at, name), findings)
        elif "default" in inner:
            result[name] = _copy(inner["default"])
        else:
            place = f" in {dotted(at)}" if at else ""
            findings.append(Finding(at, f"missing key {name!r}{place}", inner.get("description")))
    if taken < len(value):
        unknown = 0
        for name in value:
            if name not in properties:
                unknown += 1
                hint = suggestion(str(name), properties, "valid keys") if unknown <= _GUESSES else None
                findings.append(Finding((*at, name), f"unknown key {name!r}", hint, on_key=True))
    return result


def _free(value: Any, schema: Schema, at: Path, findings: list[Finding]) -> Any:
    if isinstance(value, dict):
        return {key: _free(item, schema, (*at, key), findings) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_free(item, schema, (*at, i), findings) for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        findings.append(Finding(at, f"{value} is not a finite number"))
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


_BY_TYPE: Mapping[str, Callable[[Any, Schema, Path, list[Finding]], Any]] = {
    "object": _object,
    "array": _array,
    "string": _simple(str),
    "integer": _integer,
    "number": _number,
    "boolean": _simple(bool),
    "null": _simple(type(None)),
}
