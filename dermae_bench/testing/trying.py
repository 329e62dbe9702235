"""What the process of one plugin under test does: import it, try its promises, write down each as it ends."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dermae_bench.errors import BenchError
from dermae_bench.plugin.catalog import Reference
from dermae_bench.testing import imported
from dermae_bench.testing.checks import promises
from dermae_bench.testing.promise import ASKED, IMPORTING, TOLD


def answer(folder: Path) -> None:
    """Answer `ASKED` {name, reference, folder} with lines in `TOLD`.

    They are {kind, promises} once, or {error}; and {begins: name}, then {ends: a `Check`} for every promise.
    """
    asked = json.loads((folder / ASKED).read_text())
    # plugins under test may name their files as the user's shell does
    os.chdir(asked["folder"])
    me = os.getpid()
    with (folder / TOLD).open("w", encoding="utf-8") as told:

        def tell(**words: Any) -> None:
            if os.getpid() != me:
                # a plugin forked, and this is its child
                os._exit(0)
            told.write(json.dumps(words) + "\n")
            told.flush()

        tell(begins=IMPORTING)
        try:
            kind, cls = imported(asked["name"], Reference(**asked["reference"]))
        except BenchError as error:
            tell(error=str(error))
            return
        runs = promises(kind, cls)
        tell(kind=kind, promises=[name for name, _ in runs])
        for name, run in runs:
            tell(begins=name)
            tell(ends=asdict(run()))
