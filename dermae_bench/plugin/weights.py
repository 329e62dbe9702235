"""Weights that a user gives by path: read without running anything, and known by their digest.

safetensors is read in this process (`tensor_files`), pickled weights by a child (`conversions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import UserError
from dermae_bench.plugin import unpickling
from dermae_bench.plugin.conversions import Reading, converted, in_child
from dermae_bench.plugin.tensor_files import digest_of_stream, opened, read_safetensors

if TYPE_CHECKING:
    from torch import Tensor

PICKLED = (".pth", ".pt", ".bin")


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """State dict from `.safetensors`, or from `.pth`, `.pt`, `.bin` by `torch.load(weights_only=True)` in a child.

    A dict with a single entry `state_dict` or `model` is unwrapped. Tensors stand in the order of the file.

    Raises:
        DataMissing: there is no such file.
        UserError: another suffix, too large, damaged, not a plain dict of tensors, or numbers that are not finite.
    """
    path = Path(path)
    with opened(path) as stream:
        try:
            if path.suffix == ".safetensors":
                state = read_safetensors(stream)
            elif path.suffix in PICKLED:
                state = converted(stream)
            else:
                raise UserError(f"weights file {path} has no known suffix",
                                hint=f"use .safetensors, {', '.join(PICKLED)}; `dermae-bench import-weights` "
                                     "makes .safetensors of others")  # fmt: skip
        except unpickling.Refused as refusal:
            raise UserError(f"weights file {path} {refusal}") from None
    _check_finite(path, state)
    return state


def import_weights(path: Path, folder: Path, *, trusted: bool) -> tuple[Path, Reading]:
    """Read pickled weights of any suffix in a child, into `folder/state.safetensors`, and check what it made.

    Args:
        folder: private to this call.
        trusted: the child runs whatever the file asks it to run.

    Raises:
        DataMissing: there is no such file.
        UserError: too large, damaged, or no tensors in it, or numbers that are not finite.
    """
    with opened(path) as stream:
        try:
            reading = in_child(stream, folder, digest_of_stream(stream), trusted=trusted)
            made = folder / "state.safetensors"
            with opened(made) as handed:
                state = read_safetensors(handed)
        except unpickling.Refused as refusal:
            asks = " asks for " in str(refusal) and not trusted
            hint = "only if you trust its author with everything that you may do: --trust-pickle" if asks else None
            raise UserError(f"weights file {path} {refusal}", hint=hint) from None
    _check_finite(path, state)
    return made, reading


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    import torch

    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not _finite(torch, tensor)]
    if bad:
        more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        raise UserError(f"weights file {path} holds numbers that are not finite, in {', '.join(bad[:4])}{more}")


def _finite(torch: Any, tensor: Tensor) -> bool:
    wide = tensor if tensor.element_size() > 1 else tensor.to(torch.float32)
    return bool(torch.isfinite(wide).all())


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.flatten().view(_bytes()).numpy().tobytes())
    return digest.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8
