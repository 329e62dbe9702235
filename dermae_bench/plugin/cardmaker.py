"""Child process that imports plugins and writes down what they promise.

`warden` begins it; nothing else in the harness imports a plugin outside of an attempt.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from dermae_bench.errors import BenchError, DataError, DataMissing, PluginError
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.data import SPLITS, Example
from dermae_bench.plugin.loading import load_plugin, place_of
from dermae_bench.plugin.params import build, has_rules, schema_of
from dermae_bench.plugin.sources import sources_of

_TEACHING = ("none", "optional", "required")


def make_card(reference: dict[str, Any]) -> dict[str, Any]:
    """Kind, schemas, columns and flags of one plugin."""
    kind, cls = load_plugin(reference["name"], reference["module"], reference["file"])
    if inspect.isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise PluginError(f"{cls.__name__} does not implement: {lacking}")
    libraries = sources_of(reference["module"], Path(reference["file"]) if reference["file"] else None).libraries
    card: dict[str, Any] = {
        "kind": kind,
        "doc": inspect.getdoc(cls) or "",
        "params": schema_of(cls.Config),
        "libraries": _distributions(libraries),
        "flags": _flags(kind, cls),
    }
    if kind == "generator":
        card["sampling"] = schema_of(cls.Sampling)
    if kind == "metric" and not card["params"].get("required"):
        defaults, _ = check({}, card["params"])
        card["columns"] = [asdict(column) for column in cls.columns(build(cls.Config, defaults))]
    return card


def _flags(kind: str, cls: type[Any]) -> dict[str, Any]:
    flags: dict[str, Any] = {"tiny": bool(getattr(cls, "tiny", None)), "rules": _ruled(kind, cls)}
    if kind == "generator":
        from dermae_bench.plugin.contracts import Joint

        flags |= {"conditional": cls.conditional, "joint": issubclass(cls, Joint), "captioned": cls.captioned}
    if kind in ("generator", "classifier"):
        flags |= {"fits": cls.fits, "protocols": {name: dict(values) for name, values in cls.protocols.items()}}
    if kind == "classifier":
        if cls.teaching not in _TEACHING:
            raise PluginError(f"{cls.__name__}.teaching must be one of {', '.join(_TEACHING)}, not {cls.teaching!r}")
        from dermae_bench.plugin.contracts import Classifier

        flags |= {"teaching": cls.teaching, "features": cls.features is not Classifier.features}
    if kind == "metric":
        from dermae_bench.plugin import measures

        bases = {"prediction": measures.PredictionMetric, "sample": measures.SampleMetric, "cost": measures.CostMetric}
        flags["metric"] = next(name for name, base in bases.items() if issubclass(cls, base))
        if flags["metric"] == "prediction":
            flags["validates"] = cls.validates
        elif flags["metric"] == "sample":
            flags |= {"over": cls.over, "reads": sorted(cls.reads)}
    if kind == "dataset":
        tests = {name: _names(cls, "test_contained_in", held) for name, held in cls.test_contained_in.items()}
        contained = _names(cls, "contained_in", cls.contained_in)
        flags |= {"home": cls.home, "contained_in": contained, "test_contained_in": tests}
    elif corpora := getattr(cls, "corpora", ()):
        flags["corpora"] = _names(cls, "corpora", corpora)
    if more := getattr(cls, "corpora_with", {}):
        flags["corpora_with"] = {name: _names(cls, "corpora_with", held) for name, held in more.items()}
    return flags


def _ruled(kind: str, cls: type[Any]) -> list[str]:
    """Which of a plugin's dataclasses have rules of their own, beyond their schemas."""
    own = {"params": cls.Config, **({"sampling": cls.Sampling} if kind == "generator" else {})}
    return [name for name, config in own.items() if has_rules(config)]


def make_refusal(reference: dict[str, Any], schema: str, values: dict[str, Any]) -> dict[str, Any]:
    """Why the plugin's own rules refuse checked values; {"refused": None} where they do not."""
    _, cls = load_plugin(reference["name"], reference["module"], reference["file"])
    config = cls.Config if schema == "params" else cls.Sampling
    try:
        build(config, values)
    except PluginError as error:
        # without the name of the class: the place in the suite is told with it
        return {"refused": str(error.__cause__ or error)}
    return {"refused": None}


def _names(cls: type[Any], field: str, held: Any) -> list[str]:
    if not isinstance(held, tuple | list) or not all(isinstance(name, str) and name for name in held):
        raise PluginError(f"{cls.__name__}.{field} must be a tuple of names, not {held!r}")
    return list(held)


def _distributions(modules: tuple[str, ...]) -> list[str]:
    known = _installed()
    return sorted({known[module][0] for module in modules if module in known})


@cache
def _installed() -> Mapping[str, Sequence[str]]:
    """Module -> its distributions; reading what is installed costs .2 s, and a child makes many cards."""
    return metadata.packages_distributions()


def make_tasks(reference: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """The tasks of a dataset under checked params, and how many images of each class there are.

    `counts` is {split: {class of the root task: images}} and `attributes` {name: number or text}; both are None while
    the images are missing or their table cannot be read, which `wrong` says where the dataset knows it.
    """
    _, cls = load_plugin(reference["name"], reference["module"], reference["file"])
    config = build(cls.Config, params)
    try:
        tasks = cls.tasks(config)
    except DataMissing as error:
        return {"missing": str(error)}
    examples: list[Example] = []
    wrong = None
    try:
        examples = list(cls(config).examples())
    except Exception as error:  # noqa: BLE001 (a fault of the plugin is told with its place by the stage that reads)
        wrong = str(error) if isinstance(error, DataError) else None
    return {
        "tasks": [asdict(task) for task in tasks],
        "counts": _counts(examples, tasks[0].classes),
        "attributes": _attributes(examples),
        "wrong": wrong,
    }


def _attributes(examples: Sequence[Example]) -> dict[str, str] | None:
    """Name of each attribute -> ``number`` or ``text``; None without images to look at."""
    if not examples:
        return None
    known: dict[str, set[type]] = {}
    for example in examples:
        for name, value in example.attributes.items():
            known.setdefault(name, set()).update(() if value is None else (type(value),))
    return {name: "number" if kinds and str not in kinds else "text" for name, kinds in known.items()}


def _counts(examples: Sequence[Example], classes: Sequence[str]) -> dict[str, dict[str, int]] | None:
    if not examples:
        return None
    found = Counter((example.split, example.label) for example in examples)
    if not {label for _, label in found} <= set(classes) or not {split for split, _ in found} <= set(SPLITS):
        return None
    return {split: {name: found[split, name] for name in classes} for split in SPLITS}


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Answer one question; whatever a plugin raises becomes its reason."""
    try:
        if "card" in question:
            return make_card(question["card"])
        if "rules" in question:
            return make_refusal(question["rules"], question["schema"], question["values"])
        return make_tasks(question["tasks"], question["params"])
    except BenchError as error:
        return {"error": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a stranger's module may raise anything at import)
        return {"error": f"{type(error).__name__}: {error}{place_of(error)}"}


def answer_all(asked: Path, path: Path) -> None:
    """Answer the questions of a JSON file: one line each, in their order."""
    me = os.getpid()
    # a plugin that was edited twice within a second is compiled twice: bytecode is known by whole seconds alone
    sys.dont_write_bytecode = True
    with path.open("w") as answers:
        for question in json.loads(asked.read_text()):
            # at once: a plugin that takes this process down is the first one without a line
            said = json.dumps(answer(question))
            if os.getpid() != me:
                # a plugin forked while it was imported, and this is its child
                os._exit(0)
            answers.write(said + "\n")
            answers.flush()
