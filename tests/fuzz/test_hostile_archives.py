"""Results in archives: sound ones are read, hostile ones refused, and nothing is ever written outside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hostile_archives import GOOD, gzip, hostile, tarred, zipped

from dermae_bench.archives import archive_kind, unpacked, unpacked_words
from dermae_bench.errors import UserError
from tests.counting import record_count

SECONDS = 2.0


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("around", ["", "mine/", "./"])
@pytest.mark.parametrize("end", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_a_results_folder_is_read(tmp_path: Path, end: str, around: str) -> None:
    members = {around + name: data for name, data in GOOD.items()}
    tar = tarred(*[(name, data, {}) for name, data in members.items()])
    if end == ".zip":
        system = {"__MACOSX/._a": b"", f"{around}.DS_Store": b""}
        content = zipped({name.removeprefix("./"): data for name, data in (members | system).items()})
    else:
        content = tar if end == ".tar" else gzip.compress(tar)
    (tmp_path / f"quickstart{end}").write_bytes(content)
    with unpacked(tmp_path / f"quickstart{end}") as folder:
        assert files(folder) == GOOD
        assert folder.name in ("quickstart", "mine")
    assert not folder.exists()


def test_words_that_name_archives_and_rows_become_folders(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(GOOD))
    archive = str(tmp_path / "a.zip")
    with unpacked_words([archive, f"{archive}:vit-b: 1", "vit-*", ""]) as (alone, row, pattern, empty):
        assert files(Path(alone)) == files(Path(row.removesuffix(":vit-b: 1"))) == GOOD
        assert (pattern, empty) == ("vit-*", "")
    assert not Path(alone).exists()


def test_what_is_no_archive_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\n")
    for path in (tmp_path, tmp_path / "a.yaml", tmp_path / "nowhere"):
        assert archive_kind(path) is None
        with unpacked(path) as same:
            assert same == path
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40))
    with pytest.raises(UserError, match=r"a\.7z is a 7z archive"):
        unpacked(tmp_path / "a.7z")


def test_hostile_archives_are_refused_and_write_nothing_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr("dermae_bench.archives.members.FREE_BYTES", 2**20)
    archives = hostile()
    assert len(archives) >= 30
    for name, content in archives.items():
        path = tmp_path / name
        path.write_bytes(content)
        before = files(tmp_path)
        began = time.process_time()
        with pytest.raises(UserError) as caught, unpacked(path):
            pass
        assert time.process_time() - began < SECONDS, name
        assert str(caught.value).startswith(f"{name} is not read: "), name
        assert len(str(caught.value)) < 500 and str(caught.value).isascii() and "\x1b" not in str(caught.value)
        assert files(tmp_path) == before, name
        path.unlink()
    record_count("hostile archives refused", len(archives))


PROGRAM = """
import sys, tempfile
from pathlib import Path
from dermae_bench.archives import members, unpacked
from dermae_bench.errors import UserError
members.FREE_BYTES = 2**20
tempfile.tempdir = sys.argv[2]
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        with unpacked(path):
            raise SystemExit(f"{path} was read")
    except UserError:
        pass
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_saw_no_write_outside(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "scratch").mkdir()
    for name, content in hostile().items():
        (tmp_path / "given" / name).write_bytes(content)
    calls = "open,openat,creat,mkdir,mkdirat,symlink,symlinkat,link,linkat,rename,renameat,renameat2,mknod,mknodat"
    log = tmp_path / "log"
    command = ["strace", "-f", "-o", str(log), "-e", f"trace={calls}", sys.executable, "-B", "-c", PROGRAM]
    words = [*command, str(tmp_path / "given"), str(tmp_path / "scratch")]
    done = subprocess.run(words, capture_output=True, text=True)
    if "ptrace" in done.stderr:
        pytest.skip("this system does not allow strace")
    assert done.returncode == 0, done.stderr
    lines = [line for line in log.read_text(errors="replace").splitlines() if "(" in line]
    opened = [line for line in lines if "open" in line.partition("(")[0]]
    writes = [line for line in opened if re.search(r"O_(CREAT|WRONLY|RDWR)", line) and '"/dev/null"' not in line]
    makes = [line for line in lines if line not in opened]
    assert len(writes) > 5
    assert [line for line in writes + makes if f'"{tmp_path / "scratch"}' not in line] == []
    assert all(re.search(r"\bmkdir(at)?\(", line) for line in makes)
