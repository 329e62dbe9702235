"""report.html: one file that needs no network, runs no foreign script and is equal for equal boards."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.report.charts import Picture, told
from dermae_bench.report.escape import escaped
from dermae_bench.report.html.pictures import charts_of
from dermae_bench.report.html.view import page
from dermae_bench.report.records import Boards, published

if TYPE_CHECKING:
    from jinja2 import Environment


def render(boards: Boards) -> str:
    """The whole page. Every value passes the template engine's escaping; only our own script is allowed to run."""
    engine = _engine()
    script = engine.get_template("script.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return engine.get_template("template.html.j2").render(page=page(published(boards)), script_digest=digest) + "\n"


def chart_files(boards: Boards) -> dict[str, bytes]:
    """File name -> bytes: `figures/NAME.svg` of every chart, and beside each its caption and table as text."""
    found: dict[str, bytes] = {}
    for picture in charts_of(published(boards)):
        found[f"figures/{picture.name}.svg"] = svg(picture).encode()
        found[f"figures/{picture.name}.txt"] = told(picture).encode()
    return found


def svg(picture: Picture) -> str:
    """A chart as a file of its own, with its colours for light and dark."""
    return _engine().get_template("picture.svg.j2").render(picture=picture) + "\n"


@cache
def _engine() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """What a place of the template shows: text without control characters, whoever forgot to take them out."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(escaped(line) for line in value.split("\n"))
