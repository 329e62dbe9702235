"""Answers are read from a results folder as they lie there, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dermae_bench.errors import DataError
from dermae_bench.report.evidence import PREDICTIONS, Evidence
from tests.result_folders import Folder, answers, images


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (lambda whole: whole + 0.4, "'label' holds double, not whole numbers"),
        (lambda whole: np.where(whole == 1, np.nan, whole), "'label' holds double, not whole numbers"),
        (lambda whole: whole.astype(np.float32), "'label' holds float, not whole numbers"),
        (lambda whole: whole + 2**32, "are not to 2 classes"),
        (lambda whole: whole - 1, "are not to 2 classes"),
    ],
)
def test_labels_that_are_no_classes_are_refused_and_never_cut(tmp_path: Path, labels: object, reason: str) -> None:
    which = images(lesions=6)
    made = Folder(tmp_path / "suite", metrics=("accuracy",))
    made.row("net", which, [answers(which, 0.9, 0)])
    folder = made.write()
    (key,) = made.predictions
    assert Evidence(folder).predictions(key).labels.tolist() == which.labels.tolist()
    table = pq.read_table(folder / PREDICTIONS)
    assert callable(labels)
    changed = pa.array(labels(table.column("label").to_numpy()))
    place = table.column_names.index("label")
    pq.write_table(table.set_column(place, "label", changed), folder / PREDICTIONS)
    with pytest.raises(DataError, match=reason):
        Evidence(folder).predictions(key)
