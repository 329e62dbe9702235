"""Results folders of finished suites through the commands: damage is mended, and what is told stays short."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import durable
from dermae_bench.commands import session as commands
from dermae_bench.execute.executor import Outcome
from dermae_bench.store.manifests import Failure
from tests.e2e.conftest import TINY, Bench, Ran, Suite, bench, copied, made_once, suite  # noqa: F401 (fixtures)
from tests.unit.execute.walks import DATA

PLAIN: dict[str, Any] = {
    "extractors": {}, "generators": {}, "image_sets": {}, "generator_rows": [], "sample_metrics": [],
    "rows": [TINY["rows"][0]],
}  # fmt: skip


@pytest.fixture
def plain(shared: Path, warm_backend: Any, tmp_path: Path) -> Ran:
    """A finished suite of one classifier, as if it had been run in `tmp_path`."""
    return copied(made_once(shared / "plain", warm_backend, PLAIN), tmp_path)


@pytest.mark.usefixtures("plain")
def test_damage_under_a_finished_suite_is_mended_before_it_is_shown(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    path = "tiny.yaml"
    folder, place = tmp_path / "results" / "tiny", tmp_path / "results" / "store"
    boards = {name: (folder / name).read_bytes() for name in ("classifiers.json", "predictions.parquet")}
    (table,) = list(place.glob("predict/*/predictions.parquet"))[:1]

    def spoil() -> None:
        data = bytearray(table.read_bytes())
        data[len(data) // 2] ^= 1
        table.write_bytes(data)
        (folder / "classifiers.json").unlink()

    spoil()
    told = bench("report", path)
    assert told.code == 1
    assert "Traceback" not in told.err
    assert "predictions.parquet of store entry predict/" in told.err
    assert bench("run", path).code == 0
    spoil()
    score = next(path for path in sorted(place.glob("score/*/manifest.json")) if '"value":0.' in path.read_text())
    score.write_text(score.read_text().replace('"value":0.', '"value":1.'))
    ran = bench("run", path)
    assert ran.code == 0, ran.err
    assert "predictions.parquet of store entry predict/" in ran.err
    assert "2 done, 0 failed" in ran.err
    assert {name: (folder / name).read_bytes() for name in boards} == boards


def test_a_finished_suite_is_shown_where_nothing_can_be_written(
    bench: Bench,  # noqa: F811
    plain: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, first = "tiny.yaml", plain
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    make = durable._temporary

    def temporary(target: Path) -> Path:
        if "elsewhere" in str(target):
            raise OSError(errno.EROFS, "Read-only file system", str(target))
        return make(target)

    monkeypatch.setattr(durable, "_temporary", temporary)
    again = bench("run", path, "--results", "elsewhere")
    assert (again.code, again.out.splitlines()[:-1]) == (0, first.out.splitlines()[:-1])
    # without the memo too, as long as nothing would change
    shutil.rmtree(tmp_path / "elsewhere" / "store" / "boards")
    again = bench("run", path, "--results", "elsewhere")
    assert (again.code, again.out.splitlines()[:-1]) == (0, first.out.splitlines()[:-1])
    (tmp_path / "elsewhere" / "tiny" / "classifiers.json").write_text("{}")
    assert bench("run", path, "--results", "elsewhere").code == 74


@pytest.mark.usefixtures("plain")
def test_the_resolved_suite_follows_the_suite(bench: Bench, suite: Suite, tmp_path: Path) -> None:  # noqa: F811
    unused = {**TINY["budgets"], "spare": {"steps": 77, "batch_size": 16}}
    ran = bench("run", suite(**PLAIN, budgets=unused))
    assert ran.code == 0
    assert "0 done" in ran.err
    assert "spare" in (tmp_path / "results" / "tiny" / "suite.resolved.yaml").read_text()


def test_reasons_are_one_short_line_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "\x1b[2J" + "long " * 200 + "\nsecond line"
    outcome = Outcome(failed={DATA.key: Failure(key=DATA.key, name=DATA.name, reason=reason, category="crashed")})

    class Session:
        folder = Path("results")

    commands._leave(Session(), outcome)  # type: ignore[arg-type]
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "second line" not in err
    assert max(map(len, err.splitlines())) < 400
