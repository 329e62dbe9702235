"""What a stage costs, from what was counted of its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_planning import COUNTED, MODEL, commit, stage

from dermae_bench.commands.costing import Amount, Costs, Yardstick
from dermae_bench.store.artifacts import Store
from dermae_bench.suite.stage import Stage, key_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def counted(store: Store, model: Any, of: str, sampling: Any = None, **values: float) -> Stage:
    """A cost stage with its result."""
    work = {"model": model, "of": of, "sampling": sampling}
    parts = {"kind": "cost", "work": work}
    done = Stage(kind="cost", name=f"cost/{of}", work=work, parts=parts, key=key_of(parts))
    commit(store, done, **{**COUNTED, "values": {**COUNTED["values"], **values}})
    return done


def of(kind: str, model: Any = MODEL, steps: int = 0, disk_bytes: int = 0, **work: Any) -> Stage:
    """A stage of an unknown key, as without the data."""
    return Stage(kind=kind, name=kind, work={"model": model, **work}, parts={}, steps=steps, disk_bytes=disk_bytes)


def test_a_fit_costs_training_passes_of_every_image_it_sees(store: Store) -> None:
    costs = Costs([counted(store, MODEL, "predict", **{"training-gmacs": 7.0})], store)
    fit = costs.amount(of("train", steps=100, budget={"batch_size": 8, "ema": None, "select": "last"}))
    assert (fit.parameters, fit.gmacs, fit.images) == (2e6, 7.0, 800)
    assert fit.pflops == pytest.approx(7e9 * 800 * 2 / 1e15)
    # two checkpoints are kept and a third is written: weights and two moments each
    assert (fit.disk_bytes, fit.scratch_bytes) == (1000, 3 * (1000 + 2000))
    more = costs.amount(of("train", steps=1, budget={"batch_size": 8, "ema": 0.9, "select": "best:accuracy"}))
    assert more.scratch_bytes == 3 * (1000 + 2000 + 900 + 1000)


def test_samplers_of_one_generator_have_their_own_costs(store: Store) -> None:
    few, many = {"sampler": "ddim", "steps": 50}, {"sampler": "ddpm", "steps": 1000}
    planned = [
        counted(store, MODEL, "sample", few, gmacs=50.0),
        counted(store, MODEL, "sample", many, gmacs=1000.0),
        counted(store, MODEL, "predict", None, gmacs=1.0),
    ]
    costs = Costs(planned, store)
    # the order of words is no difference
    turned = {"steps": 50, "sampler": "ddim"}
    drawn = costs.amount(of("sample", steps=10, disk_bytes=480, sampling=turned))
    assert (drawn.gmacs, drawn.images, drawn.disk_bytes, drawn.scratch_bytes) == (50.0, 10, 480, 0)
    assert costs.amount(of("sample", steps=10, sampling=many)).gmacs == 1000.0
    assert costs.amount(of("predict", steps=10)).gmacs == 1.0
    assert costs.amount(of("sample", steps=10, sampling={**many, "steps": 20})).gmacs is None
    assert [costs.amount(stage).gmacs for stage in planned] == [50.0, 1000.0, 1.0]


def test_another_model_has_no_cost_until_it_is_counted(store: Store) -> None:
    done = counted(store, MODEL, "predict")
    other = {**MODEL, "params": {"arch": "cnn"}}
    assert Costs([done], store).amount(of("predict", other, steps=5)) == Amount(images=5, disk_bytes=0)
    fit = Costs([stage("cost", "not done")], store).amount(of("train", steps=5, budget={"batch_size": 2}))
    assert (fit.gmacs, fit.pflops, fit.disk_bytes, fit.images) == (None, None, None, 10)


def test_a_pretrainer_is_counted_by_its_training_alone(store: Store) -> None:
    work = {"model": MODEL, "of": "train", "sampling": None}
    done = Stage(kind="cost", name="cost/mae", work=work, parts={"work": work}, key=key_of({"work": work}))
    commit(store, done, values={"training-gmacs": 9.0, "parameters-total": 5.0}, disk=COUNTED["disk"])
    costs = Costs([done], store)
    assert costs.amount(done).gmacs == 9.0
    assert costs.amount(of("train", steps=2, budget={"batch_size": 3})).pflops == pytest.approx(9e9 * 6 * 2 / 1e15)


def test_amounts_that_need_the_data_are_unknown_and_not_nothing(store: Store) -> None:
    costs = Costs([counted(store, MODEL, "predict")], store)
    waiting = costs.amount(of("predict"))
    assert (waiting.gmacs, waiting.images, waiting.pflops) == (6.0, None, None)
    assert costs.amount(of("sample", sampling={})).disk_bytes is None
    assert costs.amount(of("prepare")).disk_bytes is None
    assert costs.amount(of("prepare", disk_bytes=12)).disk_bytes == 12
    # the most frequent class is answered without a network
    assert costs.amount(of("predict", {"role": "majority"})).pflops == 0
    assert costs.amount(of("score")) == Amount(disk_bytes=0)


def test_hours_follow_from_peak_and_utilisation() -> None:
    assert Yardstick(peak_tflops=1000, utilisation=0.5).hours(3600 * 500 / 1000) == pytest.approx(1.0)
    assert Yardstick(peak_tflops=1000, utilisation=0.5).words == "a peak of 1000 TFLOP/s and 50 % utilisation"
