"""Records of scores that cannot be computed again here, held to everything that is known without their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.durable import canonical
from dermae_bench.report.escape import public
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.verify.findings import ABSENT, ANSWERS, Report, parts
from dermae_bench.report.verify.samples import UNTOLD
from dermae_bench.report.verify.scores import Again

TOPIC = "records"
COUNTED = "facts of records from samples"

Item = Mapping[str, Any]


class Loose:
    """The scores that were not computed again, and the records that claim to be theirs.

    Args:
        scores: those without a summary.
        file: how findings call the records.
    """

    def __init__(self, scores: Sequence[Again], evidence: Evidence, file: str, report: Report) -> None:
        self.scores = {score.score.key: score for score in scores}
        self.rows = {(row["board"], row["row"]): row for row in evidence.about["boards"]["rows"]}
        self.shown_warnings = set(map(str, evidence.about["boards"]["warnings"]))
        self.file = file
        self.report = report
        self.held: dict[tuple[str, str, str, str], list[Item]] = {}
        """(key, board, row, seeds) -> records."""

    def take(self, item: Item) -> bool:
        """Whether a score may have left this record; it is held to the facts, and its number is left unchecked."""
        score = self.scores.get(item["key"])
        seeds = canonical(item["seeds"])
        if score is None or not any(
            (item["board"], item["row"], seeds) == (row["board"], row["row"], canonical(row["seeds"]))
            for row in score.score.rows
        ):
            return False
        meant = _column(item, score)
        if score.columns and meant is None:
            return False
        self.held.setdefault((item["key"], item["board"], item["row"], seeds), []).append(item)
        self.report.skip(f"{item['row']}: {item['metric']}", score.needs if score.columns else "plugin")
        self._facts(item, meant)
        return True

    def _facts(self, item: Item, meant: Item | None) -> None:
        self.report.count(COUNTED)
        row = self.rows.get((item["board"], item["row"]), {})
        self._same(item, {name: public(row[name]) for name in ("names", "kind") if name in row})
        if item["status"] != "ok" and not str(item["status"]).startswith("failed: "):
            self.report.differs(TOPIC, self._place(item), "status", item["status"], "ok or failed")
        if meant is None:
            return
        # distances have no interval and no standard error
        self._same(item, {"unit": meant["unit"], "better": meant["better"], "low": None, "high": None, "error": None})
        if item["n"] != item["identity"].get("n"):
            self.report.differs(TOPIC, self._place(item), "n is not that of its identity", item["n"],
                                item["identity"].get("n"))  # fmt: skip
        own, known = dict(item["identity"]), dict(public(meant["identity"]))
        for name in (*UNTOLD, *(one for one in ("n", "n_real") if known.get(one) is None)):
            known[name] = own.get(name, ABSENT)
        if "subgroup" in known and known["subgroup"]["value"] is None:
            # which values the images have is not known here
            known["subgroup"] = {**known["subgroup"], "value": own["subgroup"].get("value", ABSENT)}
        self._same({**item, "identity": own}, {"identity": known})

    def _same(self, item: Item, meant: Item) -> None:
        for name, value in meant.items():
            for at, one, two in parts(item[name], value, ANSWERS):
                self.report.differs(TOPIC, self._place(item), ".".join(filter(None, (name, at))), one, two)

    def _place(self, item: Item) -> str:
        its = item["identity"].get("subgroup")
        inside = f", subgroup {canonical(its)}" if its is not None else ""
        return (
            f"{self.file}: {item['board']}: {item['row']}: {item['metric']}, seeds {canonical(item['seeds'])}{inside}"
        )

    def finish(self) -> None:
        """Name records that are missing, and those of one score that contradict each other."""
        extractors: dict[str, Item] = {}
        for score in self.scores.values():
            if not score.columns:
                continue
            for row in score.score.rows:
                found = self.held.get((score.score.key, row["board"], row["row"], canonical(row["seeds"])), [])
                self._lacking(score, row, found)
                for item in found:
                    self._beside_others(item, found[0], score, extractors)
                self._sums(found, score)

    def _lacking(self, score: Again, row: Item, found: Sequence[Item]) -> None:
        there = {(item["metric"], canonical(_part(item))) for item in found}
        there |= {(metric, canonical({**its, "value": None})) for metric, its in _subgroups(found)}
        for column in score.columns:
            if (column["metric"], canonical(_part(column))) not in there:
                place = self._place({**column, "board": row["board"], "row": row["row"], "seeds": row["seeds"]})
                self.report.differs(TOPIC, place, "the record is missing")

    def _beside_others(self, item: Item, first: Item, score: Again, extractors: dict[str, Item]) -> None:
        """Warnings are those of the whole score, and stand on the boards; features are described alike everywhere."""
        if item["warnings"] != first["warnings"]:
            told = "its warnings are not those of the other records of its score"
            self.report.differs(TOPIC, self._place(item), told, item["warnings"], first["warnings"])
        for text in item["warnings"]:
            if text not in self.shown_warnings:
                self.report.differs(TOPIC, self._place(item), "a warning that the boards do not have", text)
        real = score.score.inputs.get("real", {}).get("key", "")
        told = item["identity"].get("extractor", ABSENT)
        if not real and told is not None:
            self.report.differs(TOPIC, self._place(item), "identity.extractor: it reads no features", told)
        elif real and told != extractors.setdefault(real, told):
            expected = extractors[real]
            self.report.differs(TOPIC, self._place(item), "identity.extractor: equal features, told otherwise", told,
                                expected)  # fmt: skip

    def _sums(self, found: Sequence[Item], score: Again) -> None:
        """The images inside all subgroups of an attribute are those of the whole set."""
        whole = {column["metric"]: column["identity"] for column in score.columns if _part(column) is None}
        split: dict[tuple[str, str], list[Item]] = {}
        for item in found:
            if (its := _part(item)) is not None:
                split.setdefault((item["metric"], str(its.get("attribute"))), []).append(item)
        sizes = next(iter(whole.values()), None)
        for items in split.values():
            names = ["n_real", *(["n"] if _part(items[0]).get("generated") == "same" else [])]
            for name in names:
                total = sum(item["identity"].get(name) or 0 for item in items)
                if sizes is not None and total != sizes[name]:
                    told = f"identity.{name} of all its subgroups together"
                    self.report.differs(TOPIC, self._place(items[0]), told, total, sizes[name])


def _part(item: Item) -> Any:
    return item["identity"].get("subgroup")


def _subgroups(found: Sequence[Item]) -> Iterator[tuple[str, Item]]:
    return ((item["metric"], _part(item)) for item in found if isinstance(_part(item), Mapping))


def _fits(its: Item, own: Item) -> bool:
    """Whether a subgroup is the one meant, which may leave the value open."""
    return dict(its) == {**own, "value": its.get("value") if own["value"] is None else own["value"]}


def _column(item: Item, score: Again) -> Item | None:
    """What is known of this record; None where the score has no such one."""
    its = _part(item)
    for column in score.columns:
        own = _part(column)
        if column["metric"] != item["metric"] or (own is None) != (its is None):
            continue
        if own is None or (isinstance(its, Mapping) and _fits(its, own)):
            return column
    return None
