"""One who works on a stage and can be put to sleep: `python late.py STORE NUMBER PATIENCE WORD`.

Prints `working` when it has begun, sleeps until its standard input says something, and prints how its commit ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.fences import StillWorking, Superseded, working
from dermae_bench.store.manifests import Manifest, describe_files


def main(root: str, number: str, patience: str, word: str) -> None:
    """Begin, wait, commit."""
    store = Store(Path(root))
    parts = {"number": int(number)}
    key = digest_of(parts)[:32]
    folder = store.attempt_folder(key)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with working(folder, "train/late", float(patience)):
            fence = store.begin(key)
            work = folder / f"out-{word}"
            work.mkdir()
            print("working", flush=True)
            sys.stdin.readline()
            (work / "word.txt").write_text(word)
            about = Manifest(kind="train", key=key, name="train/late", parts=parts, files=describe_files(work))
            store.commit(work, about, fence=fence)
            print("stored", flush=True)
    except Superseded:
        print("superseded", flush=True)
    except StillWorking as error:
        print(f"refused: {error.message}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
