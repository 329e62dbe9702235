"""Pickled weights become safetensors in a child process (`unpickling`), once for each file.

A conversion is kept in the user's cache under the digest of the file it was made from, so that a file costs a child
once, and not once for each stage that reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dermae_bench.archives.members import Refused as BadArchive
from dermae_bench.archives.zips import zip_directory
from dermae_bench.bounded.files import read_bytes
from dermae_bench.durable import digest_file, rename, write_text
from dermae_bench.errors import UserError
from dermae_bench.plugin import unpickling
from dermae_bench.plugin.catalog import cache_folder
from dermae_bench.plugin.tensor_files import HEADER_LIMIT, LIMIT, digest_of_stream, opened, read_safetensors

if TYPE_CHECKING:
    from torch import Tensor

EXPANSION, SPARE = 4, 64 * 2**20
"""A file may expand to so many times its size (tied weights are stored once), and so many bytes more."""
CACHE_LIMIT = 16 * 2**30
"""Bytes of conversions that are kept; the least recently used go first, a larger one is not kept."""
SECONDS, BYTES_A_SECOND = 120, 20 * 2**20
"""How long a child may take, besides so many bytes a second of its file."""
LARGEST_ABOUT = 1 << 16
"""Bytes of what is kept about a conversion; it has about 200."""
_CONVERSION = 1
_ZIP, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True)
class Reading:
    """How a file of weights was read."""

    sha256: str
    """Of the file."""
    size: int
    """Of the file, in bytes."""
    tensors: int
    left_out: Sequence[str]
    """Entries beside the tensors; only a trusted pickle may have some."""
    no_network: bool
    """Whether the child had no network."""
    versions: Mapping[str, str]
    """Of torch and safetensors in the child."""


def converted(stream: BufferedReader) -> dict[str, Tensor]:
    """Through the cache of conversions, or for this call alone where nothing may be written or it is too large."""
    digest = digest_of_stream(stream)
    cache = cache_folder() / "weights"
    kept, about = cache / f"{digest}.safetensors", cache / f"{digest}.json"
    if (found := _kept(kept, about)) is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = tempfile.TemporaryDirectory(prefix=".new-", dir=cache)
    except OSError:
        place = tempfile.TemporaryDirectory(prefix="dermae-")
    with place as folder:
        in_child(stream, Path(folder), digest, trusted=False)
        made = Path(folder) / "state.safetensors"
        if Path(folder).parent == cache and made.stat().st_size <= CACHE_LIMIT:
            with contextlib.suppress(OSError):
                told = {"version": _CONVERSION, "sha256": digest_file(made), "source": digest}
                rename(made, kept)
                made = kept
                write_text(about, json.dumps(told), durable=False)
                _bound(cache)
        with opened(made) as converted:
            return read_safetensors(converted)


def _kept(kept: Path, about: Path) -> dict[str, Tensor] | None:
    """An earlier conversion, if its bytes are still those that were made."""
    try:
        told = json.loads(read_bytes(about, LARGEST_ABOUT))
        if told["version"] != _CONVERSION or told["source"] != kept.stem:
            return None
        with opened(kept) as stream:
            if digest_of_stream(stream) != told["sha256"]:
                return None
            state = read_safetensors(stream)
        os.utime(kept)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError, unpickling.Refused):
        # lost or damaged: it is made again
        return None
    return state


def _bound(cache: Path) -> None:
    """Remove the least recently used conversions until the rest is within `CACHE_LIMIT`."""
    files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in cache.glob("*.safetensors"))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= CACHE_LIMIT:
            return
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        total -= size


def in_child(stream: IO[bytes], folder: Path, digest: str, *, trusted: bool) -> Reading:
    """Let a child read `stream` into `folder/state.safetensors`.

    Raises:
        Refused: what the child said of the file, or how it ended.
    """
    # the child stands in it, and would look for a relative one inside itself
    folder = folder.absolute()
    size = os.fstat(stream.fileno()).st_size
    if not trusted:
        _check_records(stream, size)
    seconds = SECONDS + size // BYTES_A_SECOND
    allowed = min(LIMIT, EXPANSION * size + SPARE)
    asked = {"folder": str(folder), "sys_path": sys.path, "allowed": allowed, "seconds": seconds, "trusted": trusted}
    said = folder / "said.log"
    with said.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", unpickling.__file__, json.dumps(asked)],
            stdin=stream.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
    try:
        code = child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise unpickling.Refused(f"was not read within {seconds} s") from None
    finally:
        # what it started ends with it, and so does it where this call is interrupted
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    told = _told(folder / "result.json")
    if told is None and code < 0:
        raise unpickling.Refused(f"holds more than tensors, or is damaged: its reader ended with signal {-code}")
    if told is None:
        raise unpickling.Refused(f"could not be looked at: its reader failed with exit code {code}{_last_line(said)}")
    if not told.get("ok"):
        raise unpickling.Refused(str(told.get("reason"))[:500])
    return Reading(
        sha256=digest,
        size=size,
        tensors=int(told["tensors"]),
        left_out=[str(name) for name in told["left_out"]],
        no_network=bool(told["no_network"]),
        versions={"torch": str(told["torch"]), "safetensors": str(told["safetensors"])},
    )


def _last_line(path: Path) -> str:
    """`: TEXT`, where the reader said something at its end."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 4096))
        lines = stream.read().decode("ascii", "backslashreplace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {words[:200] if words.isprintable() else ascii(words[:200])}" if words else ""


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's: no name, no home, no token."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {**kept, "PATH": os.defpath, "HOME": str(folder), "TMPDIR": str(folder), "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip


def _told(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as stream:
            told = json.loads(stream.read(16 * 2**20))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _check_records(stream: IO[bytes], size: int) -> None:
    """Refuse, before a child is paid for, what `torch.save` never writes."""
    stream.seek(0)
    start = stream.read(len(_LEGACY))
    if start == _LEGACY:
        return
    if not start.startswith(_ZIP):
        raise unpickling.Refused("holds more than tensors, or is damaged: it was not written by torch.save")
    try:
        entries, directory, _ = zip_directory(stream, size)
        if entries > unpickling.MOST_TENSORS and entries != 0xFFFF:
            raise BadArchive(f"it has {entries} records")
        if directory > HEADER_LIMIT and directory != 0xFFFFFFFF:
            raise BadArchive("it has too many records")
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            records = archive.infolist()
    except (BadArchive, zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError) as error:
        raise unpickling.Refused(f"is damaged: {str(error).removeprefix('is damaged: ')[:200]}") from None
    if any(record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1 for record in records):
        raise unpickling.Refused("holds compressed or encrypted records, which torch.save never writes")
    if sum(record.file_size for record in records) > size:
        raise unpickling.Refused("is damaged: its records are larger than the file")
    if len({record.filename for record in records}) != len(records):
        raise unpickling.Refused("is damaged: a record is there twice")
