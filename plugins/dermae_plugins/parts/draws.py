"""Random numbers of one part of a model, which no other part can shift.

The harness seeds torch before a model is built and before every item of a fit. Parts that draw from that one stream
disturb each other: a second network, a dropout more, and the first one starts or trains with other numbers. A part that
draws inside `own_draws` has a stream of its own, a pure function of that seed and of the part's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dermae_bench import api


@contextmanager
def own_draws(name: str, device: torch.device | None = None) -> Iterator[None]:
    """Inside, torch's generators of the CPU and of a CUDA `device` follow (the seed set last, `name`).

    Afterwards they go on where they were: what is drawn inside shifts nothing outside, nor the other way round.
    """
    seed = api.seed_of(torch.initial_seed(), name)
    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield
