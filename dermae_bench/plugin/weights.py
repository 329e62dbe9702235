"""Weights that a user gives by path: read without running anything, and known by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import DataMissing, UserError

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 64 * 2**30
"""Largest weights file that is read, in bytes."""


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """State dict from `.safetensors`, or from `.pth`, `.pt`, `.bin` by `torch.load(weights_only=True)`.

    A dict with a single entry `state_dict` or `model` is unwrapped.

    Raises:
        DataMissing: there is no such file.
        UserError: another suffix, too large, or not a plain dict of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise DataMissing(f"weights file {path} is not there")
    if path.stat().st_size > LIMIT:
        raise UserError(f"weights file {path} is larger than {LIMIT // 2**30} GiB")
    state: Any
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise UserError(f"weights file {path} is damaged: {error}") from error
    elif path.suffix in {".pth", ".pt", ".bin"}:
        import torch

        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # damaged bytes lead its readers to errors of every kind
            raise UserError(f"weights file {path} holds more than tensors, or is damaged: {error}") from error
    else:
        raise UserError(f"weights file {path} has no known suffix", hint="use .safetensors, .pth, .pt or .bin")
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    import torch

    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()
    ):
        raise UserError(f"weights file {path} is not a dict of tensors")
    return state


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
