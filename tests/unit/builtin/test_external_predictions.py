"""Answers of a classifier that ran elsewhere: by id, in any column names, whatever is wrong told by line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dermae_bench import api
from dermae_bench.builtin.external.predictions import ExternalPredictions, dermae_classifiers
from dermae_bench.plugin.params import build

TASK = api.Task(name="diagnosis", classes=("nv", "mel", "bcc"))
BINARY = api.Task(name="malignancy", classes=("malignant", "benign"), positive="malignant")
IDS = ["i2", "i1"]


def model(folder: Path, text: str, task: api.Task = TASK, **params: Any) -> ExternalPredictions:
    table = folder / "scores.csv"
    table.write_text(text, encoding="utf-8")
    given = {"file": str(table), "scale": "probabilities", "protocol": "zero-shot", "source": "a test", **params}
    return ExternalPredictions(build(ExternalPredictions.Config, given), task)


def problems(wrong: ExternalPredictions, ids: Sequence[str] = IDS) -> str:
    with pytest.raises(api.DataError) as caught:
        wrong.answers(ids)
    return str(caught.value)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).double().softmax(1).numpy()


ROWS = "i1,.1,.2,.7\ni2,.5,.25,.25\nother,1,0,0\n"
EXPECTED = [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]


def test_it_is_declared_never_fitted_and_says_its_protocol() -> None:
    assert dermae_classifiers() == {"external-predictions": ExternalPredictions}
    assert (ExternalPredictions.fits, ExternalPredictions.teaching) == (False, "none")
    assert ExternalPredictions.protocols == {"protocol": {"zero-shot": "zero-shot", "linear-probe": "linear-probe"}}


@pytest.mark.parametrize(
    ("header", "params"),
    [
        ("id,nv,mel,bcc", {}),
        ("image_id,prob.nv,prob.mel,prob.bcc", {}),
        ("isic_id,p_nv,p_mel,p_bcc", {"columns": "p_"}),
        ("name,a,b,c", {"id": "name", "columns": {"bcc": "c", "nv": "a", "mel": "b"}}),
        # the plain names are of something else
        ("id,a,b,c,nv,mel,bcc", {"columns": {"bcc": "c", "nv": "a", "mel": "b"}}),
    ],
)
def test_columns_are_found_or_named(tmp_path: Path, header: str, params: dict[str, Any]) -> None:
    rows = ROWS if header.count(",") == 3 else ROWS.replace("\n", ",x,y,z\n")
    found = model(tmp_path, f"{header}\n{rows}", **params)
    logits = found.answers(IDS)
    assert logits.dtype == np.float32 and logits.shape == (2, 3)
    assert np.allclose(softmax(logits), EXPECTED, atol=1e-6)
    # in the order that is asked for, any number of times
    assert np.array_equal(found.answers(["i1", "i2", "i1"]), logits[[1, 0, 1]])
    assert (found.extra(IDS), found.extra(["i1", "i2", "other"])) == (1, 0)


def test_logits_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "id,label,logit.bcc,logit.nv,logit.mel\ni1,nv,-3,1e3,2.5\ni2,mel,0,-1,7\n"
    assert model(tmp_path, text, scale="logits").answers(IDS).tolist() == [[-1, 7, 0], [1000, 2.5, -3]]


def test_probabilities_that_are_called_logits_are_refused(tmp_path: Path) -> None:
    rows = ["0.2,0.3,0.5", "0.1,0.8,0.1"]
    text = "id,nv,mel,bcc\n" + "".join(f"{name},{row}\n" for name, row in zip(IDS, rows, strict=True))
    assert "every row lies in 0..1 and sums to 1" in problems(model(tmp_path, text, scale="logits"))
    # a row that does not is enough: those are no probabilities
    text = text.replace("0.1,0.8,0.1", "0.1,0.8,0.4")
    assert model(tmp_path, text, scale="logits").answers(IDS).shape == (2, 3)


def test_a_probability_of_zero_has_the_logarithm_of_the_floor(tmp_path: Path) -> None:
    text = "id,nv,mel,bcc\ni1,1,0,1e-14\n"
    said = model(tmp_path, text).answers(["i1"])[0]
    assert said == pytest.approx([0, np.log(1e-12), np.log(1e-12)], rel=1e-6)
    assert model(tmp_path, text, floor=0.001).answers(["i1"])[0][1] == pytest.approx(np.log(0.001))
    # what stands above the floor keeps its order
    assert np.ptp(model(tmp_path, text, floor=1e-30).answers(["i1"])[0][1:]) > 30


@pytest.mark.parametrize("positive", ["malignant", "benign"])
@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_one_column_answers_a_task_of_two_classes(tmp_path: Path, positive: str, scale: str) -> None:
    values = (0.2, 0.9) if scale == "probabilities" else (np.log(0.25), np.log(9))
    task = api.Task(name="malignancy", classes=BINARY.classes, positive=positive)
    text = "id,score\n" + "".join(f"i{i},{value!r}\n" for i, value in enumerate(map(float, values), 1))
    found = softmax(model(tmp_path, text, task, scale=scale, positive="score").answers(IDS))
    assert np.allclose(found[:, task.classes.index(positive)], [0.9, 0.2], atol=1e-6)


def test_missing_answers_are_counted_and_the_first_named(tmp_path: Path) -> None:
    ids = ["i1", *(f"x{i}" for i in range(23))]
    said = problems(model(tmp_path, f"id,nv,mel,bcc\n{ROWS}"), ids)
    assert said.startswith("scores.csv has no answer for 23 of 24 images\n  x0\n")
    assert "  x9\n  and 13 more" in said and "x10" not in said
    said = problems(model(tmp_path, f"id,nv,mel,bcc\n{ROWS}".replace("i2", "i2.jpg")))
    assert "for 1 of 2 images\n  i2\n  the table has 'i2.jpg'" in said
    assert "the table has 'i2': " in problems(model(tmp_path, f"id,nv,mel,bcc\n{ROWS}"), ["d/i2.jpg"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("i1,.1,.2,.7", "line 5: 'i1' stands on line 2 already, with the same content"),
        ("i1,.2,.1,.7", "line 5: 'i1' stands on line 2 already, and contradicts it in nv, mel"),
        ("i3,nan,.5,.5", "line 5: nv is 'nan', which is not finite"),
        ("i3,.5,inf,.5", "line 5: mel is 'inf', which is not finite"),
        ("i3,.5,1e39,.5", "line 5: mel is '1e39', which is not finite"),
        ("i3,.5,,.5", "line 5: mel is '', no number"),
        ("i3,.5,0_5,.5", "line 5: mel is '0_5', no number"),
        ('i3,.5,"0,5",0', "line 5: mel is '0,5', no number"),
        ("i3,1.5,-.25,-.25", "line 5: 1.5 is no probability"),
        ("i3,.5,.6,-.1", "line 5: -0.1 is no probability"),
        ("i3,.5,.25,.24", "line 5: the probabilities sum to 0.99, not to 1"),
        ("i3,.5,.5", "line 5: 3 cells instead of 4"),
        (",.5,.5,0", "line 5: no id"),
    ],
)
def test_wrong_rows_are_told_by_line(tmp_path: Path, row: str, said: str) -> None:
    told = problems(model(tmp_path, f"id,nv,mel,bcc\n{ROWS}{row}\n"))
    assert told == f"scores.csv cannot be used: 1 problem(s)\n  scores.csv, {said}"


def test_rounding_is_no_mistake(tmp_path: Path) -> None:
    text = "id,nv,mel,bcc\ni1,.333,.333,.333\ni2,1.0000001,-1e-7,0\n"
    found = softmax(model(tmp_path, text).answers(IDS))
    assert np.allclose(found, [[1, 0, 0], [1 / 3] * 3], atol=1e-6)
    assert "sum to 0.999" in problems(model(tmp_path, text, tolerance=0.0005))


def test_many_wrong_rows_are_counted(tmp_path: Path) -> None:
    text = "id,nv,mel,bcc\n" + "".join(f"i{i},2,0,0\n" for i in range(500))
    lines = problems(model(tmp_path, text)).splitlines()
    assert lines[0] == "scores.csv cannot be used: 500 problem(s)"
    assert len(lines) == 22 and lines[-1] == "  and 480 more"


@pytest.mark.parametrize(
    ("header", "params", "said"),
    [
        ("file,nv,mel,bcc", {}, "none of id, image_id, isic_id is a column; `id` names"),
        ("id,image_id,nv,mel,bcc", {}, "id and image_id are columns; `id` says which"),
        ("id,nv,mel", {}, "column 'bcc' is missing"),
        ("id,logit.nv,logit.mel,logit.bcc", {}, "column 'prob.nv' is missing"),
        ("id,prob.nv,prob.mel,prob.bcc,prob.scc", {}, "column 'prob.scc' is of no class"),
        ("id,nv,mel,bcc,prob.nv,prob.mel,prob.bcc", {}, "nv and prob.nv are columns; `columns` says which"),
        ("id,a,b", {"columns": {"nv": "a", "mel": "b", "scc": "c"}}, "`columns` names no column of the class 'bcc'"),
        ("id,a,b", {"columns": {"nv": "a", "mel": "b", "scc": "c"}}, "`columns` names 'scc', which is no class"),
        ("id,a,b", {"columns": {"nv": "a", "mel": "a", "bcc": "b"}}, "column 'a' stands for two classes"),
        ("id,a,b", {"columns": {"nv": "a", "mel": "b", "bcc": "d"}}, "column 'd' is missing"),
        ("id,a,b", {"id": "name", "columns": "x."}, "column 'name' is missing"),
        ("id,score", {"positive": "score"}, "`positive` is for tasks of two classes"),
    ],
)
def test_columns_that_do_not_fit_the_task(tmp_path: Path, header: str, params: dict[str, Any], said: str) -> None:
    told = problems(model(tmp_path, f"{header}\n", **params))
    assert told.startswith("scores.csv does not fit the task diagnosis (nv, mel, bcc)\n") and said in told
    assert f"\n  its columns: {', '.join(header.split(','))}" in told


@pytest.mark.parametrize(
    ("header", "params", "another"),
    [
        ("id,prob.benign,prob.malignant", {}, True),
        ("id,prob.nv,prob.mel,prob.bcc,prob.benign,prob.malignant", {}, True),
        ("id,a,b", {"columns": {"benign": "a", "malignant": "b"}}, True),
        ("id,score", {"positive": "score"}, True),
        ("id,nv,mel", {}, False),
        ("file,nv,mel,bcc", {}, False),
        ("id;nv;mel;bcc", {}, False),
    ],
)
def test_a_file_that_may_answer_another_task_is_told_the_way_out(
    tmp_path: Path, header: str, params: dict[str, Any], another: bool
) -> None:
    told = problems(model(tmp_path, f"{header}\n", **params))
    assert ("`derive: TASK` beside `params`" in told and "`tasks: [TASK]`" in told) is another


def test_one_file_answers_two_tasks_in_columns_named_as_the_classes(tmp_path: Path) -> None:
    text = "id,prob.nv,prob.mel,prob.bcc,benign,malignant\ni1,.1,.2,.7,.6,.4\ni2,.5,.25,.25,.9,.1\n"
    for given in (text, text.replace("prob.", "")):
        assert np.allclose(softmax(model(tmp_path, given).answers(IDS)), EXPECTED, atol=1e-6)
        assert np.allclose(softmax(model(tmp_path, given, BINARY).answers(IDS)), [[0.1, 0.9], [0.4, 0.6]], atol=1e-6)


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    assert "no rows below the header" in problems(model(tmp_path, "id,nv,mel,bcc\n"))
    assert "not UTF-8" in problems(_raw(tmp_path, b"id,nv,mel,bcc\n\xff,1,0,0\n"))
    assert "it has one column, 'id;nv;mel;bcc'; separate columns by commas" in problems(
        model(tmp_path, "id;nv;mel;bcc\ni1;1;0;0\n")
    )
    assert "column 'nv' stands 2 times" in problems(model(tmp_path, "id,nv,nv,bcc\ni1,1,0,0\n"))
    gone = _raw(tmp_path, b"")
    (tmp_path / "scores.csv").unlink()
    with pytest.raises(api.DataMissing, match=r"there is no file .*scores\.csv"):
        gone.answers(IDS)


def _raw(folder: Path, content: bytes) -> ExternalPredictions:
    made = model(folder, "")
    (folder / "scores.csv").write_bytes(content)
    return made


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"source": ""}, "`source` is empty"),
        ({"positive": "a", "columns": "b"}, "`positive` names the one column that counts"),
    ],
)
def test_params_that_contradict_each_other(tmp_path: Path, params: dict[str, str], said: str) -> None:
    with pytest.raises(api.PluginError, match=said):
        model(tmp_path, "", **params)


def test_many_answers_are_read_in_little_time(tmp_path: Path) -> None:
    classes = tuple(f"c{i}" for i in range(8))
    ids = [f"ISIC_{i:07d}" for i in range(40_000)]
    row = ",".join(["0.125"] * 8)
    text = f"id,{','.join(classes)}\n" + "".join(f"{name},{row}\n" for name in ids)
    big = model(tmp_path, text, api.Task(name="many", classes=classes))
    began = time.process_time()
    assert big.answers(ids[::-1]).shape == (40_000, 8)
    assert time.process_time() - began < 5
