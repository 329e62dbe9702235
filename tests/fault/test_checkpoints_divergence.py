"""Numbers that are none: the step is named, weights and checkpoints stay finite, and a second fit fails as soon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dermae_bench.errors import Diverged
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf
from tests.unit.execute.fits import Plain, begin, images

STEPS = 6
WORDS = {
    "nan": "loss is not finite",
    "inf": "loss is not finite",
    "-inf": "loss is not finite",
    "gradient": "gradient norm is not finite",
    "rate": "norm of the weights is not finite",
}


def diverging(how: str, at: int, seen: list[int]) -> type[Plain]:
    class Diverging(Plain):
        def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
            run.optimizers(optimizer)
            for batch in run.batches(train):
                seen.append(run.step_index)
                loss = torch.nn.functional.cross_entropy(self(batch.images), batch.labels)
                if run.step_index == at:
                    if how == "gradient":
                        loss = loss + (self.last.weight * 0).square().sum().sqrt()
                    elif how == "rate":
                        # as a schedule without a limit would
                        optimizer.param_groups[0]["lr"] = 3e38
                    else:
                        loss = loss * float(how)
                run.step(loss, optimizer)

    return Diverging


@pytest.mark.parametrize("at", [0, 3, STEPS - 1])
@pytest.mark.parametrize("how", WORDS)
def test_a_fit_ends_at_the_step_that_is_no_number(how: str, at: int, tmp_path: Path) -> None:
    budget = BudgetOf(steps=STEPS, batch_size=4, ema=0.9, checkpoint=2)
    for again in (False, True):
        seen: list[int] = []
        model, run = begin(diverging(how, at, seen), tmp_path, budget)
        with pytest.raises(Diverged, match=f"diverged at step {at}: {WORDS[how]}") as caught:
            model.fit(images(), run)
        assert caught.value.step == at
        # the second time it goes to that step from the last checkpoint at once
        assert seen == list(range(at // 2 * 2 if again else 0, at + 1))
        for path in tmp_path.glob("step-*"):
            found = Checkpoints(tmp_path)._read(path)
            assert found.step <= at
            assert all(bool(torch.isfinite(value).all()) for value in found.tensors.values())
        if how != "rate":
            # what would have spoilt the weights was seen before it reached them
            assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
