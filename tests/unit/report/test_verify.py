"""What `verify` must find: each test harms a copy of one good folder in one way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from verified_folder import results_folder

from dermae_bench.commands.verifying import samples_in
from dermae_bench.durable import canonical, digest_file, digest_of
from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.evidence import Evidence
from dermae_bench.report.export import tables
from dermae_bench.report.verify.digests import SUMS, write_digests
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.metrics import Metrics
from dermae_bench.report.verify.provenance import Provenance
from dermae_bench.report.verify.rebuilt import boards_of, check_intervals
from dermae_bench.report.verify.render import json_report, terminal_report
from dermae_bench.report.verify.scores import again
from dermae_bench.report.verify.verify import verify

ROW = "thumbs | train | diagnosis"


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """This folder was made by hand and is of no suite; `test_verify_plan.py` holds one to its plan."""
    monkeypatch.setattr("dermae_bench.report.verify.verify.plan_of", lambda *words: None)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_folder(tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """A copy that a test may harm, with its store and its published table."""
    shutil.copytree(good.parent, tmp_path / "results")
    return tmp_path / "results" / "tiny"


def check(folder: Path, catalog: Catalog, *, store: bool = False, silent: bool = True) -> Report:
    """A check with the store, or as in a clone."""
    home = folder.parent
    return verify(
        folder, store=home / "store" if store else None, without_store=not store and silent, catalog=catalog,
        samples_in=lambda entries: samples_in(entries, Metrics(catalog)), results=[home],
    )  # fmt: skip


def named(report: Report, topic: str, *words: str) -> bool:
    """Whether a finding of the topic has all of the words."""
    texts = [
        f"{item.place}: {item.message} {canonical([item.stored, item.expected])}"
        for item in report.findings
        if item.topic == topic
    ]
    return any(all(word in text for word in words) for text in texts)


# -- how a forger works -----------------------------------------------------------------------------------------------


def text(folder: Path, name: str, old: str, new: str) -> None:
    content = (folder / name).read_text()
    assert old in content, (name, old)
    (folder / name).write_text(content.replace(old, new, 1))


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def write_records(folder: Path, found: list[dict[str, Any]]) -> None:
    lines = [json.dumps(item, sort_keys=True, separators=(",", ":")) + "\n" for item in found]
    (folder / "records.jsonl").write_text("".join(lines))


def evidence(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "evidence.json"
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")


def table(folder: Path, name: str, column: str, change: Callable[[list[Any]], Any]) -> None:
    """Change one column of a parquet file in place."""
    held = pq.read_table(folder / name)
    values = held.column(column).to_pylist()
    change(values)
    place = held.column_names.index(column)
    kind = held.schema.field(column).type
    pq.write_table(held.set_column(place, column, pa.array(values).cast(kind)), folder / name)


def render(folder: Path, catalog: Catalog) -> None:
    """Boards from forged records, evidence and answers, by our own code, and a new list of digests."""
    held, unused = Evidence(folder), Report(folder="")
    scores = again(held, Provenance(held.about["provenance"]), Metrics(catalog), None, unused)
    made, _ = check_intervals(scores, held, unused)
    for name, content in tables(boards_of(held, records(folder), made)).items():
        if name not in {"timings.csv", "environment.json"}:
            (folder / name).write_text(content)
    write_digests(folder)


def first(folder: Path, metric: str = "brier", row: str = ROW) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found = records(folder)
    return found, next(item for item in found if item["metric"] == metric and item["row"] == row)


def cases(harms: dict[str, Any], often: int) -> list[Any]:
    """The names of the harms; those behind the first ones are tried with the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow if k >= often else ()) for k, name in enumerate(harms)]


# -- nothing is wrong -------------------------------------------------------------------------------------------------


def test_a_good_folder_is_good_in_every_part(good: Path, catalog: Catalog) -> None:
    report = check(good, catalog, store=True)
    assert report.findings == [] and report.unchecked == [] and report.exit_code == 0
    compared = report.checked
    assert compared["scores from predictions"] == 9 and compared["scores from samples"] == 1
    assert compared["records"] == len(records(good)) and compared["answers beside the store"] == 276
    assert compared["boards"] == 10 and compared["costs"] == 12 and compared["published numbers"] == 1


def test_without_a_store_the_rest_is_checked_and_what_is_left_is_told(good: Path, catalog: Catalog) -> None:
    report = check(good, catalog, silent=False)
    assert report.findings == [] and report.exit_code == 4
    assert {item.needs for item in report.unchecked} == {"store"}
    assert any("kid[hand]" in item.what for item in report.unchecked)
    assert "inconclusive" in terminal_report(report) and "--no-store" in terminal_report(report)
    clone = check(good, catalog)
    assert clone.exit_code == 0 and clone.checked["scores from predictions"] == 9


def test_it_changes_nothing(good: Path, catalog: Catalog) -> None:
    before = {path: path.stat().st_mtime_ns for path in good.parent.rglob("*")}
    check(good, catalog, store=True)
    assert {path: path.stat().st_mtime_ns for path in good.parent.rglob("*")} == before


def test_the_list_of_digests_is_read_by_sha256sum(good: Path) -> None:
    lines = [line for line in (good / SUMS).read_text().splitlines() if not line.startswith("#")]
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    assert listed["figures/grid.png"] == digest_file(good / "figures" / "grid.png")
    assert "report.html" not in listed and SUMS not in listed
    assert f"# {digest_file(good / 'report.html')}  report.html" in (good / SUMS).read_text()
    assert write_digests(good) is False


def test_a_folder_without_its_suite_is_not_good(good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert named(check(good, catalog), "plan", "suite.resolved.yaml", "cannot be read")


# -- files ------------------------------------------------------------------------------------------------------------

FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "figure swapped": (lambda f: (f / "figures/grid.png").write_bytes(b"another"), "figures/grid.png"),
    "file added": (lambda f: (f / "extra.csv").write_text("a,b\n"), "extra.csv"),
    "file missing": (lambda f: (f / "timings.csv").unlink(), "timings.csv"),
    "page changed": (lambda f: (f / "report.html").write_text("<p>better</p>"), "report.html"),
    "list removed": (lambda f: (f / SUMS).unlink(), SUMS),
    "digest changed": (lambda f: text(f, SUMS, digest_file(f / "images.parquet"), "0" * 64), "images.parquet"),
    "line removed": (lambda f: (f / SUMS).write_text((f / SUMS).read_text().replace("  environment.json", "")),
                     "environment.json"),
    "path in the list": (lambda f: (f / SUMS).write_text((f / SUMS).read_text() + "0" * 64 + "  ../../secret\n"), SUMS),
    "link": (lambda f: ((f / "timings.csv").unlink(), (f / "timings.csv").symlink_to("/etc/hostname")), "timings.csv"),
    "folder link": (lambda f: (f / "more").symlink_to("/etc"), "more"),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(FILES, 3))
def test_harm_to_files_is_named(harm: str, folder: Path, catalog: Catalog) -> None:
    do, name = FILES[harm]
    do(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, "files", name)


def test_an_absent_page_is_no_difference(folder: Path, catalog: Catalog) -> None:
    (folder / "report.html").unlink()
    assert check(folder, catalog).exit_code == 0


def test_an_added_file_is_found_though_it_is_listed(folder: Path, catalog: Catalog) -> None:
    (folder / "summary.csv").write_text("thumbs,0.99\n")
    write_digests(folder)
    assert named(check(folder, catalog), "boards", "summary.csv")


# -- digits -----------------------------------------------------------------------------------------------------------


def shown_value(folder: Path, name: str) -> tuple[str, str]:
    """A number of `ROW` as this file spells it, and another one."""
    board = json.loads((folder / "classifiers.json").read_text())
    value = next(row for row in board["rows"] if row["row"] == ROW)["metrics"]["brier"]["value"]
    if name.endswith("csv"):
        old = format(value, ".6g")
    elif name.endswith("md"):
        old = format(value, ".3f")
    else:
        old = repr(value) if name.endswith("json") else repr(first(folder)[1]["value"])
    return old, old[:4] + str((int(old[4]) + 1) % 10) + old[5:]


@pytest.mark.parametrize("name", ["classifiers.csv", "classifiers.md", "classifiers.json", "records.jsonl"])
def test_a_changed_digit_is_named_with_row_column_and_both_values(name: str, folder: Path, catalog: Catalog) -> None:
    old, new = shown_value(folder, name)
    text(folder, name, old, new)
    report = check(folder, catalog)
    assert report.exit_code == 1
    assert named(report, "files", name)
    topic = "records" if name == "records.jsonl" else "boards"
    assert named(report, topic, name, new[:5], old[:5], *(["brier"] if not name.endswith("md") else []))
    where = "thumbs" if name.endswith("md") else "thumbs | train | diagnosis"
    assert named(report, topic, where)


def test_a_digit_changed_everywhere_is_found_by_computing(folder: Path, catalog: Catalog) -> None:
    found, item = first(folder)
    item["value"] -= 0.01
    write_records(folder, found)
    render(folder, catalog)
    report = check(folder, catalog)
    assert not named(report, "files", "") and named(report, "records", ROW, "brier", "value")
    assert named(report, "boards", "classifiers.csv", ROW, "column brier")


# -- records ----------------------------------------------------------------------------------------------------------


def _more(name: str, value: Any) -> Callable[[list[dict[str, Any]], dict[str, Any]], Any]:
    return lambda found, item: item.update({name: value})


def _identity(name: str, value: Any) -> Callable[[list[dict[str, Any]], dict[str, Any]], Any]:
    return lambda found, item: item["identity"].update({name: value})


RECORDS: dict[str, tuple[str, Callable[[list[dict[str, Any]], dict[str, Any]], Any], str]] = {
    "interval": ("brier", _more("low", 0.0), "low"),
    "leaky removed": ("brier", lambda found, item: item["identity"].pop("leaky"), "records.jsonl"),
    "deleted": ("brier", lambda found, item: found.remove(item), "the record is missing"),
    "another seed": ("brier", lambda found, item: item["seeds"].update(classifier=7), "no score gives"),
    "forged metric": ("brier", lambda found, item: found.append({**item, "metric": "accuracy", "value": 0.99}),
                      "no score gives"),
    "standard error": ("brier", _more("error", 1e-6), "error"),
    "n": ("brier", _more("n", 480), "n"),
    "n in the identity": ("brier", _identity("n", 480), "identity.n"),
    "split digest": ("brier", _identity("split_digest", "0" * 64), "identity.split_digest"),
    "direction": ("brier", _more("better", "higher"), "better"),
    "another key": ("brier", _more("key", "0" * 32), "key"),
    "twice": ("brier", lambda found, item: found.append(dict(item)), "a second record"),
    "not finite": ("brier", _more("value", float("nan")), "records.jsonl line"),
    "of a failure": ("brier", _more("status", "failed: no"), "records.jsonl line"),
    "a warning": ("brier", _more("warnings", ["trust me"]), "warnings"),
    "subgroup": ("brier", lambda found, item: next(
        one for one in found if one["identity"].get("subgroup")).update(value=0.001), "subgroup"),
    "published": ("accuracy", _more("value", 0.5), "value"),
    "samples: another metric": ("kid[hand]", lambda found, item: found.append({**item, "metric": "fd[hand]"}),
                                "no score gives"),
    "samples: facts": ("kid[hand]", _identity("against", "test"), "identity.against"),
    "samples: data": ("kid[hand]", _identity("data", "0" * 16), "identity.data"),
    "samples: deleted": ("kid[hand]", lambda found, item: found.remove(item), "the record is missing"),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(RECORDS, 5))
def test_harm_to_records_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    metric, do, word = RECORDS[harm]
    found = records(folder)
    do(found, next(item for item in found if item["metric"] == metric))
    write_records(folder, found)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, "records", word), terminal_report(report)


# -- evidence ---------------------------------------------------------------------------------------------------------


def _row(about: dict[str, Any], name: str = ROW) -> dict[str, Any]:
    return next(row for row in about["boards"]["rows"] if row["row"] == name)


def _drop_seed(about: dict[str, Any]) -> None:
    """A bad seed is taken out of row, scores and records."""
    _row(about)["seeds"] = _row(about)["seeds"][1:]
    _row(about)["confusions"] = _row(about)["confusions"][1:]
    about["scores"] = [score for score in about["scores"] if score["name"] != "score/thumbs/seed=0/diagnosis"]


def _score(about: dict[str, Any], name: str = "score/thumbs/seed=0/diagnosis") -> dict[str, Any]:
    return next(score for score in about["scores"] if score["name"] == name)


EVIDENCE: dict[str, tuple[Callable[[dict[str, Any]], Any], str, tuple[str, ...]]] = {
    "name of a row": (lambda a: _row(a)["names"].update(classifier="ours"), "records", ("names", "ours")),
    "kind of a row": (lambda a: _row(a).update(kind="floor"), "records", ("kind",)),
    "mark of a row": (lambda a: _row(a).update(marks=["leaky: no"]), "boards", ("marks",)),
    "seed dropped": (_drop_seed, "records", ("no score gives",)),
    "seed of a row only": (lambda a: _row(a)["seeds"].pop(), "rows", ("scores of seeds", ROW)),
    "score without a row": (lambda a: a["boards"]["rows"].remove(_row(a)), "rows", ("row that the board does not",)),
    "a score taken out": (lambda a: a["scores"].remove(_score(a)), "keys", ("it was taken out",)),
    "answers called generated": (lambda a: next(p for p in a["predictions"].values() if p["split"] == "test").update(
        split="generated"), "predictions", ("split is not that of its stage",)),
    "bins of a metric": (lambda a: _score(a)["work"]["metrics"][1]["params"].update(bins=2), "keys", ("work",)),
    "resamples": (lambda a: _score(a)["work"].update(resamples=10**12), "scores", ("resamples",)),
    "another set of answers": (lambda a: _score(a)["inputs"]["predictions"].update(
        key=_score(a, "score/larger/seed=0/diagnosis")["inputs"]["predictions"]["key"]), "keys", ("inputs",)),
    "parts of a stage": (lambda a: next(s for s in a["provenance"]["stages"].values() if s["kind"] == "sample")[
        "parts"]["work"].update(count=999), "keys", ("its parts give another key",)),
    "folder in the parts": (lambda a: next(s for s in a["provenance"]["stages"].values() if s["kind"] == "sample")[
        "parts"]["work"].update(count="/home/me/work/count"), "keys", ("name a folder",)),
    "stage removed": (lambda a: a["provenance"]["stages"].pop(_score(a)["key"]), "keys", ("no stage",)),
    "interval": (lambda a: a["intervals"][0].update(low=0.0), "intervals", ("low",)),
    "interval removed": (lambda a: a["intervals"].pop(), "intervals", ("missing",)),
    "confusion": (lambda a: _row(a)["confusions"][0]["confusion"][0].__setitem__(0, 99), "confusion matrices", ("99",)),
    "costs": (lambda a: _row(a)["costs"].update(gmacs=0.001), "boards", ("gmacs", "0.001")),
    "split digest": (lambda a: a["prepared"].update(split_digest="0" * 64), "records", ("identity.split_digest",)),
    "images": (lambda a: a["boards"]["facts"].update(images="10015"), "facts", ("10015",)),
    "class counts": (lambda a: a["prepared"]["counts"]["test"].update(nv=1000), "images", ("test: nv", "1000")),
    "published number": (lambda a: a["boards"]["reported"][0].update(value=0.1), "published numbers", ("0.1",)),
    "published table": (lambda a: a["provenance"]["reference"].update(sha256="0" * 64), "published numbers",
                        ("not the table",)),
    "path to a table": (lambda a: a["provenance"]["reference"].update(file="../../../etc/passwd"), "published numbers",
                        ("names no file",)),
    "path as a key": (lambda a: a["predictions"].update({"../../../secret": next(iter(a["predictions"].values()))}),
                      "predictions", ("the answers are missing",)),
    "file as a metric": (lambda a: _score(a)["work"]["metrics"][0].update(metric="../evil.py:Evil"), "keys", ("evil",)),
    "no scores": (lambda a: a.update(scores={}), "evidence", ("scores",)),
    "scores of another shape": (lambda a: a.update(scores=[{"key": 1}]), "evidence", ("evidence.json",)),
    "rows of another shape": (lambda a: a["boards"].update(rows=[1, 2]), "evidence", ("evidence.json",)),
    "version": (lambda a: a.update(version=99), "evidence", ("99",)),
    "provenance of another shape": (lambda a: a["provenance"].pop("stages"), "evidence", ("stages",)),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(EVIDENCE, 5))
def test_harm_to_the_evidence_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    change, topic, words = EVIDENCE[harm]
    evidence(folder, change)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)


def test_a_seed_taken_out_of_everything_leaves_its_answers(folder: Path, catalog: Catalog) -> None:
    def change(about: dict[str, Any]) -> None:
        gone = {score["key"] for score in about["scores"] if score["name"].startswith("score/thumbs/seed=0/")}
        about["scores"] = [score for score in about["scores"] if score["key"] not in gone]
        for row in about["boards"]["rows"]:
            if row["row"].startswith("thumbs"):
                row["seeds"], row["confusions"] = row["seeds"][1:], row["confusions"][1:]

    evidence(folder, change)
    keys = {score["key"] for score in json.loads((folder / "evidence.json").read_text())["scores"]}
    write_records(folder, [item for item in records(folder) if item["key"] in {*keys, ""}])
    render(folder, catalog)
    assert named(check(folder, catalog), "predictions", "no score is of these answers", "thumbs/seed=0/test")


def test_a_rank_is_found_though_nothing_else_changed(folder: Path, catalog: Catalog) -> None:
    board = json.loads((folder / "classifiers.json").read_text())
    cells = {row["row"]: row["metrics"]["brier"] for row in board["rows"] if row["row"].endswith("diagnosis")}
    assert cells[ROW]["rank"] == 2
    cells[ROW]["rank"] = 1
    (folder / "classifiers.json").write_text(json.dumps(board, indent=1, sort_keys=True) + "\n")
    write_digests(folder)
    assert named(check(folder, catalog), "boards", "classifiers.json", ROW, "brier.rank", "[1,2]")


# -- answers and images -----------------------------------------------------------------------------------------------


def _logit(values: list[Any]) -> None:
    values[-3] = [value + 0.5 for value in values[-3]]


TABLES: dict[str, tuple[str, str, Callable[[list[Any]], Any], str, tuple[str, ...]]] = {
    "a label": ("predictions.parquet", "label", lambda v: v.__setitem__(0, (v[0] + 1) % 3), "predictions", ("labels",)),
    "relabelled": ("predictions.parquet", "label", lambda v: v.__setitem__(slice(None), [(x + 1) % 3 for x in v]),
                   "predictions", ("labels of",)),
    "a lesion": ("predictions.parquet", "group", lambda v: v.__setitem__(1, "another"), "predictions", ("lesions",)),
    "an id": ("predictions.parquet", "id", lambda v: v.__setitem__(1, "another"), "predictions", ("1 missing",)),
    "whose answers": ("predictions.parquet", "predictions", lambda v: v.__setitem__(1, "0" * 32), "predictions",
                      ("does not know",)),
    "a logit": ("predictions.parquet", "logits", _logit, "records", ("brier",)),
    "not finite": ("predictions.parquet", "logits", lambda v: v.__setitem__(0, [float("nan")] * 3), "predictions",
                   ("not finite",)),
    "label of an image": ("images.parquet", "label", lambda v: v.__setitem__(0, (v[0] + 1) % 3), "images", ("val",)),
    "split of an image": ("images.parquet", "split", lambda v: v.__setitem__(-1, "val"), "images", ("test",)),
    "attribute of an image": ("images.parquet", "attribute.age", lambda v: v.__setitem__(slice(-20, None), [21.0] * 20),
                              "records", ("subgroup",)),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(TABLES, 4))
def test_harm_to_answers_and_images_is_named_in_a_clone(harm: str, folder: Path, catalog: Catalog) -> None:
    name, column, change, topic, words = TABLES[harm]
    table(folder, name, column, change)
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)


def test_answers_of_another_run_are_found(folder: Path, catalog: Catalog) -> None:
    held = pq.read_table(folder / "predictions.parquet")
    rows = np.random.default_rng(0).permutation(held.num_rows)
    place = held.column_names.index("logits")
    swapped = held.set_column(place, "logits", held.column("logits").take(pa.array(rows)))
    pq.write_table(swapped, folder / "predictions.parquet")
    write_digests(folder)
    report = check(folder, catalog)
    assert named(report, "records", ROW, "brier", "value") and named(report, "confusion matrices", ROW)


BROKEN = {
    f"{name} {how}": (name, how)
    for how in ("cut", "noise", "deep")
    for name in ("predictions.parquet", "evidence.json", "records.jsonl", "images.parquet", "classifiers.json")
}


@pytest.mark.parametrize("harm", cases(BROKEN, 2))
def test_broken_files_are_named_without_a_traceback(harm: str, folder: Path, catalog: Catalog) -> None:
    name, how = BROKEN[harm]
    whole = (folder / name).read_bytes()
    noise = bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8))
    (folder / name).write_bytes({"cut": whole[: len(whole) // 2], "noise": noise, "deep": b"[" * 100_000}[how])
    write_digests(folder)
    report = check(folder, catalog)
    assert report.exit_code == 1
    assert any(name in item.place for item in report.findings)
    assert "Traceback" not in terminal_report(report)


def test_a_huge_file_is_not_read(folder: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermae_bench.report.verify.reading.LARGEST_TEXT", 100)
    monkeypatch.setattr("dermae_bench.report.verify.reading.MOST_ROWS", 10)
    assert named(check(folder, catalog), "evidence", "evidence.json", "larger than")


def test_links_in_place_of_tables_are_not_followed(folder: Path, catalog: Catalog, tmp_path: Path) -> None:
    shutil.move(folder / "predictions.parquet", tmp_path / "elsewhere.parquet")
    (folder / "predictions.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    report = check(folder, catalog)
    assert named(report, "predictions", "it is a link") and named(report, "files", "it is a link")


# -- with the store ---------------------------------------------------------------------------------------------------


def entry(folder: Path, kind: str, word: str) -> Path:
    for path in sorted((folder.parent / "store" / kind).iterdir()):
        if word in (path / "manifest.json").read_text():
            return path
    raise AssertionError(word)


def manifest(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a manifest and give it the digest of what it then is."""
    about = json.loads((path / "manifest.json").read_text())
    del about["sha256"]
    change(about)
    (path / "manifest.json").write_text(canonical({**about, "sha256": digest_of(about)}))


def _swap_features(folder: Path) -> None:
    one, two = entry(folder, "extract", "extract/pixels"), entry(folder, "extract", "extract/train")
    shutil.copy(two / "features.npy", one / "features.npy")


def _forge_features(folder: Path) -> None:
    place = entry(folder, "extract", "extract/pixels")
    np.save(place / "features.npy", np.load(place / "features.npy") * 0.5)
    size = (place / "features.npy").stat().st_size
    about = {"features.npy": {"sha256": digest_file(place / "features.npy"), "bytes": size}}
    manifest(place, lambda a: a.update(files=about))


def _swap_answers(folder: Path) -> None:
    """The store's own answers are replaced, manifest and all, but the folder's are not."""
    place = entry(folder, "predict", "predict/thumbs/seed=0/test")
    table(place, "predictions.parquet", "logit.nv", lambda v: v.__setitem__(0, 9.0))
    path = place / "predictions.parquet"
    about = {path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size}}
    manifest(place, lambda a: a.update(files=about))


def _evidence_too(folder: Path) -> None:
    evidence(folder, lambda a: _row(a)["costs"].update(gmacs=0.001))
    write_digests(folder)


STORE: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "file swapped": (_swap_features, "store", ("features.npy", "not those of its manifest")),
    "features forged": (_forge_features, "records", ("kid[hand]", "value")),
    "answers forged": (_swap_answers, "predictions", ("1 logits", "thumbs/seed=0/test")),
    "file added": (lambda f: (entry(f, "sample", "pixels") / "x.npy").write_bytes(b"x"), "store", ("x.npy",)),
    "file missing": (lambda f: (entry(f, "sample", "pixels") / "table.parquet").unlink(), "store", ("missing",)),
    "parts forged": (lambda f: manifest(entry(f, "sample", "pixels"), lambda a: a["parts"]["work"].update(count=1)),
                     "store", ("not what its key says",)),
    "manifest swapped": (lambda f: shutil.copy(entry(f, "extract", "extract/train") / "manifest.json",
                                               entry(f, "extract", "extract/pixels") / "manifest.json"),
                         "store", ("holds the manifest",)),
    "manifest cut": (lambda f: (entry(f, "cost", "thumbs") / "manifest.json").write_text("{"), "store", ("readable",)),
    "link": (lambda f: ((p := entry(f, "sample", "pixels") / "table.parquet").unlink(), p.symlink_to("/etc/hostname")),
             "store", ("it is a link",)),
    "costs": (_evidence_too, "costs", ("gmacs", "0.001", "0.125")),
}  # fmt: skip


@pytest.mark.parametrize("harm", cases(STORE, 3))
def test_harm_to_the_store_is_named_and_moves_nothing(harm: str, folder: Path, catalog: Catalog) -> None:
    do, topic, words = STORE[harm]
    do(folder)
    before = sorted((folder.parent / "store").rglob("*"))
    report = check(folder, catalog, store=True)
    assert report.exit_code == 1 and named(report, topic, *words), terminal_report(report)
    assert sorted((folder.parent / "store").rglob("*")) == before


def test_a_whole_forgery_is_found_by_the_store_alone(folder: Path, catalog: Catalog) -> None:
    """Answers changed, then everything made again of them: consistent in itself, and not what the model said."""

    def better(values: list[Any]) -> None:
        labels = pq.read_table(folder / "predictions.parquet").column("label").to_pylist()
        for row in range(len(values)):
            values[row] = [value + 3.0 * (k == labels[row]) for k, value in enumerate(values[row])]

    table(folder, "predictions.parquet", "logits", better)
    held = Evidence(folder)
    scores = again(held, Provenance(held.about["provenance"]), Metrics(catalog), None, Report(folder=""))
    made = {
        (item["metric"], canonical(item["identity"].get("subgroup")), score.score.key): item
        for score in scores
        for item in score.items
    }
    found = records(folder)
    for item in found:
        new = made.get((item["metric"], canonical(item["identity"].get("subgroup")), item["key"]))
        item.update({name: new[name] for name in ("value", "low", "high", "error")} if new else {})
    write_records(folder, found)
    intervals, _ = check_intervals(scores, held, Report(folder=""))

    def follow(about: dict[str, Any]) -> None:
        for item in about["intervals"]:
            one = intervals[item["row"], item["metric"]]
            item.update(low=one.low, high=one.high, error=one.error)
        summaries = {score.score.key: score.summary for score in scores}
        for row in about["boards"]["rows"]:
            shown = [
                s for s in about["scores"] if s["of"] == "predictions" for r in s["rows"] if r["row"] == row["row"]
            ]
            for counts, score in zip(row["confusions"], shown, strict=True):
                summary = summaries[score["key"]]
                assert summary is not None
                counts.update(confusion=summary["confusion"], per_class=summary["per_class"])

    evidence(folder, follow)
    render(folder, catalog)
    assert check(folder, catalog).exit_code == 0
    report = check(folder, catalog, store=True)
    assert report.exit_code == 1 and named(report, "predictions", "logits are not those of the store")


# -- plugins and places -----------------------------------------------------------------------------------------------


def test_a_metric_that_is_not_here_leaves_its_numbers_unchecked(
    good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    less = Catalog()
    monkeypatch.setattr(less, "references", {k: v for k, v in catalog.references.items() if k != "ece"}, raising=False)
    report = check(good, less)
    assert report.findings == [] and report.exit_code == 4
    assert any("'ece' is not installed here" in item.what for item in report.unchecked)


def test_another_source_of_a_metric_is_told(good: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "digest", lambda self, name: "0" * 16)
    report = check(good, catalog)
    assert report.exit_code == 0 and "metric brier has another source here than in the run" in report.notes


def test_a_folder_without_evidence_is_the_users_mistake(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(UserError, match="no results folder"):
        check(tmp_path, catalog)
    with pytest.raises(UserError, match="no results folder"):
        check(tmp_path / "nowhere", catalog)


def test_the_json_has_every_finding(folder: Path, catalog: Catalog) -> None:
    text(folder, "classifiers.csv", "thumbs", "\x1b[31mours")
    report = check(folder, catalog)
    read = json.loads(json_report(report))
    assert read["differences"]["boards"] == len([f for f in read["findings"] if f["topic"] == "boards"]) > 0
    assert "\x1b" not in terminal_report(report)
