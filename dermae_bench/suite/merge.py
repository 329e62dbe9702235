"""What changes a suite after it is read: `--preset NAME` (a plain deep merge) and `--set a.b=c`."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from dermae_bench.errors import Problem
from dermae_bench.plugin.checking import dotted, shown, suggestion
from dermae_bench.suite.yaml import Node, Source, read_text, scalar

NAMED = (
    "evaluate_on", "budgets", "weights", "extractors", "captions", "generators", "image_sets", "figures", "pretrained",
    "classifiers",
)  # fmt: skip
"""Sections whose keys are names that the suite gives."""
OF_A_PLUGIN = ("params", "sampling")
"""Words of an entry that only its plugin understands."""


def with_preset(root: Node, preset: str | None) -> tuple[Node, list[Problem]]:
    """The root mapping with a preset merged over it, and the word `presets` taken out.

    Mappings merge key by key; lists and scalars replace. Two things go beyond that, since a preset may stand for other
    data: an entry of a section of names that is null in the preset is taken out, and where the preset names another
    plugin the former one's `params` and `sampling` go with it.
    """
    body: dict[str, Node] = dict(root.value)
    presets = body.pop("presets", None)
    plain = _with_seeds_by_role(_like(root, body))
    if preset is None:
        return plain, []
    known: dict[str, Node] = presets.value if presets is not None and isinstance(presets.value, dict) else {}
    if preset not in known:
        hint = suggestion(preset, known, "presets of this suite")
        return plain, [Source(f"--preset {preset}", preset).problem(1, 1, f"unknown preset {preset!r}", hint)]
    over = known[preset]
    if not isinstance(over.value, dict):
        return plain, [] if over.value is None else [over.problem(f"expected a mapping, got {shown(over.plain())}")]
    problems = []
    if "presets" in over.value:
        problems.append(over.value["presets"].problem("a preset cannot hold presets", on_key=True))
        over = _like(over, {key: node for key, node in over.value.items() if key != "presets"})
    return merged(plain, _with_seeds_by_role(over)), problems


def merged(base: Node, over: Node, depth: int = 0, named: bool = False) -> Node:
    """`over` on top of `base`; every value keeps the place where it was written."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    both = dict(base.value)
    if "plugin" in both and "plugin" in over.value and both["plugin"].plain() != over.value["plugin"].plain():
        for word in OF_A_PLUGIN:
            both.pop(word, None)
    for key, node in over.value.items():
        if named and node.value is None and key in both:
            del both[key]
        elif key in both:
            both[key] = merged(both[key], node, depth + 1, depth == 0 and key in NAMED)
        else:
            both[key] = node
    return _like(base, both)


def with_setting(root: Node, setting: str) -> tuple[Node, list[Problem]]:
    """The root with one `--set a.b=c` applied.

    The value is a flow list or mapping or a quoted text in YAML, or else one plain scalar by YAML 1.2. List items are
    named by their index from 0. Names that hold dots are found before their parts are. Null takes an entry out of a
    section of names, as it does in a preset.
    """
    source = Source(f"--set {setting}", setting)
    path, equals, text = setting.partition("=")
    if not equals or not all(path.split(".")):
        hint = "for example --set dataset.params.root=data/HAM10000"
        return root, [source.problem(1, 1, "expected KEY.KEY=VALUE", hint)]
    if path == "presets" or path.startswith("presets."):
        return root, [
            source.problem(1, 1, "presets cannot be set", "choose one with --preset, or set what it would change")
        ]
    value, problems = _value(text, source, len(path) + 1)
    if value is None:
        return root, problems
    changed, problem = _placed(root, path.split("."), 0, value, source, ())
    return (root, [problem]) if problem is not None else (_with_seeds_by_role(changed), [])


def _value(text: str, source: Source, offset: int) -> tuple[Node | None, list[Problem]]:
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"', "'")):
        return Node(scalar(stripped), _mark(offset), source), []
    # spaces stand for `a.b=`, so that places count from the beginning of the setting
    node, problems = read_text(" " * offset + text, source.name)
    if node is not None:
        node.source.lines = source.lines
    shown_line = source.lines[0] if source.lines else None
    named = [Problem(p.message, p.place, shown_line, p.hint) for p in problems]
    return (node if not named else None), named


def _placed(
    node: Node, words: Sequence[str], column: int, value: Node, source: Source, path: tuple[str, ...]
) -> tuple[Node, Problem | None]:
    if not words:
        return value, None
    inner: Any = node.value
    if isinstance(inner, list):
        word = words[0]
        if not (word.isascii() and word.isdigit() and int(word) < len(inner)):
            valid = f"an index from 0 to {len(inner) - 1}" if inner else "nothing: the list is empty"
            return node, source.problem(
                1, column + 1, f"no item {word!r} in the list {dotted(path)}", f"valid: {valid}"
            )
        changed, problem = _placed(inner[int(word)], words[1:], column + len(word) + 1, value, source, (*path, word))
        return _like(node, [changed if i == int(word) else item for i, item in enumerate(inner)]), problem
    if inner is not None and not isinstance(inner, dict):
        message = f"{dotted(path)} is {shown(inner)}: nothing can be set inside it"
        return node, source.problem(1, column + 1, message, f"--set {dotted(path)}=... replaces it")
    held: dict[str, Node] = inner or {}
    count = next((n for n in range(len(words), 0, -1) if ".".join(words[:n]) in held), 1)
    key = ".".join(words[:count])
    if len(path) == 1 and path[0] in NAMED:
        inside, out = len(words) > count, value.value is None and len(words) == count
        if key not in held and (inside or out):
            # one part of something that is not there is no part: the whole could be given as {...}
            hint = suggestion(key, held, path[0])
            return node, source.problem(1, column + 1, f"there is no {key!r} in {path[0]}", hint)
        if out:
            return _like(node, {name: entry for name, entry in held.items() if name != key}), None
    below = held.get(key) or Node({} if len(words) > count else None, _mark(column), source)
    changed, problem = _placed(below, words[count:], column + len(key) + 1, value, source, (*path, key))
    key_mark = _mark(column) if changed.source is source else below.key_mark
    placed = Node(changed.value, changed.mark, changed.source, key_mark)
    return _like(node, {**held, key: placed}), problem


def _with_seeds_by_role(root: Node) -> Node:
    """A plain list of seeds means classifier seeds; written out before merging, so that roles merge one by one."""
    seeds = root.value.get("seeds")
    if seeds is None or not isinstance(seeds.value, list):
        return root
    listed = Node(seeds.value, seeds.mark, seeds.source, seeds.key_mark)
    return _like(root, {**root.value, "seeds": _like(seeds, {"classifier": listed})})


def _like(node: Node, value: Any) -> Node:
    return Node(value, node.mark, node.source, node.key_mark)


def _mark(column: int) -> Any:
    return SimpleNamespace(line=0, column=column)
