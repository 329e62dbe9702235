"""Data sets beside the suite's own: what classifiers are scored on and nothing is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dermae_bench.suite.known import same_question
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.spec import SubgroupSpec
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.teaching import predict


class OtherSets:
    """What a planner knows of the sets under `evaluate_on`."""

    def __init__(self, plan: Planner) -> None:
        self.plan = plan
        self.suite = plan.suite

    def answering(self, task: str) -> list[str]:
        """Sets whose images have an answer to a task of the suite: one of that name with the same classes."""
        own = (self.plan.tasks or {}).get(task)
        if own is None:
            return []
        return [name for name in self.suite.evaluate_on if same_question(own, self.plan.other_tasks.get(name), task)]

    def prepare(self, on: str | None) -> Stage:
        """The images of a set; None is the suite's own."""
        return self.plan.prepare() if on is None else self.plan.prepare_other(on)

    def subgroups(self, on: str | None) -> Sequence[str | SubgroupSpec]:
        """Attributes that divide the test images of a set."""
        return self.suite.subgroups if on is None else self.suite.evaluate_on[on].subgroups

    def between(self) -> list[dict[str, Any] | None]:
        """The tasks of the suite's own data, whose maps lead from what was trained to what is scored."""
        return [self.plan.task(name) for name in self.plan.tasks or {}]

    def predict(self, name: str, model: Stage | None, trained: str, task: str, on: str) -> Stage:
        """What a classifier that was trained on one task says of a set, as answers to another or the same."""
        more = {"answers": self.plan.task(task), "between": self.between()}
        return predict(self.plan, name, model, trained, {"split": "test"}, {}, on=on, more=more)
