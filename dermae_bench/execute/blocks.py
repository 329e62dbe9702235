"""A long array made block by block in an attempt's folder: what is finished survives kills, and is checked.

`images-00003.npy` is block 3; `images-00003.json` says what it is: SHA-256, stage, rows, facts, a digest of its own.
A block in progress is `images-00003.part`. Its note is renewed every two minutes and when the stage is asked to stop,
so that neither a slow shard nor a large one is lost whole.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dermae_bench.durable import digest_file, rename, sync_file, sync_folder
from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.notes import Unsound, read_note, write_note
from dermae_bench.execute.steps import Stopped
from dermae_bench.faults import point

FORMAT = 1
"""Of the notes; a block of another is made again."""
SECONDS = 120.0
"""How often the note of an unfinished block is renewed."""
READ_BYTES = 1 << 20
DAMAGE = (Unsound, OSError, LookupError, TypeError, ValueError)
"""What reading a note or a block of unknown origin may raise."""
NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems answer that cannot give a file a second name."""


@dataclass
class Block:
    """Rows `first` to `last` (not included) of the array."""

    number: int
    first: int
    last: int
    facts: dict[str, Any] = field(default_factory=dict)
    """What its maker wants to find again: JSON values, filled in before the rows that they belong to are given."""


Make = Callable[[Block, int], Iterator[NDArray[Any]]]
"""(block, row) -> arrays of rows from `row` to `block.last`. `row` is where one of its arrays began before."""


class Blocks:
    """An array (rows, *row) in blocks of `size` rows, in a folder of its own.

    Bytes do not depend on kills in between, as long as what `make` gives from a row on depends on that row alone.

    Args:
        name: of the files.
        key: of the stage; what another one made is never taken.
        stop: asked after every array that `make` gives whether to put everything down and leave.
        hold: called with what is about to be put down; raises where somebody else has taken over the stage.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        key: str,
        *,
        rows: int,
        size: int,
        row: Sequence[int],
        dtype: type[np.generic],
        stop: Callable[[], bool],
        hold: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.key = key
        self.rows = rows
        self.row = tuple(row)
        self.dtype = np.dtype(dtype)
        self.blocks = [Block(i, first, min(first + size, rows)) for i, first in enumerate(range(0, rows, size))]
        self._stop = stop
        self._hold = hold
        # a single block is finished when the stage is: its flushing would only be paid for twice
        self._durable = len(self.blocks) > 1

    def fill(self, make: Make) -> None:
        """Make what is missing; what lies there whole is taken as it is.

        Raises:
            Stopped: after everything that is finished was put down.
            InvalidOutput: `make` gave rows of another shape or type, too few or too many.
            Superseded: somebody else works on the stage now; what is there stays as it is.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for block in self.blocks:
            if not self._found(block):
                self._make(block, make)
                if block.last < self.rows and self._stop():
                    raise Stopped

    def path(self, block: Block) -> Path:
        """Where a block lies; whoever wants other bytes there replaces the file."""
        return self.folder / f"{self.name}-{block.number:05d}.npy"

    def drop(self, block: Block) -> None:
        """Let a block be made again by the next attempt."""
        self.path(block).with_suffix(".json").unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[Block, NDArray[Any]]]:
        """Every block and its rows, memory-mapped, in order."""
        for block in self.blocks:
            yield block, np.load(self.path(block), mmap_mode="r")

    def whole(self) -> NDArray[Any]:
        """The whole array, in memory."""
        return np.concatenate([np.zeros((0, *self.row), self.dtype), *(rows for _, rows in self.read())])

    def join(self, path: Path, keep: NDArray[np.bool_] | None = None) -> None:
        """Write the rows (those of `keep`) as one .npy file, the bytes of `np.save`; a block is in memory at a time."""
        count = self.rows if keep is None else int(keep.sum())
        point("write", path)
        with path.open("wb") as stream:
            stream.write(_header(self.dtype, (count, *self.row)))
            for block, rows in self.read():
                wanted = rows if keep is None else rows[keep[block.first : block.last]]
                stream.write(np.ascontiguousarray(wanted).data)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _about(self, block: Block) -> dict[str, Any]:
        shape = [block.last - block.first, *self.row]
        return {"format": FORMAT, "key": self.key, "first": block.first, "shape": shape, "dtype": self.dtype.str}

    def _read(self, path: Path, block: Block) -> dict[str, Any]:
        """The note at `path`, if it is of this very block."""
        note = read_note(path)
        if {name: note.get(name) for name in self._about(block)} != self._about(block):
            raise Unsound("it is of another stage or another place")
        return note

    def _found(self, block: Block) -> bool:
        """Whether an earlier attempt left this block whole; what is damaged is named in the log."""
        path = self.path(block)
        about = path.with_suffix(".json")
        if not about.exists():
            # killed between two renames, or never made: nothing to tell
            return False
        try:
            note = self._read(about, block)
            if path.stat().st_size != note["bytes"] or digest_file(path) != note["sha256"]:
                raise Unsound("its digest differs")
        except DAMAGE as error:
            _say(f"block {path.name} is damaged ({error}); it is made again")
            return False
        block.facts = dict(note["facts"])
        return True

    def _make(self, block: Block, make: Make) -> None:
        path = self.path(block)
        part = path.with_suffix(".part")
        header = _header(self.dtype, (block.last - block.first, *self.row))
        width = int(np.prod(self.row, dtype=np.int64)) * self.dtype.itemsize
        self._hold("a block")
        row, digest = self._begun(block, header, width)
        noted = time.monotonic()
        point("write", part)
        if row == block.first:
            # never into a file that one who comes late may still have open
            part.unlink(missing_ok=True)
        # always a file of its own: the whole one may be part of an artifact by its second name
        with part.open("r+b" if row > block.first else "wb") as stream:
            if row == block.first:
                stream.write(header)
                digest.update(header)
            stream.seek(len(header) + (row - block.first) * width)
            stream.truncate()
            for rows in make(block, row) if row < block.last else ():
                data = self._checked(rows, block, row)
                self._hold("a block")
                stream.write(data)
                digest.update(data)
                row += len(rows)
                stopping = row < block.last and self._stop()
                if stopping or time.monotonic() - noted > SECONDS:
                    self._note_part(block, row, stream, digest.hexdigest())
                    noted = time.monotonic()
                if stopping:
                    raise Stopped
            if row != block.last:
                raise InvalidOutput(f"{self.name}: {row - block.first} rows, not {block.last - block.first}")
            size = stream.tell()
        if self._durable:
            sync_file(part)
        self._hold("a block")
        note = {**self._about(block), "bytes": size, "sha256": digest.hexdigest(), "facts": block.facts}
        write_note(path.with_suffix(".json"), note, durable=self._durable)
        rename(part, path)
        if self._durable:
            sync_folder(self.folder)
        self._part_note(block).unlink(missing_ok=True)

    def _checked(self, rows: NDArray[Any], block: Block, row: int) -> memoryview:
        if rows.dtype != self.dtype or rows.shape[1:] != self.row or row + len(rows) > block.last:
            wanted = f"{self.dtype} ({block.last - row} at most, {', '.join(map(str, self.row))})"
            raise InvalidOutput(f"{self.name}: got {rows.dtype} {rows.shape}, not {wanted}")
        return np.ascontiguousarray(rows).data.cast("B") if rows.size else memoryview(b"")

    def _part_note(self, block: Block) -> Path:
        return self.path(block).with_suffix(".part.json")

    def _note_part(self, block: Block, row: int, stream: BinaryIO, digest: str) -> None:
        stream.flush()
        sync_file(self.path(block).with_suffix(".part"))
        self._hold("the note of a block")
        note = {**self._about(block), "row": row, "bytes": stream.tell(), "sha256": digest, "facts": block.facts}
        write_note(self._part_note(block), note)

    def _begun(self, block: Block, header: bytes, width: int) -> tuple[int, hashlib._Hash]:
        """The row to go on from and the digest of all before it; without a sound part, the first row."""
        about = self._part_note(block)
        if not about.exists():
            return block.first, hashlib.sha256()
        digest = hashlib.sha256()
        try:
            note = self._read(about, block)
            row, size = int(note["row"]), int(note["bytes"])
            if not block.first < row <= block.last or size != len(header) + (row - block.first) * width:
                raise Unsound("its rows and bytes disagree")
            with self.path(block).with_suffix(".part").open("rb") as stream:
                for piece in _pieces(stream, size):
                    digest.update(piece)
            if digest.hexdigest() != note["sha256"]:
                raise Unsound("its digest differs")
        except DAMAGE as error:
            _say(f"the begun block {self.path(block).name} is damaged ({error}); it is made again")
            about.unlink(missing_ok=True)
            return block.first, hashlib.sha256()
        block.facts = dict(note["facts"])
        return row, digest


def write_array(path: Path, dtype: type[np.generic], shape: Sequence[int], pieces: Iterable[NDArray[Any]]) -> None:
    """Write one .npy file, the bytes of `np.save`; a full disk is an `OSError` that says so, which `np.save` hides."""
    point("write", path)
    with path.open("wb") as stream:
        stream.write(_header(np.dtype(dtype), shape))
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype=dtype).data)


def second_name(path: Path, other: Path) -> None:
    """Let `other` be the same file as `path`, or a copy where the file system knows no hard links.

    Neither may be written to afterwards: whoever wants other bytes replaces the file.
    """
    point("write", other)
    try:
        os.link(path, other)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        shutil.copyfile(path, other)


def _header(dtype: np.dtype[Any], shape: Sequence[int]) -> bytes:
    stream = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(READ_BYTES, size))
        if not piece:
            raise Unsound("it is too short")
        size -= len(piece)
        yield piece


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (the attempt's log)
