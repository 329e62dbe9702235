"""Where numbers were made: versions, processor, device. Never part of a key beyond major.minor of libraries."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

REPORTED = (
    "dermae-bench", "torch", "torchvision", "timm", "diffusers", "torchmetrics", "torch-fidelity", "fvcore",
    "numpy", "pandas", "pyarrow", "safetensors", "pluggy",
)  # fmt: skip


def versions(distributions: tuple[str, ...] = REPORTED) -> dict[str, str]:
    """Installed versions by distribution; absent ones are left out."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def major_minor(distribution: str) -> str:
    """`2.15` of `2.15.0+cu132`: what of a library's version belongs to a key."""
    return ".".join(metadata.version(distribution).split("+")[0].split(".")[:2])


def processor() -> str:
    """Model name of the processor, as the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123 (a kernel table, not a path of ours)
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.machine()


def environment() -> dict[str, Any]:
    """Everything a reader needs to judge a timing, and nothing that names a person or a machine."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "libraries": versions(),
    }
