"""The form of what a results folder says of itself, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 20
"""Problems that are told of one file."""

TEXT, WHOLE, NUMBER = (str,), (int,), (int, float)
NONE = type(None)
EACH = "*"
"""Stands for every name of an object."""

TASK: Mapping[str, Any] = {
    "name": TEXT,
    "classes": [TEXT],
    "positive": (str, NONE),
    "parent": (str, NONE),
    "mapping": {EACH: TEXT},
}
SEEDS: Mapping[str, Any] = {EACH: WHOLE}
EVIDENCE: Mapping[str, Any] = {
    "prepared": {"tasks": [TASK]},
    "predictions": {EACH: {"task": TASK}},
    "scores": [
        {
            "key": TEXT,
            "name": TEXT,
            "of": TEXT,
            "work": {"metrics": [{"metric": TEXT, "params": {}}]},
            "inputs": {EACH: {"kind": TEXT, "key": TEXT}},
            "rows": [{"board": TEXT, "row": TEXT, "seeds": SEEDS}],
        }
    ],
    "boards": {
        "rows": [
            {"board": TEXT, "row": TEXT, "names": {EACH: TEXT}, "kind": TEXT, "marks": [TEXT], "seeds": [SEEDS]},
        ]
    },
}
"""Of `evidence.json`, as far as rows are compared by it; what else it holds is passed over."""
RECORD: Mapping[str, Any] = {
    "board": TEXT,
    "row": TEXT,
    "names": {EACH: TEXT},
    "kind": TEXT,
    "metric": TEXT,
    "value": (int, float, NONE),
    "low": (int, float, NONE),
    "high": (int, float, NONE),
    "error": (int, float, NONE),
    "n": (int, NONE),
    "unit": TEXT,
    "better": TEXT,
    "identity": {},
    "key": TEXT,
    "seeds": SEEDS,
    "status": TEXT,
    "warnings": [TEXT],
}
"""Of a line of `records.jsonl`."""
_WORDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", NONE: "null"}


def unfit(value: Any, form: Any) -> list[str]:
    """What does not have its form, by place; at most `MOST`."""
    found: list[str] = []
    for problem in _unfit(value, form, ""):
        found.append(problem)
        if len(found) == MOST:
            break
    return found


def _unfit(value: Any, form: Any, at: str) -> Iterator[str]:
    if isinstance(form, tuple):
        # true is no number
        if not isinstance(value, form) or isinstance(value, bool):
            yield f"{at or 'it'} is not {' or '.join(_WORDS[kind] for kind in form)}"
    elif isinstance(form, list):
        if not isinstance(value, list):
            yield f"{at or 'it'} is no list"
            return
        for number, item in enumerate(value):
            yield from _unfit(item, form[0], f"{at}[{number}]")
    elif not isinstance(value, dict):
        yield f"{at or 'it'} is no object"
    else:
        for name in value if EACH in form else form:
            place = f"{at}.{str(name)[:60]}" if at else str(name)[:60]
            if name not in value:
                yield f"{place} is missing"
            else:
                yield from _unfit(value[name], form.get(name, form.get(EACH)), place)
