"""The results folder of a session: built when something changed, checked before, printed always."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dermae_bench.bounded.memos import kept, write_memo
from dermae_bench.commands.printing import echo
from dermae_bench.durable import digest_file, digest_of, make_folder, write_text
from dermae_bench.errors import DataError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.report.escape import visible
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Damaged
from dermae_bench.suite.keys import PACKAGE
from dermae_bench.suite.load import LoadedSuite
from dermae_bench.suite.rows import FigurePlan, RowPlan
from dermae_bench.suite.stage import Stage

SHOWN: Mapping[str, tuple[str, ...]] = {
    "prepare": ("table.parquet",),
    "train": ("curves.csv",),
    "sample": ("table.parquet", "images-00000.npy"),
    "predict": ("predictions.parquet",),
    "score": ("replicates.npy", "jackknife.npy"),
}
"""Kind -> the files that a results folder is made of; of the other kinds it takes the manifest alone."""
WIDTHS = (80, 200)
"""Least and most columns of a board on the terminal, whatever its width."""
UNKNOWN_WIDTH = 160
"""Columns of a board where nobody looks at a terminal: pipes and files."""
BOARDS = ("generators", "classifiers", "facts")
"""What is printed of a results folder."""
AGAIN = "`dermae-bench run` makes it again"
LONGEST_REASON = 300
"""Characters of a failure's reason on the terminal; `show` tells the rest."""
STRANGERS = 5
"""Names in a results folder that are told of where they are no plain files."""


@dataclass(frozen=True)
class Session:
    """A suite, planned."""

    loaded: LoadedSuite
    catalog: Catalog
    store: Store
    folder: Path
    """Where its results go."""
    stages: Sequence[Stage]
    rows: Sequence[RowPlan]
    figures: Sequence[FigurePlan]
    missing: str | None
    """What is not there, where data are missing: then stages have no keys."""


def publish(session: Session, form: str, mend: Callable[[Sequence[Stage]], None] | None = None) -> None:
    """Bring the results folder up to date and print the boards; nothing is rebuilt when nothing changed.

    Args:
        mend: makes stages again whose files turn out to be damaged.

    Raises:
        Damaged: a file that the boards need differs, and there is no `mend`.
    """
    # by its name inside the results folder, which may be moved or mounted elsewhere
    memo = session.store.root / "boards" / f"{digest_of(session.folder.name)[:32]}.json"
    before, width = _state(session), _width()
    texts = _unchanged(memo, before, session.folder)
    known = texts.get(str(width))
    if known is None:
        _mend_damaged(session, mend)
        try:
            known = _built(session, width, mend)
            now = _state(session)
            others = texts if now == before else {}
            about = {"state": now, "files": _digests(session.folder), "text": {**others, str(width): known}}
            write_memo(memo, about)
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}:
                raise
            known = _as_published(session, error, width)
    _name_strangers(session.folder)
    if form == "table":
        for board in ("generators", "classifiers"):
            if known[board]:
                echo(known[board])
                echo()
        echo(known["facts"])
    else:
        for board in ("generators", "classifiers"):
            click.echo((session.folder / f"{board}.{form}").read_text())


def _name_strangers(folder: Path) -> None:
    from dermae_bench.report.verify.digests import SUMS, strangers

    found = strangers(folder) if folder.is_dir() else {}
    if found:
        told = ", ".join(f"{visible(name, LONGEST_REASON)} ({found[name]})" for name in [*found][:STRANGERS])
        more = f", and {len(found) - STRANGERS} more" if len(found) > STRANGERS else ""
        echo(f"{folder} holds what is no file of a report: {told}{more}; {SUMS} leaves it out, and `verify` names it",
             err=True)  # fmt: skip


def _width() -> int:
    """Columns of the terminal, within `WIDTHS`."""
    columns = shutil.get_terminal_size(fallback=(UNKNOWN_WIDTH, 24)).columns
    return min(max(columns, WIDTHS[0]), WIDTHS[1])


def _mend_damaged(session: Session, mend: Callable[[Sequence[Stage]], None] | None) -> None:
    """Check what the boards are made of; what differs is moved aside and made again."""
    damaged = []
    for stage in session.stages:
        if not stage.key or not session.store.has(stage.kind, stage.key):
            continue
        try:
            session.store.checked(stage.kind, stage.key, SHOWN.get(stage.kind, ()))
        except Damaged as error:
            if mend is None:
                raise Damaged(f"{stage.name}: {error}", hint=AGAIN) from error
            echo(f"{visible(stage.name)}: {error}", err=True)
            damaged.append(stage)
    if damaged and mend is not None:
        mend(damaged)


def _built(session: Session, width: int, mend: Callable[[Sequence[Stage]], None] | None) -> dict[str, str]:
    """`_build`; a stage whose pictures turn out to be damaged on the way is made again, each once."""
    mended: set[str] = set()
    while True:
        try:
            return _build(session, session.folder, width)
        except Damaged as error:
            damaged = [stage for stage in session.stages if stage.key and stage.key == error.key]
            if mend is None or not damaged or error.key in mended:
                raise Damaged(
                    f"{damaged[0].name if damaged else session.folder.name}: {error.message}", hint=AGAIN
                ) from error
            echo(f"{visible(damaged[0].name)}: {error}", err=True)
            mended.add(error.key)
            mend(damaged)


def _as_published(session: Session, refused: OSError, width: int) -> dict[str, str]:
    """The boards' text where nothing can be written: right if what lies there is what would be written."""
    with tempfile.TemporaryDirectory() as place:
        known = _build(session, Path(place), width)
        there = _digests(session.folder) if session.folder.is_dir() else {}
        if any(there.get(name) != digest for name, digest in _digests(Path(place)).items()):
            raise refused
    return known


def _digests(folder: Path) -> dict[str, str]:
    return {name: digest_file(path) for name, path in _plain_files(folder).items()}


def _plain_files(folder: Path) -> dict[str, Path]:
    from dermae_bench.report.verify.digests import SUMS, members
    from dermae_bench.report.verify.reading import plain

    # other things are not opened: a pipe would be waited for
    return {name: folder / name for name in sorted([*members(folder), SUMS]) if plain(folder, name) is None}


def _state(session: Session) -> str:
    """Changes when any result, failure, name, the suite or the report's own code changes."""
    sources = {
        str(path.relative_to(PACKAGE)): digest_file(path)
        for path in [PACKAGE / "suite" / "resolved.py", *sorted((PACKAGE / "report").rglob("*.*"))]
        if path.suffix != ".pyc"
    }
    stages = []
    for stage in session.stages:
        done = bool(stage.key) and session.store.has(stage.kind, stage.key)
        failure = None if done or not stage.key else session.store.failure(stage.key)
        stages.append([stage.key, stage.name, done, failure.reason if failure else None])
    reference = session.loaded.suite.reference
    published = digest_file(Path(reference)) if reference is not None and Path(reference).is_file() else None
    # what `suite.resolved.yaml` is written from
    written = [repr(session.loaded.resolved), [repr((given.at, given.text)) for given in session.loaded.paths]]
    figures = [[figure.name, figure.columns] for figure in session.figures]
    return digest_of([sources, stages, written, [row.row for row in session.rows], figures, published])


def _unchanged(memo: Path, state: str, folder: Path) -> dict[str, dict[str, str]]:
    """Width -> the boards' text; empty where anything differs from what they were made of."""
    try:
        known = kept(memo)
        if known is None or known["state"] != state:
            return {}
        there = _plain_files(folder)
        for name, digest in known["files"].items():
            # what a memo names is looked for among the files, and never made a path
            if digest_file(there[name]) != digest:
                return {}
        texts = {str(width): {board: str(text[board]) for board in BOARDS} for width, text in known["text"].items()}
    except (DataError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # no memo, or files that were removed: everything is built again
        return {}
    return texts


def _build(session: Session, folder: Path, width: int) -> dict[str, str]:
    from dermae_bench.report.collect import Collector
    from dermae_bench.report.evidence import write_evidence
    from dermae_bench.report.export import terminal_table, write
    from dermae_bench.report.real_pictures import write_real_pictures
    from dermae_bench.report.verify.digests import write_digests
    from dermae_bench.suite.resolved import suite_to_yaml

    loaded = session.loaded
    collector = Collector(loaded.suite, loaded.preset, session.stages, session.rows, session.store, session.figures,
                          (loaded.resolved, session.catalog))  # fmt: skip
    boards = collector.boards()
    make_folder(folder)
    write(boards, folder)
    write_evidence(collector, boards, folder)
    write_real_pictures(collector, boards, folder)
    write_text(folder / "suite.resolved.yaml", suite_to_yaml(loaded))
    write_digests(folder)
    split = f"split {boards.split_rule} (digest {boards.split_digest[:12]})"
    facts = [boards.description] if boards.description else []
    facts += [f"{boards.dataset}: {boards.facts['images']} images, {split}"] if boards.split_digest else []
    for task, classes in boards.class_counts.items():
        facts += [
            f"  {task} {split}: " + ", ".join(f"{name} {counts[split]}" for name, counts in classes.items())
            for split in ("train", "val", "test")
        ]
    facts += [f"warning: {text}" for text in boards.warnings]
    return {
        "generators": terminal_table(boards, "generators", width)
        if any(r.board == "generators" for r in boards.rows)
        else "",
        "classifiers": terminal_table(boards, "classifiers", width)
        if any(r.board == "classifiers" for r in boards.rows)
        else "",
        "facts": "\n".join(facts),
    }
