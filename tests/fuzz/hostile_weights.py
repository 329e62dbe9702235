"""Files that claim to be weights: pickles that run code, bombs, lies in headers, damage."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

LEGACY = {"_use_new_zipfile_serialization": False}


class Evil:
    """Makes the file `canary` in the working folder, and above, when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.canary}'",)


class EvilState(Evil):
    """The same, hidden in the state of an allowed type."""

    def __reduce__(self) -> Any:
        return collections.OrderedDict, (), None, None, iter([("a", Evil(self.canary))])


class Evaluating(Evil):
    """The same, by the builtin that reads a string as a program."""

    def __reduce__(self) -> Any:
        return getattr(__import__("builtins"), "ev" + "al"), (f"__import__('os').system('touch {self.canary}')",)


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with any header; `length`: what it claims of the header's length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def saved(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def records(changed: Callable[[str, bytes], list[tuple[str, bytes]]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A sound file of torch.save, packed again with records added, replaced or compressed."""
    stream = io.BytesIO()
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(64)}))) as old,
        zipfile.ZipFile(stream, "w", compression) as new,
    ):
        # a name that stands twice
        warnings.simplefilter("ignore", UserWarning)
        for name in old.namelist():
            for other, data in changed(name, old.read(name)):
                new.writestr(other, data)
    return stream.getvalue()


def hostile(canary: Path) -> dict[str, bytes]:
    """File name -> content; none of them may be read as weights."""
    evil = Evil(canary)
    arrays = io.BytesIO()
    np.save(arrays, np.array([evil], dtype=object), allow_pickle=bool(1))
    pickled = pickle.dumps(evil)
    f4 = entry("F32", [4], 0, 16)
    sixteen = bytes(16)
    sound = saved({"a": torch.zeros(64)})
    many = {f"t{i}": entry("U8", [0], 0, 0) for i in range(20_001)}
    wide = saved({"a": torch.zeros(1).expand(2**40)})
    at = sound.rindex(b"PK\x05\x06")
    great = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**40, 2**40, 2**40, 0)
    zip64 = sound[:at] + great + struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1) + sound[at:]
    long_name = saved({"a" * 500_000: torch.zeros(1)})[:-400_000]
    return {
        "reduce.pt": saved({"a": evil}),
        "reduce.pth": saved(evil),
        "legacy.pt": saved({"a": evil}, **LEGACY),
        "plain.bin": pickled,
        "protocol0.bin": pickle.dumps(evil, protocol=0),
        "plain.ckpt": pickled,
        "plain.pkl": pickled,
        "objects.npy": arrays.getvalue(),
        "objects.pt": arrays.getvalue(),
        "ordered.pt": saved({"a": EvilState(canary)}),
        "evaluated.pt": saved({"state_dict": {"a": Evaluating(canary)}}),
        "renamed.safetensors": saved({"a": evil}),
        "pickle.safetensors": pickled,
        "swapped-record.pt": records(lambda n, d: [(n, pickled if n.endswith("data.pkl") else d)]),
        "second-record.pt": records(lambda n, d: [(n, d)] + ([(n, pickled)] if n.endswith("data.pkl") else [])),
        "torchscript.pt": records(lambda n, d: [(n, d), (n.split("/")[0] + "/constants.pkl", pickled)]
                                  if n.endswith("data.pkl") else [(n, d)]),
        "compressed.pt": records(lambda n, d: [(n, d)], zipfile.ZIP_DEFLATED),
        "bomb.pt": records(lambda n, d: [(n, bytes(2**22) if n.endswith("/0") else d)], zipfile.ZIP_DEFLATED),
        "names.pt": records(lambda n, d: [("../../" + n, d)]),
        "zip64.pt": zip64,
        "directory.pt": sound[:at] + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 65534, 65534, 2**31, 40, 0),
        "view.pt": wide,
        "truncated.pt": sound[: len(sound) // 2],
        "truncated-legacy.pt": saved({"a": torch.zeros(64)}, **LEGACY)[:-100],
        "long-name.pt": long_name,
        "no-dict.pt": saved([torch.zeros(2)]),
        "no-tensor.pt": saved({"a": "text"}),
        "sparse.pt": saved({"a": torch.eye(3).to_sparse()}),
        "meta.pt": saved({"a": torch.empty(3, device="meta")}),
        "nan.pt": saved({"a": torch.tensor([1.0, float("nan")])}),
        "inf.safetensors": safetensors({"a": f4}, struct.pack("<4f", 1, 2, float("inf"), 4)),
        "nan.safetensors": safetensors({"a": f4}, struct.pack("<4f", 1, 2, float("nan"), 4)),
        "overlap.safetensors": safetensors({"a": f4, "b": entry("F32", [4], 8, 24)}, bytes(24)),
        "overflow.safetensors": safetensors({"a": entry("F32", [2**62, 4], 0, 16)}, sixteen),
        "beyond.safetensors": safetensors({"a": entry("F32", [4], 0, 2**63 - 1)}, sixteen),
        "backwards.safetensors": safetensors({"a": entry("F32", [4], 16, 0)}, sixteen),
        "negative.safetensors": safetensors({"a": entry("F32", [4], -16, 0)}, sixteen),
        "wrong-dtype.safetensors": safetensors({"a": entry("F33", [4], 0, 16)}, sixteen),
        "wrong-size.safetensors": safetensors({"a": entry("F64", [4], 0, 16)}, sixteen),
        "trailing.safetensors": safetensors({"a": f4}, bytes(64)),
        "claimed-header.safetensors": safetensors({"a": f4}, sixteen, length=100 * 2**20),
        "great-header.safetensors": safetensors(b'{"a":' + b" " * (17 * 2**20) + b"1}"),
        "endless-header.safetensors": safetensors({"a": f4}, sixteen, length=2**64 - 1),
        "many.safetensors": safetensors(many),
        "twice.safetensors": safetensors(b'{"a":' + json.dumps(f4).encode() + b',"a":' + json.dumps(f4).encode() + b"}",
                                         sixteen),
        "deep.safetensors": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "no-json.safetensors": safetensors(b"\xff\xfe not json"),
        "list.safetensors": safetensors(b"[1, 2]"),
        "empty.pt": b"",
        "empty.safetensors": b"",
        "html.pt": b"<!DOCTYPE html><title>404</title>",
        "lfs.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        "weights.h5": b"\x89HDF\r\n\x1a\n",
    }  # fmt: skip


def sound_safetensors(folder: Path) -> bytes:
    """A small file to damage."""
    state = {"layer.weight": torch.arange(12.0).view(3, 4), "layer.bias": torch.ones(3), "steps": torch.tensor(7)}
    save_file(state, folder / "sound.safetensors", metadata={"format": "pt"})
    return (folder / "sound.safetensors").read_bytes()
