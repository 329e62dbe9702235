"""The results folder of a session: built when something changed, checked before, printed always."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dermae_bench.bounded.files import LARGEST_TEXT, read_bytes
from dermae_bench.bounded.memos import kept, write_memo
from dermae_bench.commands.building import RESOLVED, Built, build
from dermae_bench.commands.printing import echo
from dermae_bench.commands.sole_publisher import NO_PLACE, sole_publisher
from dermae_bench.durable import digest_file, digest_of, encodable
from dermae_bench.errors import DataError
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.checking import Finding
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
    absent: Sequence[str] = ()
    """What is not there, a line each, with its place in the suite: stages that need it have no keys."""
    unread: Sequence[Finding] = ()
    """Data sets whose images are there and cannot be read: a plan can do without, a run cannot."""

    @property
    def missing(self) -> str | None:
        """Everything that is not there, in one line; None where nothing is missing."""
        return "; ".join(self.absent) or None


def publish(session: Session, form: str, mend: Callable[[Sequence[Stage]], None] | None = None) -> None:
    """Bring the results folder up to date and print the boards; nothing is rebuilt when nothing changed.

    One process at a time does so, with what the store holds once its turn has come: the last one publishes the newest.

    Args:
        mend: makes stages again whose files turn out to be damaged; others may publish meanwhile.

    Raises:
        Damaged: a file that the boards need differs, and there is no `mend`, or it did not help.
    """
    mended: set[str] = set()
    while True:
        with sole_publisher(session.store, session.folder):
            try:
                shown = _brought_up(session, form, every=mend is not None)
            except _Harm as found:
                harmed = found.stages
            else:
                break
        for stage, error in harmed:
            name = stage.name if stage is not None else session.folder.name
            if mend is None or stage is None or stage.key in mended:
                raise Damaged(f"{name}: {error.message}", hint=AGAIN) from error
            echo(f"{visible(name)}: {error}", err=True)
        again = [stage for stage, _ in harmed if stage is not None]
        mended |= {stage.key for stage in again}
        if mend is not None:
            mend(again)
    _name_strangers(session.folder)
    if form == "table":
        for board in ("generators", "classifiers"):
            if shown[board]:
                echo(shown[board])
                echo()
        echo(shown["facts"])
    else:
        for board in ("generators", "classifiers"):
            click.echo(shown[board])


class _Harm(Exception):
    """Stored files are damaged; they were moved aside.

    Args:
        stages: whose they are (None: nobody of this suite), and what is wrong.
    """

    def __init__(self, stages: Sequence[tuple[Stage | None, Damaged]]) -> None:
        super().__init__()
        self.stages = stages


def _brought_up(session: Session, form: str, *, every: bool) -> Mapping[str, str]:
    """Board -> what is printed of it, the results folder being up to date; by its only publisher.

    Raises:
        _Harm: a file that the boards need differs; all such files that are found beforehand, or (not `every`) one.
    """
    # by its name inside the results folder, which may be moved or mounted elsewhere
    memo = session.store.root / "boards" / f"{digest_of(session.folder.name)[:32]}.json"
    before, width = _state(session), _width()
    texts = _unchanged(memo, before, session.folder)
    known: Mapping[str, str] | None = texts.get(str(width))
    if known is None:
        _look_for_harm(session, every=every)
        other = _replaced(session, memo)
        try:
            built = _built(session, session.folder, width)
            known = built.text
            # what came meanwhile may be in it or not: then it is what no state has
            state = before if _state(session) == before else None
            about = {"state": state, "suite": _own_name(session), "written": dict(built.digests)}
            write_memo(memo, {**about, "text": {**texts, str(width): dict(known)}})
        except OSError as error:
            if error.errno not in NO_PLACE:
                raise
            known = _as_published(session, error, width)
        if other is not None:
            echo(other, err=True)
    if form == "table":
        return known
    return {board: (session.folder / f"{board}.{form}").read_text() for board in ("generators", "classifiers")}


def _own_name(session: Session) -> str:
    return encodable(str(session.loaded.path.absolute()))


def _replaced(session: Session, memo: Path) -> str | None:
    """A warning where the folder holds the results of another suite that has the same name; None where it does not."""
    from dermae_bench.suite.resolved import suite_to_yaml

    resolved = session.folder / RESOLVED
    try:
        if read_bytes(resolved, LARGEST_TEXT) == suite_to_yaml(session.loaded).encode():
            return None
    except DataError:
        # nothing was published here, or nothing that could be told apart
        return None
    former = kept(memo)
    name = former.get("suite") if isinstance(former, dict) else None
    if name == _own_name(session):
        # it was edited since
        return None
    whose = f"{visible(str(name), LONGEST_REASON)}, which" if name else "a suite that"
    return (
        f"warning: {session.folder} held the results of {whose} has this name, too, and other contents: they were "
        f"replaced; give one of the two another name (`suite:`), or another place (--results), to keep both"
    )


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


def _look_for_harm(session: Session, *, every: bool) -> None:
    """Check what the boards are made of; what differs is moved aside."""
    found: list[tuple[Stage | None, Damaged]] = []
    for stage in session.stages:
        if not stage.key or not session.store.has(stage.kind, stage.key):
            continue
        try:
            session.store.checked(stage.kind, stage.key, SHOWN.get(stage.kind, ()))
        except Damaged as error:
            found.append((stage, error))
            if not every:
                break
    if found:
        raise _Harm(found)


def _built(session: Session, folder: Path, width: int) -> Built:
    """`build`, knowing whose pictures turn out to be damaged on the way."""
    try:
        return build(session, folder, width)
    except Damaged as error:
        stage = next((stage for stage in session.stages if stage.key and stage.key == error.key), None)
        raise _Harm([(stage, error)]) from error


def _as_published(session: Session, refused: OSError, width: int) -> Mapping[str, str]:
    """The boards' text where nothing can be written: right if what lies there is what would be written."""
    with tempfile.TemporaryDirectory() as place:
        built = _built(session, Path(place), width)
        there = _plain_files(session.folder) if session.folder.is_dir() else {}
        if any(name not in there or digest_file(there[name]) != digest for name, digest in built.digests.items()):
            raise refused
    return built.text


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
    """Width -> the boards' text; empty where anything differs from what they were made of, or from what was written."""
    try:
        known = kept(memo)
        if known is None or known["state"] != state:
            return {}
        written, there = known["written"], _plain_files(folder)
        # what a memo names is looked for among the files, and never made a path
        if written.keys() != there.keys() or any(digest_file(there[name]) != written[name] for name in there):
            return {}
        texts = {str(width): {board: str(text[board]) for board in BOARDS} for width, text in known["text"].items()}
    except (DataError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # no memo, or files that were removed: everything is built again
        return {}
    return texts
