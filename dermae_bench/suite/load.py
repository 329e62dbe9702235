"""Reading a suite: file, preset, settings, types, names, cards, tasks; every mistake at once, with its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_file, digest_of
from dermae_bench.errors import DataMissing, PluginError, Problem, SuiteError
from dermae_bench.plugin.checking import Finding, paths_in, shown, suggestion
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.suite.behind import extractor_findings, judge_findings
from dermae_bench.suite.circles import circle_findings
from dermae_bench.suite.extent import extent_findings
from dermae_bench.suite.known import asks_of_data
from dermae_bench.suite.lineage import Tasks
from dermae_bench.suite.lineage_findings import lineage_findings, task_findings
from dermae_bench.suite.merge import with_preset, with_setting
from dermae_bench.suite.names import NAME, name_findings
from dermae_bench.suite.places import specs
from dermae_bench.suite.plugged import Cards, Plugged
from dermae_bench.suite.resources import resource_findings
from dermae_bench.suite.spec import RESERVED, Suite
from dermae_bench.suite.sweeps import Origins, sweeps_of
from dermae_bench.suite.typed import MOST_PROBLEMS, some, typed
from dermae_bench.suite.weights import absolute, content_findings, resolve_names, weights_paths
from dermae_bench.suite.yaml import Node, read_file

LONGEST_NAME, LONGEST_PATH = 255, 4_095
"""Bytes of a file's name, and of a path."""

At = tuple[str | int, ...]
TasksOf = Callable[[str, Mapping[str, Any]], Tasks | None]
"""(dataset plugin, its checked params) -> its tasks, or None where the data that tell them are missing."""


@dataclass(frozen=True)
class GivenPath:
    """A path in the suite."""

    at: At
    """Where it stands, e.g. ``("dataset", "params", "root")``."""
    kind: str
    """``file`` or ``folder``."""
    text: str
    """As the user wrote it: a path, or the name of an entry of `weights:`."""
    absolute: Path
    """Of the file or folder itself. Relative ones are taken from the current working directory; `~` is the home
    folder."""


@dataclass(frozen=True)
class LoadedSuite:
    """A suite that passed every check."""

    suite: Suite
    resolved: dict[str, Any]
    """Canonical JSON: preset and settings merged in, defaults filled in, `presets` taken out."""
    path: Path
    """The suite file."""
    preset: str | None
    presets: tuple[str, ...]
    """Names that `--preset` may choose."""
    paths: tuple[GivenPath, ...]
    digest: str | None
    """Of what `--set` changed besides paths; see `settings_digest`."""
    root: Node
    """Merged values with their places."""
    origins: Origins
    """Where the rows and image sets that sweeps made stand in the file."""

    def problem(self, at: At, message: str, hint: str | None = None, *, on_key: bool = False) -> Problem:
        """A problem found later, at the place of a value in the user's file."""
        return _problem(self.root, self.origins.at_home(Finding(at, message, hint, on_key)))


def load_suite(
    path: Path,
    *,
    catalog: Cards | None = None,
    tasks_of: TasksOf | None = None,
    preset: str | None = None,
    sets: Sequence[str] = (),
    file_digest: Callable[[Path], str] = digest_file,
) -> LoadedSuite:
    """Read and check a suite.

    Args:
        path: the YAML file.
        catalog: where cards come from; without it nothing that concerns plugins is checked or filled in.
        tasks_of: where a dataset's tasks come from; asked only when the dataset itself is right.
        preset: name of one of the suite's presets.
        sets: `a.b=c`, applied in order.
        file_digest: SHA-256 of a file's bytes, in hex; `Contents.file` remembers what it has read.

    Raises:
        SuiteError: everything that is wrong, sorted by place.
    """
    root, problems = _read(path)
    presets = _preset_problems(root, problems)
    base, more = with_preset(root, preset)
    problems += more
    merged = base
    for setting in sets:
        merged, more = with_setting(merged, setting)
        problems += more
    resolved, findings, origins = typed(merged)
    told = len(findings)
    findings += [*some(name_findings(resolved)), *resource_findings(resolved)]
    circles = some(circle_findings(resolved))
    too_much = extent_findings(resolved, bool(circles))
    findings += [*circles, *too_much]
    given: list[tuple[At, str, str]] = []
    if not too_much:
        # what follows takes time in proportion to what the suite asks for
        findings += (
            []
            if circles
            else [
                *some(lineage_findings(resolved)),
                *some(judge_findings(resolved)),
                *some(extractor_findings(resolved)),
            ]
        )
        given = _plug(resolved, catalog, findings, origins)
        unopenable = list(_unopenable(given))
        findings += unopenable or list(content_findings(resolved, file_digest))
        if tasks_of is not None and not circles:
            findings += _tasks(resolved, findings, tasks_of)
    # what was found before sweeps became rows stands at its place already
    findings[told:] = [origins.at_home(finding) for finding in findings[told:]]
    problems += [_problem(merged, finding) for finding in findings]
    if problems:
        # without its dataset nobody knows the tasks of a suite; a sweep with mistakes did not become rows; and what the
        # images can give is asked of a suite that has no mistake in itself
        behind = bool(circles or too_much or any(finding.path[:1] == ("dataset",) for finding in findings))
        behind = behind or any(sweeps_of(resolved)) or asks_of_data(resolved)
        raise SuiteError(_sorted(problems, [str(path), *(f"--set {setting}" for setting in sets)]), more=behind)
    digest = _digest(base, catalog, resolved, given) if sets else None
    paths = tuple(GivenPath(*entry, absolute(_value_at(resolved, entry[0]))) for entry in given)
    return LoadedSuite(build(Suite, resolved), resolved, path, preset, presets, paths, digest, merged, origins)


def settings_digest(loaded: LoadedSuite) -> str | None:
    """8 hex digits of what `--set` changed; None when it changed nothing, or only where paths lead or what stages may
    take."""
    return loaded.digest


def results_name(loaded: LoadedSuite) -> str:
    """Name of the results folder: ``suite[-preset][-digest]``."""
    return "-".join(filter(None, (loaded.suite.suite, loaded.preset, loaded.digest)))


def refuse(loaded: LoadedSuite, findings: Iterable[Finding]) -> None:
    """Tell what was found in a suite after it was loaded, at its places.

    Raises:
        SuiteError: there is anything to tell.
    """
    problems = [loaded.problem(found.path, found.message, found.hint, on_key=found.on_key) for found in findings]
    if problems:
        raise SuiteError(_sorted(problems, [str(loaded.path)]))


def _value_at(value: Any, at: At) -> Any:
    for step in at:
        value = value[step]
    return value


def _read(path: Path) -> tuple[Node, list[Problem]]:
    try:
        root, problems = read_file(path)
    except DataMissing:
        near = path.parent.glob("*.y*ml") if path.parent.is_dir() else ()
        close = difflib.get_close_matches(path.name, [other.name for other in near], n=1)
        hint = f"did you mean {path.parent / close[0]}?" if close else None
        raise SuiteError([Problem(f"there is no suite file {path}", hint=hint)]) from None
    if root is not None and not isinstance(root.value, dict):
        problems.append(
            root.problem(f"a suite is a mapping of keys, not {shown(root.plain())}", "start with `version: 1`")
        )
        root = None
    if root is None:
        raise SuiteError(_sorted(problems, [str(path)]))
    return root, problems


def _preset_problems(root: Node, problems: list[Problem]) -> tuple[str, ...]:
    presets = root.value.get("presets")
    if presets is None or presets.value is None:
        return ()
    if not isinstance(presets.value, dict):
        problems.append(presets.problem(f"expected a mapping, got {shown(presets.plain())}"))
        return ()
    words = schema_of(Suite, free=True)["properties"]
    for name, body in presets.value.items():
        if not NAME.fullmatch(name):
            hint = "it names a folder: letters, digits, `.`, `_`, `-`, at most 80, the first a letter or digit"
            problems.append(body.problem(f"{name[:80]!r} cannot be the name of a preset", hint, on_key=True))
        if body.value is not None and not isinstance(body.value, dict):
            problems.append(body.problem(f"expected a mapping, got {shown(body.plain())}"))
        for key, node in body.value.items() if isinstance(body.value, dict) else ():
            if key not in words and key not in RESERVED[""]:
                # nobody reads the thousandth, and looking for each takes time
                meant = suggestion(key, words, "valid keys") if len(problems) < 2 * MOST_PROBLEMS else None
                problems.append(node.problem(f"unknown key {key!r}", meant, on_key=True))
    return tuple(presets.value)


def _plug(
    resolved: dict[str, Any], catalog: Cards | None, findings: list[Finding], origins: Origins
) -> list[tuple[At, str, str]]:
    found = [*paths_in(resolved.get("reference"), {"x-path": "file"}, ("reference",)), *weights_paths(resolved)]
    for at, entry in specs(resolved, "captions"):
        found += paths_in(entry.get("file"), {"x-path": "file"}, (*at, "file"))
    if catalog is None:
        return found
    plugged = Plugged(resolved, catalog, origins)
    plugged.settle()
    findings += [*plugged.findings, *resolve_names(resolved, plugged.paths)]
    return found + plugged.paths


def _unopenable(given: Iterable[tuple[At, str, str]]) -> Iterable[Finding]:
    """Paths that no file can have: every question about one would be a fault of the storage."""
    for at, _, text in given:
        data = text.encode("utf-8", "surrogatepass")
        if len(data) > LONGEST_PATH or max(map(len, data.split(b"/"))) > LONGEST_NAME:
            message = f"{text[:60]!r}... is too long for a path"
            hint = f"at most {LONGEST_NAME} bytes a name and {LONGEST_PATH:,} in all"
            yield Finding(at, message, hint)


def _tasks(resolved: Mapping[str, Any], findings: Sequence[Finding], tasks_of: TasksOf) -> list[Finding]:
    dataset = resolved.get("dataset")
    if not isinstance(dataset, dict) or any(finding.path[:1] == ("dataset",) for finding in findings):
        return []
    try:
        tasks = tasks_of(dataset["plugin"], dataset["params"])
    except DataMissing:
        return []
    except PluginError as error:
        return [Finding(("dataset", "plugin"), error.message, error.hint)]
    return [] if tasks is None else list(task_findings(resolved, tasks))


def _problem(root: Node, finding: Finding) -> Problem:
    """At the value's place, or at the nearest place around it when it is not written out."""
    node, complete = root, True
    for step in finding.path:
        inner: Any = node.value
        in_list = isinstance(inner, list) and isinstance(step, int) and step < len(inner)
        if in_list or (isinstance(inner, dict) and step in inner):
            node = inner[step]
        else:
            complete = False
            break
    return node.problem(finding.message, finding.hint, on_key=finding.on_key and complete)


def _sorted(problems: Iterable[Problem], sources: Sequence[str]) -> list[Problem]:
    order = {name: i for i, name in enumerate(sources)}

    def place(problem: Problem) -> tuple[int, int, int]:
        where = problem.place
        return (order.get(where.file, len(order)), where.line, where.column) if where else (-1, 0, 0)

    distinct = {(problem.place, problem.message): problem for problem in problems}
    found = sorted(distinct.values(), key=place)
    rest = len(found) - MOST_PROBLEMS
    return found if rest <= 0 else [*found[:MOST_PROBLEMS], Problem(f"and {rest} more errors; correct these first")]


def _digest(
    base: Node, catalog: Cards | None, resolved: Mapping[str, Any], given: Sequence[tuple[At, str, str]]
) -> str | None:
    before, _, origins = typed(base)
    _plug(before, catalog, [], origins)
    old, new = dict(_leaves(before)), dict(_leaves(resolved))
    paths = {at for at, _, _ in given}
    # a path may lead elsewhere; giving one where there was none is another matter
    moved = {at for at in paths if isinstance(old.get(at), str)}
    moved |= {at for at in {**old, **new} if at[0] == "resources"}
    changed = [[list(at), new.get(at)] for at in {**old, **new} if at not in moved and _changed(old, new, at)]
    return digest_of(sorted(changed, key=lambda entry: str(entry[0])))[:8] if changed else None


def _changed(old: Mapping[At, Any], new: Mapping[At, Any], at: At) -> bool:
    return (at in old) != (at in new) or old[at] != new[at]


def _leaves(value: Any, at: At = ()) -> Iterable[tuple[At, Any]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if not items or not value:
        yield at, value
        return
    for key, inner in items:
        yield from _leaves(inner, (*at, key))
