"""The file that `--out` names: what is a mistake is told before anything is worked out."""

from __future__ import annotations

import stat
from pathlib import Path

from dermae_bench.errors import UserError


def replaceable(out: Path) -> Path:
    """The file that `out` leads to, which is replaced as a whole; it need not be there yet.

    Raises:
        UserError: it is a folder, a pipe, a device, or lies in no folder that is there.
    """
    try:
        mode = out.stat().st_mode
    except FileNotFoundError:
        if not out.resolve().parent.is_dir():
            raise UserError(f"--out: there is no folder {out.parent}", hint="make it first") from None
        return out.resolve()
    except OSError as error:
        raise UserError(f"--out {out} cannot be used: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"--out {out} is a folder", hint="name a file in it")
    if not stat.S_ISREG(mode):
        raise UserError(
            f"--out {out} is no plain file, and is not replaced by one", hint="without --out, tables are printed"
        )
    return out.resolve()
