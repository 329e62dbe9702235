"""Names and messages come from users, plugins and libraries: how they are made harmless in each kind of output.

HTML is not here: the template engine escapes every value there. JSON is written in ASCII, which escapes the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters (the full-width ones too) that make a spreadsheet read a cell as a formula."""
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""C0, C1, bidirectional and zero-width controls, line separators, lone surrogates."""
_QUOTED_PATH = re.compile(r"""(['"])(?:file://)?(?:/|\.\.?/)[^'"\n]*/([^'"/\n]*)\1""")
_PATH = re.compile(r"""(?<![\w./~])(?:file://|~)?(?:/(?=[^/\s])|(?:\.\./)+)(?:[^\s'"/:<>|]+/)+([^\s'"/:<>|,;)\]]*)""")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$])")
_ADDRESSED = re.compile(r"(?<!\w)@|@(?=[\w-]+\.)")


def visible(text: str, limit: int = 400) -> str:
    r"""Every control character as its escape (``\x1b``, ``\u202e``), cut to `limit` characters."""
    text = _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def csv_text(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula: those that could be start with an apostrophe."""
    shown = visible(text)
    return f"'{shown}" if text.lstrip(" ").startswith(_FORMULA) else shown


def markdown(text: str) -> str:
    """Text that stays text inside a Markdown table: no markup, no HTML, no cell border, no link."""
    shown = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _MARKDOWN.sub(r"\\\1", shown)
    # a renderer links bare addresses by itself; the entity keeps them text
    return _ADDRESSED.sub("&#64;", shown.replace("://", "&#58;//").replace("www.", "www&#46;"))


def public(value: Any) -> Any:
    """A JSON value whose texts name no folder of this machine: absolute and ``..`` paths keep their last part only."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, Mapping):
        return {str(name): public(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item) for item in value]
    return value


def without_paths(text: str) -> str:
    if "/" not in text:
        return text
    text = _QUOTED_PATH.sub(r"\1…/\2\1", text)
    return _PATH.sub(r"…/\1", text)


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """`text` without controls, cut or padded to exactly `width` terminal columns."""
    shown = visible(text)
    if width_of(shown) > width:
        while shown and width_of(shown) > width - 1:
            shown = shown[:-1]
        shown += "…"
    padding = " " * (width - width_of(shown))
    return padding + shown if right else shown + padding
