"""Every score computed again, and the records that each of them must have left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.report.evidence import Evidence, Score
from dermae_bench.report.verify.findings import ANSWERS, FEATURES, UNUSABLE, Needs, Report, Tolerance, why
from dermae_bench.report.verify.metrics import Metrics, NotHere
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.samples import columns_of
from dermae_bench.scoring.predictions import score_predictions
from dermae_bench.store.manifests import Damaged
from dermae_bench.suite.keys import harness_digests

MOST_RESAMPLES = 20_000
"""A number in a file that somebody else wrote must not fill the memory."""

ScoreSamples = Callable[[Score, Mapping[str, Any]], Mapping[str, Any]]
"""(score, its work) -> the summary that its stage would give, from the features and samples in the store."""
Tell = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Again:
    """One score, computed again as far as that is possible here."""

    score: Score
    tolerance: Tolerance
    summary: Mapping[str, Any] | None
    """As its stage gives it; None where it could not be computed."""
    columns: Sequence[Mapping[str, Any]] = ()
    """Where there is no summary: the records that it must have left, without their numbers."""
    needs: Needs = "store"
    """What is lacking where there are columns."""
    replicates: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    """Column -> (R,) and (G,) under bootstrap and jackknife."""

    @property
    def n(self) -> int | None:
        """Images that its numbers are taken over; None where that is not known."""
        items = self.columns if self.summary is None else self.summary["records"]
        found: int | None = items[0]["n"] if items else None
        return found

    @property
    def items(self) -> Iterator[Mapping[str, Any]]:
        """Records of whole sets and of subgroups."""
        if self.summary is not None:
            yield from self.summary["records"]
            yield from self.summary.get("subgroups", ())


def again(
    evidence: Evidence,
    provenance: Provenance,
    metrics: Metrics,
    samples: ScoreSamples | None,
    report: Report,
    tell: Tell = lambda done, total: None,
) -> list[Again]:
    """Every score of the folder.

    Args:
        samples: computes a score of samples from the store; None where there is no store.
    """
    found = []
    for number, score in enumerate(evidence.scores):
        tell(number, len(evidence.scores))
        try:
            _tell_versions(score, provenance, metrics, report)
            if score.of == "predictions":
                found.append(_predictions(evidence, score, metrics))
                report.count("scores from predictions")
            else:
                found.append(_samples(evidence, score, provenance, metrics, samples, report))
        except NotHere as error:
            report.skip(f"{score.name}: {error.message}", "plugin")
            found.append(Again(score=score, tolerance=ANSWERS, summary=None))
        except UNUSABLE as error:
            report.differs("scores", score.name[:120], f"it cannot be computed again: {why(error)}")
            found.append(Again(score=score, tolerance=ANSWERS, summary=None))
    return found


def _predictions(evidence: Evidence, score: Score, metrics: Metrics) -> Again:
    if not 1 <= int(score.work["resamples"]) <= MOST_RESAMPLES:
        raise InvalidOutput(f"{score.work['resamples']} resamples are not between 1 and {MOST_RESAMPLES}")
    answers = evidence.scored(score)
    if not score.work["subgroups"]:
        answers = replace(answers, attributes={})
    scored = score_predictions(score.work, answers, evidence.facts(score), metrics)
    names = scored.summary["columns"]
    return Again(
        score=score,
        tolerance=ANSWERS,
        summary=_json(scored.summary),
        replicates={name: (scored.replicates[k], scored.jackknife[k]) for k, name in enumerate(names)},
    )


def _samples(
    evidence: Evidence,
    score: Score,
    provenance: Provenance,
    metrics: Metrics,
    samples: ScoreSamples | None,
    report: Report,
) -> Again:
    """From the store; where this or what the score reads in it is not here, its records without their numbers."""
    needs: Needs = "store"
    if samples is not None:
        try:
            summary = _json(samples(score, score.work))
            report.count("scores from samples")
            return Again(score=score, tolerance=FEATURES, summary=summary)
        except Damaged as error:
            # that the store is damaged says nothing against the folder; its records are left unchecked one by one
            report.skip(f"{score.name}: {error.message}", "entry", 0)
            needs = "entry"
    columns = _json(columns_of(score, evidence, provenance, metrics))
    return Again(score=score, tolerance=FEATURES, summary=None, columns=columns, needs=needs)


def _tell_versions(score: Score, provenance: Provenance, metrics: Metrics, report: Report) -> None:
    """Say where the code that scored is not the code that is here."""
    parts = provenance.parts(score.key) if score.key in provenance.stages else {"plugins": {}, "harness": {}}
    for asked in score.work["metrics"]:
        then = parts["plugins"].get(asked["metric"])
        if then is not None and metrics.digest(asked["metric"]) != then:
            report.note(f"metric {asked['metric']} has another source here than in the run")
            report.other_version = True
    here = harness_digests("score")
    changed = sorted(name for name, digest in parts["harness"].items() if here.get(name) != digest)
    if changed:
        report.note(f"the run scored with other versions of: {', '.join(changed)}")
        report.other_version = True


def _json(value: Any) -> Any:
    """As it would be read back from a manifest: no tuples."""
    return json.loads(json.dumps(value, allow_nan=False))
