"""Regenerate the generated documents: commands.md, suite.md, suite.schema.json, and the boards shown in the README.

python docs/make_docs.py [--check] [RESULTS_FOLDER ...]

Each results folder fills the place in the README that belongs to its suite. `--check` writes nothing and leaves with 1
when something is stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dermae_bench.cli import app
from dermae_bench.suite.resolved import suite_schema
from dermae_bench.suite.spec import RESERVED

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
WIDTH = 100
SHOWN = frozenset({
    "rank", "generator", "classifier", "sampling", "train", "n", "GMACs", "parameters", "seeds",
    "fd", "kid", "near-copies", "class-agreement", "balanced-accuracy", "accuracy", "f1-macro", "auc-binary",
})  # fmt: skip
"""Columns that the README has room for; of a metric, the name before its extractor."""
SEPARATOR = re.compile(r"(?<!\\) \| ")
PLACES = {"quickstart": "quickstart board"}
"""Suite with preset -> the comment in the README that its boards stand behind."""
END = "<!-- end -->"
SHORT = re.compile(r"(digest [0-9a-f]{12})[0-9a-f]+")


def generated() -> dict[Path, str]:
    """Every generated file and its text."""
    schema = suite_schema()
    return {
        DOCS / "commands.md": commands(),
        DOCS / "suite.md": suite_format(schema),
        DOCS / "suite.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    }


# -- commands ----------------------------------------------------------------------------------------------------


def commands() -> str:
    """The help of every command, as the terminal shows it."""
    out = [
        "# Commands",
        "",
        "Made from `dermae-bench --help` by `docs/make_docs.py`; do not edit. Results go to stdout, progress to",
        "stderr. A flag with `env var` can also be given in the environment. Exit codes are in",
        "[reference.md](reference.md).",
    ]
    for name, command in walk("dermae-bench", app):
        context = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
        context.help_option_names = ["-h", "--help"]
        out += ["", f"## {name}", "", "```text", command.get_help(context).rstrip(), "```"]
    return "\n".join(out) + "\n"


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, with the words that call them."""
    yield name, command
    if isinstance(command, click.Group):
        for word in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), word)
            assert inner is not None
            yield from walk(f"{name} {word}", inner)


# -- suite format ------------------------------------------------------------------------------------------------


def suite_format(schema: Mapping[str, Any]) -> str:
    """Every key of a suite file, section by section."""
    out = [
        "# The suite file",
        "",
        "Made from the schema by `docs/make_docs.py`; do not edit. [suite.schema.json](suite.schema.json) is the same",
        "for editors. `params` and `sampling` are a plugin's own words: `dermae-bench plugins show NAME` lists them.",
        "",
        "YAML 1.2 without aliases, anchors, tags and duplicate keys, at most 1 MiB and 50 levels deep. `1e-4` is a",
        "number, `yes` is text. A relative path starts from the folder in which the command is given.",
        "`dermae-bench validate SUITE` reports all mistakes at once, with file, line and column.",
    ]
    for place, properties, required in sections("", schema):
        out += ["", f"## {place or 'Top level'}", ""]
        out += ["| key | what | default | meaning |", "| --- | --- | --- | --- |"]
        for key, about in properties.items():
            default = "**required**" if key in required else _default(about)
            out.append(f"| `{key}` | {kind(about)} | {default} | {about['description'].replace('|', '/')} |")
    out += [
        "",
        "## Reserved words",
        "",
        "Kept for what is not built yet. They are refused with that reason.",
        "",
    ]
    out += [
        f"- {place.replace('*', 'NAME') or 'top level'}: {', '.join(f'`{word}`' for word in words)}"
        for place, words in RESERVED.items()
    ]
    return "\n".join(out) + "\n"


def sections(place: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Sequence[str]]]:
    """(place, properties, required keys) of every object in the schema, outer ones first."""
    if "properties" in schema:
        yield place, schema["properties"], schema["required"]
        for key, about in schema["properties"].items():
            yield from sections(f"{place}.{key}" if place else key, about)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from sections(f"{place}.NAME", schema["additionalProperties"])
    if "items" in schema:
        yield from sections(f"{place}[]", schema["items"])
    # lists of what may also stand alone have the same keys: they are shown once
    members = schema.get("anyOf", ())
    shown = [member for member in members if "properties" in member]
    for member in members:
        if shown and "items" in member:
            continue
        yield from sections(place, member)


def kind(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(member) for member in schema["anyOf"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const']).strip(chr(34))}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "x-path" in schema:
        return f"path of a {schema['x-path']}"
    of = schema["type"]
    if isinstance(of, list):
        return " or ".join(kind({"type": member}) for member in of)
    if of in ("integer", "number"):
        low, high = schema.get("minimum"), schema.get("maximum")
        name = "whole number" if of == "integer" else "number"
        bounds = f" {low}..{high}" if low is not None and high is not None else f" >= {low}" if low is not None else ""
        return name + bounds
    if of == "array":
        return f"list of {kind(schema['items'])}"
    if of == "object":
        inner = schema.get("additionalProperties")
        return f"mapping of name to {kind(inner)}" if isinstance(inner, dict) else "mapping"
    return {"string": "text", "boolean": "true or false", "null": "null"}.get(of, "mapping")


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "by role" if isinstance(default, dict) and default else f"`{json.dumps(default)}`"


# -- README ------------------------------------------------------------------------------------------------------


def with_boards(readme: str, folder: Path) -> str:
    """The README with the boards of a results folder in their place.

    Raises:
        click.ClickException: no board there, or no place in the README for this suite.
    """
    try:
        about = json.loads((folder / "classifiers.json").read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{folder} holds no leaderboards: {error}") from error
    name = "-".join(filter(None, (about["suite"], about["preset"])))
    marker = f"<!-- {PLACES.get(name, name)} -->"
    head, found, rest = readme.partition(marker)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise click.ClickException(f"the README has no place {marker} ... {END}")
    body = "\n\n".join(_tables((folder / f"{board}.md").read_text()) for board in ("generators", "classifiers"))
    return f"{head}{marker}\n\n{body}\n\n{END}{tail}"


def _tables(board: str) -> str:
    """Facts and tables of a board's Markdown, without the sentences on how to read it and without headings."""
    lines = board.splitlines()
    facts = [SHORT.sub(r"\1", line.removeprefix("- ")) for line in lines if line.startswith("- Suite")][:1]
    counts = [line.removeprefix("- ").split(" Units")[0] for line in lines if line.startswith("- n = ")][:1]
    body = [f"**{line.removeprefix('## ')}**" if line.startswith("## ") else line for line in lines]
    start = next((i for i, line in enumerate(lines) if line.startswith("## ")), len(lines))
    end = next((i for i, line in enumerate(lines) if line == "## Warnings"), len(lines))
    title = lines[0].rpartition(": ")[2].capitalize()
    # the sentences below a table are the README's own
    tables = [line for line in body[start:end] if not line.startswith("- ")]
    return "\n".join([f"{title}. {' '.join(facts + counts)}", "", *_narrowed(tables)]).strip()


def _narrowed(lines: Sequence[str]) -> Iterator[str]:
    """The lines, with the columns of tables that the README shows."""
    kept: list[int] = []
    for line in lines:
        if not line.startswith("|"):
            kept = []
            yield line
            continue
        cells = SEPARATOR.split(line.strip().removeprefix("| ").removesuffix(" |"))
        if not kept:
            names = [cell.replace("\\", "").strip(" ↑↓").partition("[")[0] for cell in cells]
            kept = [i for i, name in enumerate(names) if name in SHOWN]
        yield "| " + " | ".join(cells[i] for i in kept) + " |"


def main(arguments: Sequence[str]) -> int:
    """Write what changed (or with `--check` only name it)."""
    check = "--check" in arguments
    wanted = generated()
    readme = README.read_text()
    for folder in (Path(word) for word in arguments if not word.startswith("-")):
        readme = with_boards(readme, folder)
    wanted[README] = readme
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        click.echo(f"{'stale' if check else 'written'}: {path.relative_to(DOCS.parent)}")
        if not check:
            path.write_text(wanted[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
