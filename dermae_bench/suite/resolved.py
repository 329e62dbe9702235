"""A suite as it is published: `suite.resolved.yaml` of a results folder, and the JSON Schema for editors."""

from __future__ import annotations

import copy
import re
from pathlib import PurePath
from typing import Any

import yaml

from dermae_bench.plugin.params import schema_of
from dermae_bench.suite.load import LoadedSuite
from dermae_bench.suite.spec import Suite
from dermae_bench.suite.yaml import scalar

_HEAD = """\
# What was run: preset and settings merged in, defaults written out. Loads to the same suite.
# Paths are as given, except that those outside of the working folder are written data/<last part>.
"""


_UNSEEN = re.compile("[\u00ad\u0085\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ue000-\uf8ff\ufeff\ufff9-\ufffb]")
"""Letters without a glyph, and those that turn a line around, which the YAML library would write as they are."""


def suite_to_yaml(loaded: LoadedSuite) -> str:
    """The resolved suite as YAML that loads to the same `Suite`.

    A path is written as the user gave it when it is relative and stays inside the working folder. Absolute paths and
    those through `..` tell about one machine and are never committed: they become ``data/<last part>``, a place where
    whoever reruns the suite can put or link the data. Keys do not change by that, since paths are in none.
    """
    resolved = copy.deepcopy(loaded.resolved)
    for given in loaded.paths:
        holder: Any = resolved
        for step in given.at[:-1]:
            holder = holder[step]
        holder[given.at[-1]] = _portable(given.text)
    for entry in resolved["classifiers"].values():
        if entry["derive"] is not None:
            del entry["task"]
    text: str = yaml.dump(
        resolved, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    # such letters stand between double quotes alone, see `_text`
    return _HEAD + _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04X}", text)


def suite_schema() -> dict[str, Any]:
    """JSON Schema of a suite file, for editors: the harness's words; a plugin's are on its card."""
    schema: dict[str, Any] = copy.deepcopy(schema_of(Suite, free=True))
    properties = schema["properties"]
    seeds = properties["seeds"]
    words = {key: seeds.pop(key) for key in ("description", "default") if key in seeds}
    properties["seeds"] = {"anyOf": [seeds, seeds["properties"]["classifier"]], **words}
    properties["presets"]["additionalProperties"] = {"type": ["object", "null"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "dermae-bench suite"}


def _portable(text: str) -> str:
    path = PurePath(text.replace("\\", "/"))
    if path.is_absolute() or text.startswith("~") or ".." in path.parts or (len(text) > 1 and text[1] == ":"):
        return f"data/{path.name}" if path.name not in ("", "..") else "data"
    return text


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, and quotes text that YAML 1.2 would read as something else (`1e-4`, `0o7`)."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = not isinstance(scalar(text), str) or _UNSEEN.search(text) is not None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _text)
