"""Parquet tables that somebody else wrote: what they declare is held to bounds before it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dermae_bench.bounded.files import Unreadable, open_plain
from dermae_bench.bounded.footers import declared_by

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_TABLE = 1 << 32
"""Bytes of a parquet file, as it lies there and unpacked, each text in its row."""
ALWAYS_READ = 1 << 29
"""Bytes that any table may unpack to, however small its file: see `MOST_TIMES`."""
MOST_TIMES = 64
"""How often as large as its file a table may be that unpacks to more than `ALWAYS_READ`.

Runs of equal values cost nothing in a file, so that three megabytes may claim gigabytes. What honest tables repeat:

- A row of answers is 60 to 150 bytes unpacked, its texts and what unpacking takes included. Its logits alone, float32
  that hardly repeat, are 2 bytes or more each in the file: 20 times, at most. Only constant answers (a majority class,
  a diverged model) shrink to next to nothing, and `ALWAYS_READ` holds some 4 million such rows.
- A row of images is 8 bytes an attribute; attributes may well be the same in all rows, ids are not, and take 2 bytes or
  more in the file: 64 times are passed from 16 such attributes on. `ALWAYS_READ` holds half a million scored images
  with 100 of them.
"""
MOST_ROWS = 20_000_000
MOST_VALUES = 1 << 29
"""Values of one column of a parquet file, those inside lists included."""
MOST_COLUMNS = 2_000
MOST_GROUPS = 100_000
"""Row groups of a parquet file."""
LONGEST_TEXT = 4_096
"""Bytes of one text in a table."""
SMALL_COLUMN = 1 << 24
"""Bytes of a column of texts that may be there whatever its number of rows; each is looked at once it is unpacked."""
LARGEST_FOOTER = 1 << 24
"""Bytes of what a parquet file says of itself, text and containers each."""
AT_ONCE = 1 << 16
"""Rows that are unpacked at once."""
_INDEX = 4
"""Bytes a row of a text, which stands once elsewhere, and of where a list ends."""

Kind = Literal["text", "whole", "number", "numbers"]
"""What a column holds: texts, whole numbers, floats, lists of floats."""


def read_parquet(path: Path, kinds: Mapping[str, Kind] | None = None, *, beginning: str | None = None) -> pa.Table:
    """A parquet table, or of one the columns that are asked for: others are not unpacked.

    Args:
        kinds: columns that must be there, and what they must hold, without a missing value; None reads all there are.
        beginning: with `kinds`, all columns are read, too, whose names begin with this.

    Raises:
        DataMissing: it is not there.
        Unreadable: it is no parquet file, truncated, encrypted or nested, or it declares, or unpacks to, more than is
            read here.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    limits = {"thrift_string_size_limit": LARGEST_FOOTER, "thrift_container_size_limit": LARGEST_FOOTER}
    with open_plain(path, LARGEST_TABLE) as stream:
        try:
            allowed = _allowed(stream)
            declared = declared_by(stream, LARGEST_FOOTER)
            file = pq.ParquetFile(stream, **limits)
            schema = file.schema_arrow
            asked = _asked(schema.names, kinds, beginning)
            problem = (
                _declared(file.metadata, [values for values, _ in declared])
                or _shape(schema)
                or _wrong_columns(schema, kinds or {})
                or _too_much(schema, asked, declared, file.metadata.num_rows, allowed)
            )
            if problem is not None:
                raise Unreadable(path, problem)
            # a text that stands in a million rows is then held once
            texts = [name for name in asked if _kind(schema.field(name).type) == "text"]
            file = pq.ParquetFile(stream, read_dictionary=texts, **limits)
            total, batches = 0, []
            for batch in file.iter_batches(AT_ONCE, columns=asked, use_threads=False):
                if batch.schema.names != asked:
                    raise Unreadable(path, "its columns are not those that its schema names")
                size, problem = _unpacked(batch, texts)
                total += size
                if total > allowed:
                    problem = f"it unpacks to more than the {allowed:,} bytes that are read of a file of its size"
                if problem is not None:
                    raise Unreadable(path, problem)
                batches.append(batch)
            table = pa.Table.from_batches(batches, pa.schema([file.schema_arrow.field(name) for name in asked]))
            table.validate(full=True)
        except Unreadable:
            raise
        # a stranger's bytes make Arrow raise nearly anything
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RuntimeError) as error:
            told = str(error).partition("\n")[0][:200] or type(error).__name__
            raise Unreadable(path, f"no parquet table: {told}") from None
    for name in kinds or {}:
        if table.column(name).null_count:
            raise Unreadable(path, f"column {name!r} has {table.column(name).null_count:,} missing values")
    return table


def _allowed(stream: BufferedReader) -> int:
    """Bytes that the table of this file may unpack to."""
    size = os.fstat(stream.fileno()).st_size
    return min(max(ALWAYS_READ, MOST_TIMES * size), LARGEST_TABLE)


def _asked(names: Sequence[str], kinds: Mapping[str, Kind] | None, beginning: str | None) -> list[str]:
    if kinds is None:
        return list(names)
    return [name for name in names if name in kinds or (beginning is not None and name.startswith(beginning))]


def _declared(about: Any, declared: Sequence[int]) -> str | None:
    if about.num_columns > MOST_COLUMNS or about.num_row_groups > MOST_GROUPS:
        return f"it declares {about.num_columns:,} columns in {about.num_row_groups:,} groups"
    if not 0 <= about.num_rows <= MOST_ROWS:
        return f"it declares {about.num_rows:,} rows; at most {MOST_ROWS:,} are read"
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    unpacked = sum(max(group.total_byte_size, 0) for group in groups)
    if unpacked > LARGEST_TABLE:
        return f"it declares {unpacked:,} bytes; at most {LARGEST_TABLE:,} are read"
    for number, values in enumerate(declared, 1):
        if values > MOST_VALUES:
            return f"column {number} declares {values:,} values; at most {MOST_VALUES:,} are read"
    return None


def _shape(schema: Any) -> str | None:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        return f"column {twice[0][:60]!r} stands {schema.names.count(twice[0])} times"
    for field in schema:
        if _kind(field.type) is None:
            return f"column {field.name[:60]!r} holds {str(field.type)[:80]}: no table of the harness does"
    return None


def _kind(its: Any) -> str | None:
    from pyarrow import types

    if types.is_dictionary(its):
        its = its.value_type
    if types.is_list(its) or types.is_large_list(its) or types.is_fixed_size_list(its):
        return "numbers" if types.is_floating(its.value_type) else None
    if types.is_string(its) or types.is_large_string(its):
        return "text"
    if types.is_floating(its):
        return "number"
    if types.is_integer(its):
        return "whole"
    return "other" if types.is_boolean(its) or types.is_null(its) else None


def _wrong_columns(schema: Any, kinds: Mapping[str, Kind]) -> str | None:
    for name, kind in kinds.items():
        if name not in schema.names:
            return f"it has no column {name!r}"
        its = schema.field(name).type
        if _kind(its) != kind:
            return f"column {name!r} holds {str(its)[:80]}, not {_WORDS[kind]}"
    return None


def _too_much(
    schema: Any, asked: Sequence[str], declared: Sequence[tuple[int, int]], rows: int, allowed: int
) -> str | None:
    """Whether the columns take too much by what the footer says alone: nothing needs to be unpacked then."""
    # without a row group no column declares anything
    columns = dict(zip(schema.names, declared or [(0, 0)] * len(schema.names), strict=True))
    least = 0
    for name in asked:
        values, size = columns[name]
        its = schema.field(name).type
        if _kind(its) == "text" and size > SMALL_COLUMN + values * (LONGEST_TEXT + _INDEX):
            return f"column {name[:60]!r} declares {size:,} bytes in {values:,} texts"
        least += max(size, _least(its, values, rows))
    if least > allowed:
        return f"it declares {least:,} bytes; at most {allowed:,} are read of a file of its size"
    return None


def _least(its: Any, values: int, rows: int) -> int:
    """Bytes that a column takes unpacked, not counting its texts."""
    kind = _kind(its)
    if kind == "text":
        return _INDEX * values
    if kind == "numbers":
        # beside each number, how deep it stands and whether its list goes on
        return _INDEX * rows + (int(its.value_type.bit_width) // 8 + _INDEX) * values
    return 0 if kind == "other" else int(its.bit_width) // 8 * values


def _unpacked(batch: Any, texts: Sequence[str]) -> tuple[int, str | None]:
    """Bytes of a batch, each text in its row; and what is wrong with one of them."""
    import pyarrow.compute as pc

    total = batch.nbytes
    for name in texts:
        column = batch.column(name)
        lengths = pc.binary_length(column.dictionary)
        longest = pc.max(lengths).as_py() or 0
        if longest > LONGEST_TEXT:
            return total, f"column {name[:60]!r} holds a text of {longest:,} bytes"
        total += pc.sum(lengths.take(column.indices)).as_py() or 0
    return total, None


_WORDS: Mapping[str, str] = {
    "text": "texts",
    "whole": "whole numbers",
    "number": "numbers",
    "numbers": "lists of numbers",
}
