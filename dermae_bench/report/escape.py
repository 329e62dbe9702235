"""Names and messages come from users, plugins and libraries: how they are made harmless in each kind of output.

HTML is not here: the template engine escapes every value there. JSON is written in ASCII, which escapes the rest.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters (the full-width ones too) that make a spreadsheet read a cell as a formula."""
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff]"
)
"""C0, C1, bidirectional and zero-width controls, line separators, letters without a glyph, tags, private letters, lone
surrogates. A list of our own: the tables of Python change with its version, and boards must not."""
_MARK = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u20d0-\u20ff\ufe0e\ufe0f\ufe20-\ufe2f]"
)
_PILED = re.compile(f"(?<={_MARK * 4}){_MARK}")
"""Marks beyond four on one letter: no script needs them, and piles of them hide the lines above and below."""
_AMBIGUOUS = re.compile(rf"\\(?=x[0-9a-f]{{2}}|u[0-9a-f]{{4}}|U[0-9a-f]{{8}}|[tnr\\]|{_UNSEEN.pattern}|{_MARK})")
"""A backslash that reads as the start of an escape."""
_QUOTED_PATH = re.compile(r"""(['"])(?:file://)?(?:/|\.\.?/)[^'"\n]*/([^'"/\n]*)\1""")
_PATH = re.compile(r"""(?<![\w./~])(?:file://|~)?(?:/(?=[^/\s])|(?:\.\./)+)(?:[^\s'"/:<>|]+/)+([^\s'"/:<>|,;)\]]*)""")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$])")
_BLOCK = re.compile(r"^( *)([-+](?= )|-(?=-))|^( *\d{1,9})([.)])(?= |$)")
"""What starts a list or a rule at the head of a line."""
_LINKED = re.compile(r"(?i)\b(mailto|xmpp):")
_ENDS = re.compile(r"^ +| +$")
_ADDRESSED = re.compile(r"(?<!\w)@|@(?=[\w-]+\.)")


def visible(text: str, limit: int = 400) -> str:
    r"""Every control character as its escape (``\x1b``, ``\u202e``), cut to `limit` characters."""
    text = escaped(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(text: str) -> str:
    """`visible` without a limit."""
    text = _UNSEEN.sub(_escape, text)
    return text if text.isascii() else _PILED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def csv_text(text: str, limit: int = 400) -> str:
    r"""A text cell that no spreadsheet takes for a formula, and that can be read back.

    A text that could be a formula starts with an apostrophe, and so does one that starts with an apostrophe before
    that. A backslash is doubled where it would be read as an escape. What is longer than `limit` is cut and ends with
    its length and digest, so that unlike texts stay unlike.
    """
    shown = escaped(_AMBIGUOUS.sub(r"\\\\", text[: limit + 1]))
    if len(text) > limit or len(shown) > limit:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        shown = f"{shown[: limit - 40]}… ({len(text)} characters, {digest})"
    return f"'{shown}" if text.lstrip(" '").startswith(_FORMULA) else shown


def json_ascii(text: str) -> str:
    """JSON that was written in ASCII, without the one control character that ASCII JSON may hold."""
    return text.replace("\x7f", "\\u007f")


def markdown(text: str, limit: int = 400) -> str:
    """Text that stays text inside a Markdown table: no markup, no HTML, no cell border, no link."""
    shown = visible(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _BLOCK.sub(r"\1\3\\\2\4", _MARKDOWN.sub(r"\\\1", shown))
    # a renderer links bare addresses by itself; the entity keeps them text
    shown = _ADDRESSED.sub("&#64;", _LINKED.sub(r"\1&#58;", shown.replace("://", "&#58;//")))
    shown = re.sub(r"(?i)(www)\.", r"\1&#46;", shown)
    # spaces at an end are dropped, and four of them make code
    return _ENDS.sub(lambda found: "&#32;" * len(found.group()), shown)


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
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """`text` without controls, cut or padded to exactly `width` terminal columns."""
    shown = visible(text)
    if width_of(shown) > width:
        while shown and width_of(shown) > width - 1:
            shown = shown[:-1]
        shown += "…"
    padding = " " * (width - width_of(shown))
    return padding + shown if right else shown + padding


def latex(text: str, limit: int = 400) -> str:
    r"""Text that stays text inside a LaTeX table, in every engine and without a package: ASCII, no command, no comment.

    Accented letters become accents (``\'{e}``); a letter that plain LaTeX has no name for becomes ``[U+75C5]``.
    """
    return "".join(map(_in_latex, unicodedata.normalize("NFC", visible(text, limit))))


def _in_latex(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    if " " <= letter <= "~":
        return letter
    parts = unicodedata.normalize("NFD", letter)
    base, accents = parts[0], parts[1:]
    if accents in _ACCENTS and base.isascii() and base.isalpha():
        return f"\\{_ACCENTS[accents]}{{{base}}}"
    return f"[U+{ord(letter):04X}]"


_LATEX = {
    **{letter: f"\\{letter}" for letter in "$&#_%{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\symbol{34}", "'": r"\symbol{39}",
    # in braces, so that they neither join to dashes and quotation marks nor end an optional argument
    "-": "{-}", ",": "{,}", "[": "{[}", "]": "{]}", "=": "{=}", "*": "{*}", "@": "{@}", "!": "{!}", "?": "{?}",
    "\u00df": r"\ss{}", "\u00e6": r"\ae{}", "\u00c6": r"\AE{}", "\u00f8": r"\o{}", "\u00d8": r"\O{}",
    "\u0153": r"\oe{}", "\u0152": r"\OE{}", "\u0142": r"\l{}", "\u0141": r"\L{}", "\u2026": r"\ldots{}",
    "\u00b1": r"$\pm$", "\u00d7": r"$\times$", "\u2191": r"$\uparrow$", "\u2193": r"$\downarrow$",
    "\u2264": r"$\le$", "\u2265": r"$\ge$", "\u2013": r"\textendash{}", "\u2014": r"\textemdash{}", "\u00a0": "~",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
