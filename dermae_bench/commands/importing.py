"""What `import-weights` does: somebody's pickled weights -> safetensors, with a note of where they come from."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from dermae_bench import __version__
from dermae_bench.commands.printing import echo
from dermae_bench.durable import digest_file, replacing, write_text
from dermae_bench.errors import OK, UserError
from dermae_bench.report.escape import visible

WARNING = """\
--trust-pickle RUNS THE FILE. A pickle is a program: whoever made it can read, change and send away everything that
you may. It runs in a process of its own, without your environment variables, with limits on memory and time, and
without network where this system allows that; it can still read and write your files. Use this only for a file whose
author you trust, and whose digest you have compared with theirs:"""


def import_weights_file(file: Path, out: Path, *, trusted: bool) -> int:
    """Write the tensors of `file` to `out`, and what was read beside it (`out` with `.json`).

    Raises:
        UserError: `out` is no new .safetensors file, or `file` is damaged, too large or holds more than tensors.
    """
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
    if trusted and file.is_file():
        echo(f"{WARNING}\n  {digest_file(file)}  {visible(file.name)}", err=True)
    from dermae_bench.plugin.weights import import_weights

    # beside the result: weights may be larger than the folder for temporary files
    with tempfile.TemporaryDirectory(prefix=".import-", dir=out.parent) as folder:
        made, reading = import_weights(file, Path(folder), trusted=trusted)
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
    write_text(note, json.dumps(told, indent=2, ensure_ascii=True) + "\n")
    if trusted and not reading.no_network:
        echo("this system did not let the network be cut off: the file could have used it", err=True)
    if reading.left_out:
        names = ", ".join(visible(name, 60) for name in reading.left_out[:5])
        echo(f"left out, since they are no tensors: {names}{' ...' if len(reading.left_out) > 5 else ''}", err=True)
    echo(f"{out}: {reading.tensors} tensors, from SHA-256 {reading.sha256}")
    return OK
