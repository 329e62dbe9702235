"""The child that reads one file of pickled weights and hands its tensors over as safetensors: the only such place.

Run as a file, ``python -I -B unpickling.py '{folder, sys_path, allowed, seconds, trusted}'``, with the weights as
standard input; nothing but the standard library is imported before the limits stand. `folder` is private to the
child. Afterwards it holds `result.json`, with the reason of a refusal or what was read, and `state.safetensors`.
The process has no network where the system lets it give that up, no secrets, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MOST_TENSORS = 20_000
WRAPPERS = ("state_dict", "model")
"""A dict that holds its state dict under one of these names is unwrapped."""
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000


class Refused(Exception):
    """The file holds something else than tensors; `str()` is the reason, without the path."""


def confine() -> bool:
    """Give up what reading a file does not need; returns whether the network is gone."""
    try:
        system = ctypes.CDLL(None, use_errno=True)
        system.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        cut = system.unshare(_NEW_NETWORK) == 0 or system.unshare(_NEW_USER | _NEW_NETWORK) == 0
    except (AttributeError, OSError):
        # no Linux: the other limits stand
        cut = False
    _limit(resource.RLIMIT_CORE, 0)
    return bool(cut)


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # macOS knows some limits and refuses to set them
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(what, (value, value))


def hold(allowed: int, seconds: int) -> None:
    """Limit what may be used from now on: `allowed` bytes of tensors (they are held twice) and seconds of CPU."""
    with contextlib.suppress(OSError):
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, mapped + 3 * allowed + 2**30)
    _limit(resource.RLIMIT_FSIZE, allowed + 64 * 2**20)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds)


def read(stream: IO[bytes], *, allowed: int, trusted: bool) -> tuple[dict[str, Tensor], list[str]]:
    """Name -> dense tensor on the CPU, each with its own memory, in the file's order; and the names left out.

    Args:
        allowed: largest sum of the tensors' bytes.
        trusted: run what the pickle asks to run; numpy arrays and whole modules are then taken, too, and what is no
            tensor is left out.

    Raises:
        Refused: the file is damaged, asks to run something, or holds something else than tensors.
    """
    import torch

    try:
        value = torch.load(stream, map_location="cpu", weights_only=not trusted)
    except Exception as error:  # noqa: BLE001
        # damaged bytes lead its readers to errors of every kind
        raise Refused(_why(error)) from None
    if trusted and isinstance(value, torch.nn.Module):
        value = value.state_dict()
    for wrapper in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(wrapper), dict):
            value = value[wrapper]
    if not isinstance(value, dict):
        raise Refused("is not a dict of tensors")
    left_out: list[str] = []
    if trusted:
        value, left_out = _tensors_of(value)
    if not all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()):
        raise Refused("is not a dict of tensors")
    if len(value) > MOST_TENSORS:
        raise Refused(f"holds {len(value)} tensors, more than {MOST_TENSORS}")
    return _own(value, allowed), left_out


def _why(error: Exception) -> str:
    """The one fact in what torch says, without its advice to try again unsafely and its colours."""
    text = str(error)
    asked = re.search(r"unsupported (?:global|class)[: ]+(?:GLOBAL )?([\w.]{1,80})", text, re.IGNORECASE)
    if asked:
        return f"holds more than tensors, or is damaged: it asks for {asked.group(1)}"
    told = [line.strip() for line in text.rpartition("WeightsUnpickler error:")[2].splitlines() if line.strip()]
    fact = told[0] if told else type(error).__name__
    return f"holds more than tensors, or is damaged: {fact[:200] if fact.isprintable() else ascii(fact[:200])}"


def _tensors_of(value: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    import numpy as np
    import torch

    found: dict[str, Any] = {}
    left_out = []
    for name, item in value.items():
        array = isinstance(item, np.ndarray) and item.dtype.kind in "biuf"
        tensor = torch.from_numpy(np.ascontiguousarray(item)) if array else item
        if isinstance(name, str) and isinstance(tensor, torch.Tensor):
            found[name] = tensor
        else:
            left_out.append(str(name)[:200])
    if not found:
        raise Refused("is not a dict of tensors")
    return found, left_out


def _own(state: dict[str, Tensor], allowed: int) -> dict[str, Tensor]:
    import torch

    total = 0
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise Refused(f"holds {name!r}, which is no dense tensor")
        # a view may claim any size over a few bytes
        total += tensor.numel() * tensor.element_size()
        if total > allowed:
            raise Refused(f"expands to more than {allowed / 2**20:.0f} MiB")
    seen: set[int] = set()
    owned = {}
    for name, tensor in state.items():
        mine = tensor.detach().resolve_conj().resolve_neg().contiguous()
        storage = mine.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != mine.numel() * mine.element_size():
            mine = mine.clone()
        seen.add(mine.untyped_storage().data_ptr())
        owned[name] = mine
    return owned


def convert(stream: IO[bytes], folder: Path, *, allowed: int, trusted: bool) -> dict[str, Any]:
    """Read `stream`, write `folder/state.safetensors`; returns {ok, names, left_out} or {ok, reason}."""
    from safetensors.torch import save_file

    try:
        state, left_out = read(stream, allowed=allowed, trusted=trusted)
        # safetensors keeps no order, and some callers know layers by their order
        save_file(state, folder / "state.safetensors", metadata={"order": json.dumps(list(state))})
    except Refused as refusal:
        return {"ok": False, "reason": str(refusal)}
    except MemoryError:
        return {"ok": False, "reason": "needs more memory than its size allows"}
    except Exception as error:  # noqa: BLE001 (what a hostile file leads to is a reason, never a traceback)
        return {"ok": False, "reason": f"cannot be handed over: {str(error)[:200]}"}
    return {"ok": True, "tensors": len(state), "left_out": left_out}


def main(asked: str) -> None:
    """Confine this process, read standard input, leave `result.json`."""
    no_network = confine()
    words = json.loads(asked)
    folder = Path(words["folder"])
    sys.path[:] = words["sys_path"]
    import safetensors
    import torch

    torch.set_num_threads(1)
    hold(words["allowed"], words["seconds"])
    with os.fdopen(0, "rb", closefd=False) as stream:
        stream.seek(0)
        result = convert(stream, folder, allowed=words["allowed"], trusted=words["trusted"])
    result |= {"no_network": no_network, "torch": torch.__version__, "safetensors": safetensors.__version__}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
