"""The files of a results folder, from what the store holds; whoever calls this is its only publisher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dermae_bench.durable import make_folder

if TYPE_CHECKING:
    from dermae_bench.commands.publishing import Session

RESOLVED = "suite.resolved.yaml"
"""File of a results folder that says whose results it holds."""


@dataclass(frozen=True)
class Built:
    """A results folder that was written just now."""

    text: Mapping[str, str]
    """Board -> what is printed of it."""
    digests: Mapping[str, str]
    """File -> SHA-256 of the bytes that were written, whatever lies there afterwards."""


def build(session: Session, folder: Path, width: int) -> Built:
    """Write the results folder of a session from what its store holds now, and what is printed of it.

    Args:
        folder: where; made if it is not there.
        width: columns of the boards that are printed.

    Raises:
        Damaged: a stored file that a picture needs differs; the folder is half written.
    """
    from dermae_bench.report.collect import Collector
    from dermae_bench.report.evidence_writer import write_evidence
    from dermae_bench.report.export import terminal_table, write
    from dermae_bench.report.listed import write_changed
    from dermae_bench.report.real_pictures import write_real_pictures
    from dermae_bench.report.verify.digests import write_digests
    from dermae_bench.suite.resolved import suite_to_yaml

    loaded = session.loaded
    collector = Collector(loaded.suite, loaded.preset, session.stages, session.rows, session.store, session.figures,
                          (loaded.resolved, session.catalog))  # fmt: skip
    boards = collector.boards()
    make_folder(folder)
    written: dict[Path, str] = {}
    write(boards, folder, written)
    write_evidence(collector, boards, folder, written)
    write_real_pictures(collector, boards, folder, written)
    write_changed(folder / RESOLVED, suite_to_yaml(loaded).encode(), written)
    write_digests(folder, written)
    split = f"split {boards.split_rule} (digest {boards.split_digest[:12]})"
    facts = [boards.description] if boards.description else []
    facts += [f"{boards.dataset}: {boards.facts['images']} images, {split}"] if boards.split_digest else []
    for task, classes in boards.class_counts.items():
        facts += [
            f"  {task} {split}: " + ", ".join(f"{name} {counts[split]}" for name, counts in classes.items())
            for split in ("train", "val", "test")
        ]
    facts += [f"warning: {text}" for text in boards.warnings]
    shown = {row.board for row in boards.rows}
    return Built(
        text={
            "generators": terminal_table(boards, "generators", width) if "generators" in shown else "",
            "classifiers": terminal_table(boards, "classifiers", width) if "classifiers" in shown else "",
            "facts": "\n".join(facts),
        },
        digests={path.relative_to(folder).as_posix(): digest for path, digest in written.items()},
    )
