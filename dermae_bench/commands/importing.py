"""What `import-weights` does: somebody's pickled weights -> safetensors, with a note of where they come from."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dermae_bench import __version__
from dermae_bench.commands.printing import echo
from dermae_bench.durable import digest_file, let_others_read, remove_tree, replacing, write_text
from dermae_bench.errors import OK, UserError
from dermae_bench.execute.signals import Signalled, leaving, name
from dermae_bench.plugin.tensor_files import digest_of_stream, opened
from dermae_bench.report.escape import visible

UNDER_WAY = ".import-"
"""How folders beside the result begin in which weights are read."""
LOCK = "lock"
"""Inside such a folder: whoever reads there holds the kernel's lock on it."""

WARNING = """\
--trust-pickle RUNS THE FILE. A pickle is a program: whoever made it can read, change and send away everything that
you may. It runs in a process of its own, without your environment variables, with limits on memory and time, and
without network where this system allows that; it can still read and write your files. Use this only for a file whose
author you trust, and whose digest you have compared with theirs:"""


def import_weights_file(file: Path, out: Path, *, trusted: bool) -> int:
    """Write the tensors of `file` to `out`, and what was read beside it (`out` with `.json`).

    A signal ends it with one line and 128 + its number, and nothing is left beside `out`.

    Raises:
        UserError: `out` is no new .safetensors file, or `file` is damaged, too large or holds more than tensors.
    """
    try:
        with leaving():
            return _import(file, out, trusted=trusted)
    except Signalled as asked:
        echo(f"stopped by {name(asked.number)}: {out} was not made", err=True)
        return 128 + asked.number


def _import(file: Path, out: Path, *, trusted: bool) -> int:
    note = out.with_name(f"{out.name}.json")
    if out.suffix != ".safetensors":
        raise UserError(f"--out {out} does not end in .safetensors")
    if file.suffix == ".safetensors":
        raise UserError(f"{file} is .safetensors already", hint="name it in the suite as it is")
    for path in (out, note):
        if os.path.lexists(path):
            raise UserError(f"{path} is there already", hint="remove it, or choose another --out")
    if not out.parent.is_dir():
        raise UserError(f"there is no folder {out.parent}")
    if trusted:
        # opened as it is for reading: a pipe or a file beyond all bounds is no file whose digest one waits for
        with opened(file) as stream:
            echo(WARNING, err=True)
            echo(f"  {digest_of_stream(stream)}  {visible(file.name)}", err=True)
    from dermae_bench.plugin.weights import import_weights

    # beside the result: weights may be larger than the folder for temporary files
    with _place(out.parent) as folder:
        made, reading = import_weights(file, folder, trusted=trusted)
        told = {
            "source": {"name": file.name, "sha256": reading.sha256, "bytes": reading.size},
            "sha256": digest_file(made),
            "tensors": reading.tensors,
            "trusted_pickle": trusted,
            "network_cut_off": reading.no_network,
            "left_out": list(reading.left_out),
            "versions": {"dermae-bench": __version__, **reading.versions},
        }
        with replacing(out) as temporary:
            made.replace(temporary)
            let_others_read(temporary)
    write_text(note, json.dumps(told, indent=2, ensure_ascii=True) + "\n")
    if trusted and not reading.no_network:
        echo("this system did not let the network be cut off: the file could have used it", err=True)
    if reading.left_out:
        names = ", ".join(visible(name, 60) for name in reading.left_out[:5])
        echo(f"left out, since they are no tensors: {names}{' ...' if len(reading.left_out) > 5 else ''}", err=True)
    echo(f"{out}: {reading.tensors} tensors, from SHA-256 {reading.sha256}")
    return OK


@contextlib.contextmanager
def _place(beside: Path) -> Iterator[Path]:
    """A folder of this process alone, which goes with it; those whose processes were killed are removed first."""
    for left in beside.glob(f"{UNDER_WAY}*"):
        _remove_left(left)
    folder, handle = _made(beside)
    try:
        yield folder
    finally:
        remove_tree(folder)
        os.close(handle)


def _made(beside: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=UNDER_WAY, dir=beside))
        # another process may take the folder for one that was left, until the lock is held
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if _taken(handle) is not False and os.fstat(handle).st_nlink:
                return folder, handle
            os.close(handle)


def _taken(handle: int) -> bool | None:
    """Take the lock; False where another process holds it, None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_left(folder: Path) -> None:
    """Remove a folder that nobody holds; what is no folder of ours, or may not be removed, stays as it is."""
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        # without a lock it was killed before it held anything: only an empty folder goes
        with contextlib.suppress(OSError):
            folder.rmdir()
        return
    try:
        if _taken(handle):
            remove_tree(folder)
    finally:
        os.close(handle)
