"""Means over seeds, intervals, ranks, ties and every board, made again from records and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from dermae_bench.durable import canonical
from dermae_bench.report.class_mix import Mix, of_score
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import FILE as EVIDENCE
from dermae_bench.report.evidence import IMAGES, PREDICTIONS, Evidence, Score
from dermae_bench.report.export import tables
from dermae_bench.report.html import chart_files
from dermae_bench.report.records import Boards, Record, Reported, RowInfo, Uncertainty
from dermae_bench.report.uncertainty import Resamples, uncertainty
from dermae_bench.report.verify.digests import SUMS
from dermae_bench.report.verify.findings import ANSWERS, UNUSABLE, Report, parts, same, why
from dermae_bench.report.verify.members import check_members
from dermae_bench.report.verify.planned import Plan
from dermae_bench.report.verify.reading import read_text
from dermae_bench.report.verify.records import FILE as RECORDS
from dermae_bench.report.verify.scores import Again
from dermae_bench.report.verify.texts import differences

ELSEWHERE = frozenset({"timings.csv", "environment.json"})
"""What depends on the machine; their digests are checked."""
OTHERS = frozenset({EVIDENCE, PREDICTIONS, IMAGES, SUMS, "report.html", "suite.resolved.yaml"})
"""What a results folder holds besides the texts of its boards, and folders of pictures."""

Found = dict[tuple[str, str], Uncertainty]


def check_rows(scores: Sequence[Again], evidence: Evidence, plan: Plan | None, report: Report) -> None:
    """Seeds and confusion counts of the rows, beside the scores that they show."""
    # no metric of the suite may apply to a row, which then shows costs alone
    bare = (
        {(row.board, str(public(row.row))) for row in plan.rows if not any(cell.scores for cell in row.cells)}
        if plan is not None
        else set()
    )
    shown: dict[tuple[str, str], list[tuple[str, Again]]] = {}
    for score in scores:
        for row in score.score.rows:
            shown.setdefault((row["board"], row["row"]), []).append((canonical(row["seeds"]), score))
    for row in evidence.about["boards"]["rows"]:
        if row["kind"] == "reported":
            continue
        report.count("rows")
        place = f"evidence.json: row {row['row']}"
        seeds = [canonical(item) for item in row["seeds"]]
        found = shown.pop((row["board"], row["row"]), [])
        lacking = [item for item in seeds if item not in {key for key, _ in found}]
        if row["status"] == "ok" and lacking and (row["board"], row["row"]) not in bare:
            report.differs("rows", place, "the row is finished, and no score is of seeds", lacking)
        if strange := sorted({key for key, _ in found} - set(seeds)):
            report.differs("rows", place, "scores of seeds that the row does not have", strange)
        _status(row, [score for _, score in found], place, report)
        _confusions(row, seeds, found, place, report)
    for board, name in shown:
        report.differs("rows", f"evidence.json: {board}: {name}", "scores are of a row that the board does not have")


def _status(row: Mapping[str, Any], scores: Sequence[Again], place: str, report: Report) -> None:
    """A reason stands beside a failure alone, and a floor says how many images it has."""
    status, reason = row["status"], row["reason"]
    if status not in {"ok", "failed", "pending"}:
        report.differs("rows", place, "its status is none", status, "ok, failed or pending")
    if (status == "failed") != (isinstance(reason, str) and bool(reason)):
        report.differs("rows", place, f"its status is {status}, and its reason", reason)
    counts = {str(score.n) for score in scores if score.n is not None and score.score.of == "samples"}
    if row["kind"] == "floor" and "n" in row["names"] and counts and row["names"]["n"] not in counts:
        told = "names.n is not the number of images that its scores were taken over"
        report.differs("rows", place, told, row["names"]["n"], sorted(counts)[0])


def _confusions(
    row: Mapping[str, Any], seeds: Sequence[str], found: Sequence[tuple[str, Again]], place: str, report: Report
) -> None:
    if any(score.score.of == "predictions" and score.summary is None for _, score in found):
        return
    ordered = [(key, score.summary) for seed in seeds for key, score in found if key == seed]
    meant = [
        {
            "seeds": key,
            "metrics": [item["metric"] for item in summary["records"]],
            **{name: summary[name] for name in ("classes", "confusion", "per_class")},
        }
        for key, summary in ordered
        if summary is not None and "confusion" in summary
    ]
    stored = [{**dict(item), "seeds": canonical(item["seeds"])} for item in row["confusions"]]
    report.count("confusion matrices", len(meant))
    if not same(stored, meant, ANSWERS):
        for at, one, two in parts(stored, meant, ANSWERS):
            report.differs("confusion matrices", place, f"confusions{at}", one, two)


def check_intervals(scores: Sequence[Again], evidence: Evidence, report: Report) -> tuple[Found, set[str]]:
    """Uncertainty of every mean over seeds, and the metrics of which some could not be computed again."""
    by_cell: dict[tuple[str, str], list[Again]] = {}
    for score in scores:
        for row in score.score.rows:
            by_cell.setdefault((row["row"], canonical(row["seeds"])), []).append(score)
    made: Found = {}
    for row in evidence.about["boards"]["rows"]:
        items: dict[str, list[Resamples]] = {}
        for seeds in row["seeds"]:
            for score in by_cell.get((row["row"], canonical(seeds)), ()):
                values = {item["metric"]: item["value"] for item in (score.summary or {"records": ()})["records"]}
                for name, (replicates, jackknife) in score.replicates.items():
                    one = Resamples(value=values[name], replicates=replicates, jackknife=jackknife)
                    items.setdefault(name, []).append(one)
        for name, found in items.items():
            its = uncertainty(found) if len(found) == len(row["seeds"]) else None
            if its is not None:
                made[row["row"], name] = its
    return made, _beside_stored(made, scores, evidence, report)


def _beside_stored(made: Found, scores: Sequence[Again], evidence: Evidence, report: Report) -> set[str]:
    lost = {row["row"] for score in scores if score.score.of == "predictions" and score.summary is None
            for row in score.score.rows}  # fmt: skip
    blind: set[str] = set()
    stored = {(item["row"], item["metric"]): item for item in evidence.about["intervals"]}
    for (row, metric), item in stored.items():
        place = f"evidence.json: interval of {row}: {metric}"
        found = made.get((row, metric))
        if found is None and row in lost:
            report.skip(f"interval of {row}: {metric}", "plugin")
            blind.add(metric)
            values = {name: item[name] for name in ("low", "high", "error")}
            made[row, metric] = Uncertainty(**values, replicates=np.zeros(0))
            continue
        if found is None:
            report.differs("intervals", place, "no scores give such an interval", [item["low"], item["high"]])
            continue
        report.count("intervals")
        meant = {"low": found.low, "high": found.high, "error": found.error}
        for name, value in meant.items():
            if not same(item[name], value, ANSWERS):
                report.differs("intervals", place, name, item[name], value)
            elif value is not None:
                # within rounding: what was printed is kept, so that its last digit is, too
                meant[name] = item[name]
        made[row, metric] = Uncertainty(**meant, replicates=found.replicates)
    for row, metric in made.keys() - stored.keys():
        report.differs("intervals", f"evidence.json: interval of {row}: {metric}", "the interval is missing")
    return blind


def boards_of(evidence: Evidence, records: Sequence[Mapping[str, Any]], intervals: Found) -> Boards:
    """The boards that evidence and records describe."""
    plain = dict(evidence.about["boards"])
    rows = tuple(
        RowInfo(**{**row, **{name: tuple(row[name]) for name in ("seeds", "confusions", "marks")}})
        for row in plain.pop("rows")
    )
    reported = tuple(Reported(**item) for item in plain.pop("reported"))
    found = [Record(**{**item, "warnings": tuple(item["warnings"])}) for item in records]
    return Boards(
        **plain,
        rows=rows,
        reported=reported,
        records=tuple(item for item in found if item.identity.get("subgroup") is None),
        subgroups=tuple(item for item in found if item.identity.get("subgroup") is not None),
        subgroup_classes=_mixes(evidence),
        uncertainty=intervals,
    )


def _mixes(evidence: Evidence) -> dict[tuple[str, str], Mix]:
    """Classes in the subgroups of every row, from the first of its scores that has any.

    Scores that cannot be computed again are told where this is tried; they have no counts here either.
    """
    found: dict[tuple[str, str], Mix] = {}
    wanted = {
        row["row"]: score
        for score in reversed(evidence.scores)
        for row in score.rows
        if _divided(score) and row["board"] == "classifiers"
    }
    for key in {score.key: None for score in wanted.values()}:
        score = next(score for score in evidence.scores if score.key == key)
        try:
            mixes = of_score(evidence, score)
        except UNUSABLE:
            continue
        found |= {
            (row, attribute): mix for row, its in wanted.items() if its.key == key for attribute, mix in mixes.items()
        }
    return found


def _divided(score: Score) -> bool:
    return score.of == "predictions" and bool(score.work.get("subgroups"))


def check_boards(folder: Path, boards: Boards, drawn: AbstractSet[str] | None, blind: set[str], report: Report) -> None:
    """Render every board and chart again and compare it with the folder's, byte by byte and then cell by cell.

    Args:
        drawn: names of the pictures that the suite may give; None where it cannot be planned here.
        blind: metrics whose ties cannot be told here.
    """
    try:
        made = {**tables(boards), **{name: data.decode() for name, data in chart_files(boards).items()}}
    except UNUSABLE as error:
        report.differs("boards", "evidence.json", f"no boards can be made from it: {why(error)}")
        return
    check_members(folder, {*made, *OTHERS}, boards, drawn, report)
    for name, text in made.items():
        if name in ELSEWHERE:
            continue
        if not (folder / name).exists():
            report.differs("boards", name, "it is missing")
            continue
        stored = read_text(folder, name, report, "boards")
        if stored is None:
            continue
        report.count("boards")
        if name == RECORDS and report.counts.get("records"):
            # told record by record already
            continue
        for where, one, two in differences(name, stored, text):
            if blind and _of_rank(name, where, blind):
                report.skip(f"{name}: {where}", "plugin")
            else:
                report.differs("boards", f"{name}: {where}", "it is not what records and evidence give", one, two)


def _of_rank(name: str, where: str, blind: set[str]) -> bool:
    """Whether this place may depend on a tie that only replicates decide, which are not here."""
    if name.endswith(".md") or where.startswith("order of the rows"):
        return True
    if name.endswith(".csv"):
        return any(where.endswith(f"column {metric} rank") for metric in blind)
    return where.endswith((".rank", ".tied"))
