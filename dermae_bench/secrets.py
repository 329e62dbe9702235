"""What the environment keeps secret: left out of the processes that run strangers' code, and struck out of texts.

A plugin is code with its user's rights; this is no wall against one that steals. It keeps passwords and tokens out of
what a plugin prints or raises without meaning to, and so out of logs, records, reports and shared stores.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import quote, quote_plus

_NAMES = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|PASSCODE|PWD.|.PWD|CREDENTIAL|COOKIE|PRIVATE|NETRC|JWT|BEARER|WEBHOOK|SIGNATURE"
    r"|APIKEY|(?:^|_)(?:KEYS?|PAT|PASS|PSW|AUTH|AUTHORIZATION|DSN|CONN(?:ECTION)?_?STR(?:ING)?)(?:_|\d|$)|KEY(?:_?ID)?$"
    r"|^GIT_CONFIG_",  # whole: `GIT_CONFIG_VALUE_0` may be a header with a token, and one without the rest is an error
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(?:OLD)?PWD|TOKENIZERS_PARALLELISM|\w*MAX_(?:NEW_)?TOKENS|HF_HUB_DISABLE_IMPLICIT_TOKEN", re.IGNORECASE
)
"""Names of settings that look like those of secrets."""
_USERINFO = re.compile(r"://([^\s/@'\"<>]*:[^\s/@'\"<>]*)(?=@)")
"""``user:password`` of an address."""
_TOKENS = {
    begin: re.compile(rf"(?<!\w){begin}{rest}", re.DOTALL)
    for begin, rest in (
        ("hf_", r"[A-Za-z0-9]{20,}"),
        ("gh", r"[pousr]_[A-Za-z0-9]{20,}"),
        ("github_pat_", r"\w{20,}"),
        ("glpat-", r"[\w-]{16,}"),
        ("sk-", r"[\w-]{20,}"),
        ("AKIA", r"[A-Z0-9]{16}\b"),
        ("ASIA", r"[A-Z0-9]{16}\b"),
        ("xox", r"[abprs]-[\w-]{10,}"),
        ("eyJ", r"[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),
        ("Bearer", r"\s+[\w.~+/-]{16,}=*"),
        ("bearer", r"\s+[\w.~+/-]{16,}=*"),
        ("-----BEGIN ", r"[A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    )
}
"""What tokens of well-known services look like, wherever they come from; each begins where a word does.

One by one, by what each begins with: a log of 50 MB is looked through in a second, and not in twenty.
"""
SHORTEST = 6
"""Characters of a secret that is struck out of texts; a shorter one is a word like any other (``yes``, ``1``)."""


def secret(name: str, value: str) -> bool:
    """Whether a variable of the environment is one that nobody else should read, by its name or by its value."""
    named = _NAMES.search(name) and not _HARMLESS.fullmatch(name)
    return bool(named or _USERINFO.search(value) or _without_tokens(value) != value)


def scrubbed(environment: Mapping[str, str], keep: Collection[str] = ()) -> dict[str, str]:
    """`environment` without its secrets, for a child process that imports plugins.

    Args:
        keep: names that stay, whatever they look like.
    """
    return {name: value for name, value in environment.items() if name in keep or not secret(name, value)}


def redact(text: str, environment: Mapping[str, str]) -> str:
    """`text` with the secrets of `environment` struck out: ``<HF_TOKEN>`` stands where its value stood.

    Values are also found as ``repr``, JSON, addresses, base64 and hex write them, and line by line. What looks like a
    token or a password in an address is struck out, too. Give the whole text: of one that was cut, a part may stay.
    """
    # looking for each is a hundred times as fast as one pattern of all
    found = {form: name for form, name in _spelt(environment).items() if form in text}
    if found:
        # the longest first: a secret may be a part of another
        either = re.compile("|".join(re.escape(form) for form in sorted(found, key=len, reverse=True)))
        text = either.sub(lambda match: f"<{found[match.group()]}>", text)
    return _USERINFO.sub("://<user>", _without_tokens(text))


def _without_tokens(text: str) -> str:
    for begin, pattern in _TOKENS.items():
        shown = []
        done = 0
        at = text.find(begin)
        while at >= 0:
            match = pattern.match(text, at)
            if match is not None:
                shown += [text[done:at], "<token>"]
                done = match.end()
            at = text.find(begin, at + 1 if match is None else done)
        text = "".join((*shown, text[done:]))
    return text


class Striker:
    """Strikes the secrets of an environment out of bytes that come in pieces, wherever a piece ends.

    What could be the beginning of a secret is held back until it is known. Only values of the environment are found,
    as `redact` finds them; what looks like a token is not.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._names = {_encoded(form): name.encode() for form, name in _spelt(environment).items()}
        # the longest first: a secret may be a part of another
        self._forms = sorted(self._names, key=len, reverse=True)
        self._either = re.compile(b"|".join(map(re.escape, self._forms)))
        self._held = b""

    def take(self, words: bytes) -> bytes:
        """The next bytes that may be shown."""
        if not self._forms:
            return words
        words = self._held + words
        end = self._begun(words)
        shown = []
        done = 0
        if any(form in words for form in self._forms):
            for match in self._either.finditer(words):
                if match.start() >= end:
                    break
                shown += [words[done : match.start()], b"<", self._names[match.group()], b">"]
                done = match.end()
        end = max(end, done)
        self._held = words[end:]
        return b"".join((*shown, words[done:end]))

    def rest(self) -> bytes:
        """What was held back, at the end: a good part of a secret is struck out like a whole one."""
        held, self._held = self._held, b""
        begun = next((form for form in self._forms if form.startswith(held)), None)
        return b"<" + self._names[begun] + b">" if begun is not None and len(held) >= SHORTEST else held

    def _begun(self, words: bytes) -> int:
        """Where the first secret begins that the end of `words` cuts; their length where it cuts none."""
        first = len(words)
        for form in self._forms:
            start = words.find(form[:1], max(0, len(words) - len(form) + 1))
            while 0 <= start < first:
                if form.startswith(words[start:]):
                    first = start
                start = words.find(form[:1], start + 1)
        return first


def _spelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Each spelling of each secret -> name of its variable."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        if secret(name, value):
            for form in _forms(value):
                found.setdefault(form, name)
    return found


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _forms(value: str) -> Iterator[str]:
    """A secret as it may stand in a text."""
    parts = {value, value.strip(), *(line.strip() for line in value.splitlines())}
    for match in _USERINFO.finditer(value):
        parts |= {match[1], match[1].partition(":")[2]}
    for part in parts:
        raw = _encoded(part)
        forms = {part, repr(part)[1:-1], json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
        forms |= {repr(raw)[2:-1], quote(raw, safe=""), quote_plus(raw), raw.hex(), raw.hex().upper()}
        for coded in (base64.b64encode, base64.urlsafe_b64encode):
            forms |= {coded(raw).decode().rstrip("=")}
            # behind other bytes, as in `user:password`: the characters that depend on the secret alone
            forms |= {
                coded(bytes(before) + raw).decode()[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
                for before in range(3)
            }
        yield from (form for form in forms if len(part) >= SHORTEST and len(form) >= SHORTEST)
