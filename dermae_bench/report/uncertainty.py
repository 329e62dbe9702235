"""What the test set alone leaves open: the mean over seeds under the bootstrap of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.records import Uncertainty
from dermae_bench.statistics.bootstrap import bca, standard_error, told

INTERVAL = "95 %, bias-corrected and accelerated (BCa), from 2,000 bootstrap resamples of whole lesions"
"""What the intervals of boards are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resamples:
    """One seed's number under resampling."""

    value: float
    replicates: NDArray[np.float64]
    """(R,)"""
    jackknife: NDArray[np.float64]
    """(G,)"""


def uncertainty(seeds: Sequence[Resamples]) -> Uncertainty | None:
    """Of the mean over seeds that were scored on the same images.

    The same lesions are drawn for every seed, so their mean in each replicate is the mean's replicate. The spread over
    seeds is not in it. None where seeds were scored on unlike sets.
    """
    shapes = {(item.replicates.shape, item.jackknife.shape) for item in seeds}
    if len(shapes) != 1:
        return None
    replicates = np.mean([item.replicates for item in seeds], axis=0)
    jackknife = np.mean([item.jackknife for item in seeds], axis=0)
    interval = told(bca(float(np.mean([item.value for item in seeds])), replicates, jackknife))
    return Uncertainty(
        low=interval.low if interval is not None else None,
        high=interval.high if interval is not None else None,
        error=standard_error(replicates),
        replicates=replicates,
    )
