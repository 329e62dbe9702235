"""Strict and safe YAML with the place of every key and value.

Events of PyYAML's parser are read one by one, so depth, aliases, anchors and tags are refused before anything is
built and nothing recurses. Scalars follow YAML 1.2: `1e-4` is a float, `no` and `12:30:00` are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from dermae_bench.bounded.files import Unreadable, read_bytes
from dermae_bench.bounded.texts import decoded
from dermae_bench.errors import Place, Problem

LARGEST = 1 << 20
DEEPEST = 50
MOST_VALUES = 50_000
"""Keys, values, lists and mappings of a suite; those of the papers have some hundreds."""
_LONGEST_MESSAGE, _LONGEST_HINT = 600, 4_000
_MOST_PROBLEMS = 1_000

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*", re.ASCII)
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LONGEST_NUMBER = 40
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Source:
    """A text that values come from: a file, or one `--set`."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = text.splitlines()

    def problem(self, line: int, column: int, message: str, hint: str | None = None) -> Problem:
        """A problem at a 1-based line and column, with the line itself where it can be shown."""
        written = self.lines[line - 1] if line <= len(self.lines) else ""
        # a caret far to the right of a terminal helps nobody
        source = _CONTROL.sub("\ufffd", written.replace("\t", " ")[: column + 100]) if column <= 200 else None
        place = Place(_shown(self.name, _LONGEST_HINT), line, column)
        return Problem(_shown(message, _LONGEST_MESSAGE), place, source, _shown(hint, _LONGEST_HINT) if hint else None)


def _shown(text: str, longest: int) -> str:
    """What is quoted from a file must neither steer a terminal nor fill it."""
    return _CONTROL.sub("\ufffd", text if len(text) <= longest else text[: longest - 1] + "\u2026")


class Node:
    """A value with its place: a scalar, a dict of nodes or a list of nodes."""

    __slots__ = ("key_mark", "mark", "source", "value")

    def __init__(self, value: Any, mark: Any, source: Source, key_mark: Any = None) -> None:
        self.value = value
        self.mark = mark
        self.source = source
        self.key_mark = key_mark

    def plain(self) -> Any:
        """The value without places: dict, list and scalars."""
        value = self.value
        if type(value) is dict:
            return {key: node.plain() for key, node in value.items()}
        return [node.plain() for node in value] if type(value) is list else value

    def problem(self, message: str, hint: str | None = None, *, on_key: bool = False) -> Problem:
        """A problem where this value, or its key, stands."""
        mark = self.key_mark if on_key and self.key_mark is not None else self.mark
        return self.source.problem(mark.line + 1, mark.column + 1, message, hint)


def scalar(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema; `200_000` is a whole number too."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789.-+" or len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text.replace(".", "")) if _INFINITE.fullmatch(text) else text


def read_file(path: Path) -> tuple[Node | None, list[Problem]]:
    """Read a suite file; see `read_text`.

    Raises:
        DataMissing: it is not there.
    """
    name, data = str(path), b""
    try:
        data = read_bytes(path, LARGEST)
        text = decoded(data, path)
    except Unreadable as error:
        hint = error.hint or "a suite is a short text; is this the right file?"
        source = Source(name, data.decode("utf-8-sig", "replace") if error.line is not None else "")
        return None, [source.problem(error.line or 1, error.column or 1, error.reason, hint)]
    return read_text(text, name)


def read_text(text: str, name: str) -> tuple[Node | None, list[Problem]]:
    """Parse one YAML document.

    Returns:
        The root, and problems that leave the rest readable (duplicate keys, keys that are not text, tags, anchors).
        The root is None when the text cannot be read at all; the problems then say why.
    """
    source = Source(name, text)
    problems = _characters(source, text)
    if problems:
        return None, problems
    reader = _Reader(source)
    try:
        root = reader.read(text)
    except yaml.MarkedYAMLError as error:
        return None, [*reader.problems, _syntax(source, error)]
    except yaml.YAMLError as error:
        return None, [*reader.problems, source.problem(1, 1, f"not valid YAML: {error}")]
    return root, reader.problems


def _syntax(source: Source, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark
    if mark is None or (error.context_mark is not None and mark.line >= len(source.lines)):
        mark = error.context_mark  # where it was opened tells more than the end of the file
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = f"{error.context}: {error.problem}" if error.context else error.problem
    hint = (
        "quote text that holds `: `, or indent with two spaces a level"
        if "mapping values" in str(error.problem)
        else None
    )
    return source.problem(line, column, f"not valid YAML: {what}", hint)


def _characters(source: Source, text: str) -> list[Problem]:
    found = _CONTROL.search(text)
    if found:
        before = text[: found.start()].splitlines(keepends=True)
        inside = bool(before) and before[-1][-1:] not in "\r\n\x85\u2028\u2029"
        line, column = (len(before), len(before[-1]) + 1) if inside else (len(before) + 1, 1)
        return [source.problem(line, column, f"control character {found.group()!r} is not allowed", "remove it")]
    tabs = [(i, line.index("\t") + 1) for i, line in enumerate(source.lines, 1) if "\t" in line]
    if not tabs:
        return []
    more = f" (and in {len(tabs) - 1} more)" if len(tabs) > 1 else ""
    return [source.problem(*tabs[0], f"this line{more} holds a tab", "use spaces; inside double quotes write \\t")]


class _Reader:
    """Builds nodes from events; `problems` collects what leaves the rest readable."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def note(self, mark: Any, message: str, hint: str | None = None) -> None:
        self.problems.append(self.source.problem(mark.line + 1, mark.column + 1, message, hint))

    def read(self, text: str) -> Node | None:
        source, root, aliases, values = self.source, None, 0, 0
        # one frame an open collection: the node, and for mappings the key that waits for its value
        stack: list[Node] = []
        keys: list[Any] = []
        anchors: set[str] = set()
        documents = 0
        mapping_start, sequence_start = yaml.MappingStartEvent, yaml.SequenceStartEvent
        scalar_event, stream_end = yaml.ScalarEvent, yaml.StreamEndEvent
        next_event: Callable[[], Any] = _PARSER(text).get_event
        while type(event := next_event()) is not stream_end:
            kind = type(event)
            if kind is scalar_event or kind is mapping_start or kind is sequence_start:
                values += 1
                if values > MOST_VALUES:
                    self.note(event.start_mark, f"more than {MOST_VALUES:,} values", "a suite is a short text")
                    return None
                if event.anchor is not None or event.tag is not None:
                    self._refuse(event, anchors)
                    if len(self.problems) > _MOST_PROBLEMS:
                        return None
                if kind is scalar_event:
                    value = event.value if event.style else scalar(event.value)
                    node = Node(value, event.start_mark, source)
                else:
                    node = Node({} if kind is mapping_start else [], event.start_mark, source)
                    if len(stack) == DEEPEST:
                        self.note(event.start_mark, f"nested deeper than {DEEPEST} levels")
                        return None
                if stack:
                    parent = stack[-1].value
                    if type(parent) is list:
                        parent.append(node)
                    elif keys[-1] is None:
                        keys[-1] = self._key(node, parent)
                    else:
                        key = keys[-1]
                        keys[-1] = None
                        if key.value is not None:
                            node.key_mark = key.mark
                            parent[key.value] = node
                else:
                    root = node
                if kind is not scalar_event:
                    stack.append(node)
                    keys.append(None)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                stack.pop()
                keys.pop()
            elif kind is yaml.AliasEvent:
                aliases += 1
                if event.anchor not in anchors:
                    anchors.add(event.anchor)
                    self.note(event.start_mark, f"alias *{event.anchor} is not allowed", _NO_ANCHORS)
                if stack and type(stack[-1].value) is dict:
                    # stands as key or value, so that what follows is read in step
                    keys[-1] = Node(None, event.start_mark, source) if keys[-1] is None else None
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self.note(
                        event.start_mark, "a second document begins here", "one file holds one suite: remove `---`"
                    )
                    return None
        if root is None:
            self.problems.append(source.problem(1, 1, "the file is empty", "a suite starts with `version: 1`"))
        # an alias stands for a value that is not known here: more findings would only mislead
        return None if aliases else root

    def _key(self, node: Node, parent: dict[str, Node]) -> Node:
        """The key itself; without a value when it cannot be one, so that what stands behind it is dropped."""
        key = node.value
        if isinstance(key, str) and key not in parent:
            return node
        if isinstance(key, str):
            first = parent[key].key_mark
            self.note(node.mark, f"key {key!r} is given twice", f"it stands in line {first.line + 1} already")
        elif isinstance(key, dict | list):
            self.note(node.mark, "a key is a word, not a list or a mapping", "quote text that starts with [ or {")
        else:
            written = "null" if key is None else str(key).lower()
            self.note(node.mark, f"key {written} is not text", f"write it in quotes: {written!r}")
        return Node(None, node.mark, self.source)

    def _refuse(self, event: Any, anchors: set[str]) -> None:
        if event.anchor is not None:
            anchors.add(event.anchor)
            self.note(event.start_mark, f"anchor &{event.anchor} is not allowed", _NO_ANCHORS)
        if event.tag is not None:
            self.note(
                event.start_mark, f"tag {event.tag!r} is not allowed", "remove it: types follow from the suite's schema"
            )


_NO_ANCHORS = "repetition is removed by names and by `rows`, not by anchors and aliases"
