"""What boards say around their numbers: the data set, its classes and marks."""

from __future__ import annotations

from dermae_bench.report.collect import class_counts
from dermae_bench.report.data_sets import DataSet
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.findings import ANSWERS, Report, parts

TOPIC = "facts"


def check_facts(evidence: Evidence, report: Report) -> None:
    """Facts of the boards are those of the prepared data set, and no mark of theirs was taken out."""
    prepared, boards = evidence.prepared, evidence.about["boards"]
    if not prepared:
        return
    meant = {
        "image_size": prepared["size"], "split_rule": prepared["split_rule"], "split_digest": prepared["split_digest"],
        "facts": {**boards["facts"], "images": str(prepared["n"])},
        "class_counts": class_counts(prepared),
    }  # fmt: skip
    for name, value in meant.items():
        report.count(TOPIC)
        for at, one, two in parts(boards[name], value, ANSWERS):
            report.differs(
                TOPIC, f"evidence.json: boards.{'.'.join(filter(None, (name, at)))}", "of the data", one, two
            )
    for its in evidence.sets:
        _inside(its, report)
    for name, about in evidence.others.items():
        report.count(TOPIC)
        if about != evidence.set_of(str(about["key"])).about:
            told = "it is one data set under two names, and they do not say the same of it"
            report.differs(TOPIC, f"evidence.json: others.{name[:80]}", told)
    if prepared["leaky"]:
        mark = f"leaky: {prepared['leaky']}"
        for row in boards["rows"]:
            if row["kind"] != "reported" and mark not in row["marks"]:
                report.differs(TOPIC, f"evidence.json: row {row['row']}", "a mark is missing", row["marks"], mark)


def _inside(its: DataSet, report: Report) -> None:
    """What a prepared data set says twice, it says alike."""
    prepared = its.about
    split, place = prepared["split"], f"evidence.json: {its.place}"
    images = sum(sum(counts.values()) for counts in prepared["counts"].values())
    twice = {
        "n": (prepared["n"], images), "split_rule": (prepared["split_rule"], split["rule"]),
        "split_digest": (prepared["split_digest"], split["digest"]), "counts": (prepared["counts"], split["classes"]),
    }  # fmt: skip
    for name, about in prepared.get("attributes", {}).items():
        if "images" in about:
            twice[f"attributes.{name}"] = (sum(about["images"].values()) + about["unknown"], images)
    for name, (one, two) in twice.items():
        report.count(TOPIC)
        if one != two:
            report.differs(TOPIC, f"{place}.{name}", "it says otherwise elsewhere", one, two)
