"""Parquet tables that somebody else wrote: what they declare is held to bounds before it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dermae_bench.bounded.files import Unreadable, open_plain
from dermae_bench.bounded.footers import values_of

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_TABLE = 1 << 32
"""Bytes of a parquet file, as it lies there and unpacked."""
MOST_ROWS = 20_000_000
MOST_VALUES = 1 << 29
"""Values of one column of a parquet file, those inside lists included."""
MOST_COLUMNS = 2_000
MOST_GROUPS = 100_000
"""Row groups of a parquet file."""
LONGEST_TEXT = 4_096
"""Bytes of one text in a table."""
LARGEST_FOOTER = 1 << 24
"""Bytes of what a parquet file says of itself, text and containers each."""
AT_ONCE = 1 << 16
"""Rows that are unpacked at once."""

Kind = Literal["text", "whole", "number", "numbers"]
"""What a column holds: texts, whole numbers, floats, lists of floats."""


def read_parquet(path: Path, kinds: Mapping[str, Kind] | None = None) -> pa.Table:
    """A parquet table.

    Args:
        kinds: columns that must be there, and what they must hold, without a missing value.

    Raises:
        DataMissing: it is not there.
        Unreadable: it is no parquet file, truncated, encrypted or nested, or it declares more than is read here.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    limits = {"thrift_string_size_limit": LARGEST_FOOTER, "thrift_container_size_limit": LARGEST_FOOTER}
    with open_plain(path, LARGEST_TABLE) as stream:
        try:
            declared = values_of(stream, LARGEST_FOOTER)
            file = pq.ParquetFile(stream, **limits)
            schema = file.schema_arrow
            problem = _declared(file.metadata, declared) or _shape(schema)
            if problem is not None:
                raise Unreadable(path, problem)
            # a text that stands in a million rows is then held once
            texts = [field.name for field in schema if _kind(field.type) == "text"]
            file = pq.ParquetFile(stream, read_dictionary=texts, **limits)
            total, batches = 0, []
            for batch in file.iter_batches(AT_ONCE, use_threads=False):
                total += batch.nbytes
                problem = _too_large(batch, texts, total, file.metadata.num_rows)
                if problem is not None:
                    raise Unreadable(path, problem)
                batches.append(batch)
            table = pa.Table.from_batches(batches, file.schema_arrow)
            table.validate(full=True)
        except Unreadable:
            raise
        # a stranger's bytes make Arrow raise nearly anything
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, RuntimeError) as error:
            told = str(error).partition("\n")[0][:200] or type(error).__name__
            raise Unreadable(path, f"no parquet table: {told}") from None
    problem = _wrong_columns(table, kinds or {})
    if problem is not None:
        raise Unreadable(path, problem)
    return table


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


def _wrong_columns(table: pa.Table, kinds: Mapping[str, Kind]) -> str | None:
    for name, kind in kinds.items():
        if name not in table.column_names:
            return f"it has no column {name!r}"
        its = table.schema.field(name).type
        if _kind(its) != kind:
            return f"column {name!r} holds {str(its)[:80]}, not {_WORDS[kind]}"
        if table.column(name).null_count:
            return f"column {name!r} has {table.column(name).null_count:,} missing values"
    return None


def _too_large(batch: Any, texts: Sequence[str], total: int, rows: int) -> str | None:
    import pyarrow.compute as pc

    if total > LARGEST_TABLE:
        return f"it unpacks to more than {LARGEST_TABLE:,} bytes"
    for name in texts:
        column = batch.column(name)
        values = column.dictionary if hasattr(column, "dictionary") else column
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > LONGEST_TEXT or longest * rows > LARGEST_TABLE:
            return f"column {name[:60]!r} holds a text of {longest:,} bytes in {rows:,} rows"
    return None


_WORDS: Mapping[str, str] = {
    "text": "texts",
    "whole": "whole numbers",
    "number": "numbers",
    "numbers": "lists of numbers",
}
