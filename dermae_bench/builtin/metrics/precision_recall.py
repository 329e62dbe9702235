"""Average precision: the area under the precision-recall curve, step by step."""

from __future__ import annotations

from dermae_bench import api
from dermae_bench.builtin.metrics import roc
from dermae_bench.builtin.metrics.auc import OneVsRest, PositiveVsRest
from dermae_bench.builtin.metrics.existence import REPLICATES

STEPS = "sum of (gain in recall) x (precision after it), equal scores in one step"


class AveragePrecisionOneVsRestMacro(OneVsRest):
    """Average precision of each class against all others (scikit-learn's definition), mean over the classes."""

    column = api.Column(
        name="ap-ovr-macro",
        better="higher",
        average="macro",
        protocol=f"one class against the rest, order of softmax, {STEPS}; {REPLICATES}",
        description="Mean over the classes of average precision against all others; chance is the class's share.",
    )
    of_a_class = "average-precision"
    measure = staticmethod(roc.average_precision)


class AveragePrecisionBinary(PositiveVsRest):
    """Average precision of the task's positive class (scikit-learn's definition)."""

    column = api.Column(
        name="ap-binary",
        better="higher",
        average="binary",
        positive=True,
        protocol=f"positive class against the rest, order of its log-odds, {STEPS}",
        description="Average precision of the positive class; chance is its share of the images.",
    )
    measure = staticmethod(roc.average_precision)


@api.hookimpl
def dermae_metrics() -> dict[str, type[api.PredictionMetric]]:
    return {"ap-ovr-macro": AveragePrecisionOneVsRestMacro, "ap-binary": AveragePrecisionBinary}
