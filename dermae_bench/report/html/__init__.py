"""report.html: one file that needs no network, runs no foreign script and is equal for equal boards."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from dermae_bench.report.escape import escaped
from dermae_bench.report.html.view import page
from dermae_bench.report.records import Boards, published


def render(boards: Boards) -> str:
    """The whole page. Every value passes the template engine's escaping; only our own script is allowed to run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = engine.get_template("script.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return engine.get_template("template.html.j2").render(page=page(published(boards)), script_digest=digest) + "\n"


def _shown(value: Any) -> Any:
    """What a place of the template shows: text without control characters, whoever forgot to take them out."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(escaped(line) for line in value.split("\n"))
