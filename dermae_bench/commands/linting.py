"""`validate --data`: look at the data, and say what is wrong, what is doubtful, and what was not looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.commands.absent import refusal
from dermae_bench.commands.data_told import tell_data, tell_other
from dermae_bench.commands.given_told import given_stages, is_given, tell_given
from dermae_bench.commands.printing import echo
from dermae_bench.commands.publishing import Session
from dermae_bench.errors import FAILED, OK, USAGE
from dermae_bench.execute.choices import Outcome
from dermae_bench.leakage.findings import KINDS
from dermae_bench.suite.leakage import NAME, is_leakage
from dermae_bench.suite.stage import Stage

SHOWN = 20
"""Findings of one kind that are printed; `show` lists more."""
OF_CHANCE = {"caption-repeated": 3}
"""The same of kinds that say little one by one."""


def lint(session: Session, run: Callable[[Sequence[Stage]], Outcome]) -> int:
    """Prepare the data if they are not, run the lints that can be run now, and print what they found.

    Images and answers that were made elsewhere are read as a run would read them. Lints of samples that are not drawn
    yet are left out and named; nothing is trained or drawn for a lint.

    Args:
        run: does stages, inputs first, as `run SUITE` would; finished ones are left alone.

    Returns:
        `USAGE` where the data or given files are wrong, `FAILED` where a lint could not be done, the signal's code
        where one came, else `OK`: doubts never fail.

    Raises:
        DataMissing: there are no data to look at.
    """
    if session.absent:
        raise refusal(session.absent)
    prepare, *others = _data(session.stages)
    lints = [stage for stage in session.stages if is_leakage(stage)]
    ready = [stage for stage in lints if _drawn(session, stage)]
    given = given_stages(session.stages)
    outcome = run(_with_inputs(session.stages, [prepare, *others, *ready, *given]))
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    unread = {_told_unread(stage, outcome) for stage in (prepare, *others) if not _done(session, stage)}
    if unread:
        return FAILED if FAILED in unread else USAGE
    own, suite = session.store.manifest(prepare.kind, prepare.key).summary, session.loaded.resolved
    warnings = tell_data(own, suite)
    for stage in others:
        name, its = stage.name.removeprefix("prepare/"), session.store.manifest(stage.kind, stage.key).summary
        warnings += tell_other(name, its, suite, own)
    errors, code = tell_given([stage for stage in given if not _done(session, stage)], outcome)
    for stage in ready:
        if _done(session, stage):
            warnings += _tell_findings(session, stage)
    unchecked = list(_unchecked(session, lints, ready))
    for line in unchecked:
        echo(f"not checked: {line}")
    told = f"{errors} error{'s' if errors > 1 else ''}" if errors else "0 errors"
    echo(f"{told}; warnings: {warnings}" + (f"; not checked: {len(unchecked)}" if unchecked else ""))
    if errors:
        return code
    return FAILED if outcome.failed else OK


def _data(stages: Sequence[Stage]) -> list[Stage]:
    """What prepares the data set of the suite, and then the sets under `evaluate_on`."""
    found = [stage for stage in stages if stage.kind == "prepare"]
    return sorted(found, key=lambda stage: stage.work.get("only") is not None)


def _told_unread(stage: Stage, outcome: Outcome) -> int:
    """Say why data could not be prepared; returns the exit code for it."""
    failure = outcome.failed.get(stage.key)
    who = f"{stage.name.removeprefix('prepare/')}: " if stage.work.get("only") is not None else ""
    if failure is None:
        echo(f"{who}the data could not be prepared", err=True)
        return FAILED
    echo(f"ERROR {who}{failure.reason}")
    return USAGE if failure.category == "data" else FAILED


def _done(session: Session, stage: Stage) -> bool:
    return bool(stage.key) and session.store.has(stage.kind, stage.key)


def _drawn(session: Session, stage: Stage) -> bool:
    """Whether a lint needs nothing but real images, samples that are there and images that were made elsewhere."""
    samples = stage.inputs.get("samples0")
    return samples is None or _done(session, samples) or is_given(samples)


def _with_inputs(stages: Sequence[Stage], wanted: Sequence[Stage]) -> list[Stage]:
    """Some stages of a plan with everything they read, in its order; what finished samples came from is left out."""
    keys: set[str] = set()
    todo = list(wanted)
    while todo:
        stage = todo.pop()
        if stage.key not in keys and stage.kind != "train":
            keys.add(stage.key)
            todo += stage.inputs.values() if stage.kind != "sample" or is_given(stage) else []
    return [stage for stage in stages if stage.key in keys]


def _tell_findings(session: Session, stage: Stage) -> int:
    """Print what one lint found; returns how many kinds of it are warnings."""
    summary = session.store.manifest(stage.kind, stage.key).summary
    who = stage.name.removeprefix(NAME)
    warnings = 0
    what = "captions" if summary["what"] == "captions" else "images"
    if not summary["counts"]:
        echo(f"{who}: nothing found in {summary['n']} {what}")
    for task, found in summary.get("guesses", {}).items():
        echo(
            f"NOTE {who}: the words of a caption give its {task} in {found['accuracy']:.1%} of {found['n']} captions; "
            f"the most frequent class is {found['majority']:.1%} of them"
        )
    for kind, about in KINDS.items():
        count = summary["counts"].get(kind, 0)
        if not count:
            continue
        # prepared data hold shared groups only where the split states why
        severity = "warning" if about.severity == "error" else about.severity
        warnings += severity == "warning"
        reason = f" (declared: {summary['leaky']})" if about.severity == "error" else ""
        echo(f"{severity.upper()} {who}: {count} {about.words}{reason}")
        listed = [finding for finding in summary["findings"] if finding["kind"] == kind]
        shown = OF_CHANCE.get(kind, SHOWN)
        for finding in listed[:shown]:
            echo(f"  {' ~ '.join(_members(finding))}{_measures(finding)}")
        if count > shown:
            echo(f"  and {count - shown} more: dermae-bench show {stage.key[:12]}")
    return warnings


def _members(finding: Mapping[str, Any]) -> list[str]:
    """The images of a finding with their splits and labels, or its lesion."""
    ids, splits, labels = (list(finding.get(name, ())) for name in ("ids", "splits", "labels"))
    groups = finding.get("groups", ())
    if "task" in finding:
        return [_phrase(finding)]
    if not ids or finding["kind"] == "label-conflict-lesion":
        return [f"{groups[0] if groups else ids[0]} ({', '.join(labels or splits)})"]
    # a generated image has neither
    splits = [""] * (len(ids) - len(splits)) + splits
    labels = [""] * (len(ids) - len(labels)) + labels
    found = []
    for name, split, label in zip(ids, splits, labels, strict=False):
        facts = ", ".join(filter(None, (split, label)))
        found.append(f"{name} ({facts})" if facts else name)
    return found


def _phrase(finding: Mapping[str, Any]) -> str:
    """`"lakes": vasc (diagnosis), 79 of 79 captions`, or a task and how often its class is guessed."""
    of = f"{finding['labels'][0]} ({finding['task']})" if "labels" in finding else finding["task"]
    words = f'"{finding["phrase"]}": {of}' if "phrase" in finding else of
    return f"{words}, {finding['count']} of {finding['among']} captions"


def _measures(finding: Mapping[str, Any]) -> str:
    """`: correlation 0.9977, 35 of 256 bits, distance 6.166 (confirmed)`."""
    told = []
    if "correlation" in finding:
        told.append(f"correlation {finding['correlation']:.4f}")
    if "hamming" in finding:
        told.append(f"{finding['hamming']} of 256 bits")
    if "distance" in finding:
        said = "confirmed" if finding.get("confirmed") else "not confirmed"
        told.append(f"distance {finding['distance']:.4g} ({said})")
    if "turn" in finding:
        told.append(finding["turn"])
    return f": {', '.join(told)}" if told else ""


def _unchecked(session: Session, lints: Sequence[Stage], ready: Sequence[Stage]) -> Iterator[str]:
    if not lints:
        yield "copies across splits (this plan has no lints)"
    elif not session.loaded.suite.extractors:
        yield "copies with an edge cut off (the suite has no extractor)"
    for stage in lints:
        who = stage.name.removeprefix(NAME)
        if stage not in ready:
            yield f"samples {who} (not drawn yet)"
        elif not _done(session, stage):
            yield f"{who} (it failed)"
