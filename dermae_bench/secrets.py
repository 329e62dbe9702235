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
_USERINFO = re.compile(r"(?<=://)[^\s/@'\"<>]*:[^\s/@'\"<>]*(?=@)")
"""``user:password`` of an address."""
_TOKENS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bsk-[\w-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bxox[abprs]-[\w-]{10,}"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|\b[Bb]earer\s+[\w.~+/-]{16,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
"""What tokens of well-known services look like, wherever they come from."""
SHORTEST = 6
"""Characters of a secret that is struck out of texts; a shorter one is a word like any other (``yes``, ``1``)."""


def secret(name: str, value: str) -> bool:
    """Whether a variable of the environment is one that nobody else should read, by its name or by its value."""
    named = _NAMES.search(name) and not _HARMLESS.fullmatch(name)
    return bool(named or _USERINFO.search(value) or _TOKENS.search(value))


def scrubbed(environment: Mapping[str, str], keep: Collection[str] = ()) -> dict[str, str]:
    """`environment` without its secrets, for a child process that imports plugins.

    Args:
        keep: names that stay, whatever they look like.
    """
    return {name: value for name, value in environment.items() if name in keep or not secret(name, value)}


def redact(text: str, environment: Mapping[str, str]) -> str:
    """`text` with the secrets of `environment` struck out: ``<HF_TOKEN>`` stands where its value stood.

    Values are also found as ``repr``, JSON, addresses and base64 write them, and line by line. What looks like a token
    or a password in an address is struck out, too. Give the whole text: of one that was cut, a part may stay.
    """
    found: dict[str, str] = {}
    for name, value in environment.items():
        if secret(name, value):
            for form in _forms(value):
                found.setdefault(form, name)
    if found:
        # the longest first: a secret may be a part of another
        either = re.compile("|".join(re.escape(form) for form in sorted(found, key=len, reverse=True)))
        text = either.sub(lambda match: f"<{found[match.group()]}>", text)
    text = _TOKENS.sub("<token>", text)
    return _USERINFO.sub("<user>", text)


def _forms(value: str) -> Iterator[str]:
    """A secret as it may stand in a text."""
    parts = {value, value.strip(), *(line.strip() for line in value.splitlines())}
    for match in _USERINFO.finditer(value):
        parts |= {match.group(), match.group().partition(":")[2]}
    for part in parts:
        raw = part.encode("utf-8", "surrogateescape")
        forms = {part, repr(part)[1:-1], json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
        forms |= {quote(raw, safe=""), quote_plus(raw), base64.b64encode(raw).decode().rstrip("=")}
        forms |= {base64.urlsafe_b64encode(raw).decode().rstrip("=")}
        yield from (form for form in forms if len(part) >= SHORTEST and len(form) >= SHORTEST)
