"""Suites written to do harm, with the exact refusal of each; `tests/unit/suite/broken` holds those that err in good
faith."""

from __future__ import annotations

from pathlib import Path

import hostile
import pytest
from planning import plan_of
from suite_files import load

from dermae_bench.errors import BenchError, SuiteError
from tests.counting import record_count

GOOD = (hostile.SUITE_TESTS / "good_small.yaml").read_text()


def put(old: str, new: str, text: str = GOOD) -> bytes:
    """The good suite with one place changed."""
    assert old in text
    return text.replace(old, new, 1).encode()


STEPS = "steps: 10,"
CELLS = "fits and draws (rows x tasks x seeds); at most 20,000 are planned"
chain = "".join(f"  s{i}: s{i - 1}\n" for i in range(1, 400))
wide = "".join(f"  a{i}: [a{i - 1}, b{i - 1}]\n  b{i}: [a{i - 1}, b{i - 1}]\n" for i in range(1, 29))
drawn = "  a0: {samples: guided, count: 3}\n  b0: {samples: guided, count: 4}\n"
classifiers = "".join(f"  n{i}: {{plugin: timm, budget: short, params: {{arch: a}}}}\n" for i in range(2_500))
named = ", ".join(f"n{i}" for i in range(2_500))

HAND: dict[str, tuple[bytes, list[str]]] = {
    "python object": (
        b"!!python/object/apply:os.system ['touch /tmp/canary']\n",
        ["1:1: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed"],
    ),
    "python name": (
        put("plugin: phantom", "plugin: !!python/name:os.system x"),
        ["3:19: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed"],
    ),
    "binary": (put("suite: small", "suite: !!binary c21hbGw="), ["2:8: tag 'tag:yaml.org,2002:binary' is not allowed"]),
    "alias bomb": (
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        ["1:4: anchor &a is not allowed", "2:4: anchor &b is not allowed"],
    ),
    "an alias of itself": (b"a: &a [*a]\n", ["1:4: anchor &a is not allowed"]),
    "merge key": (put("seeds: [0, 1]", "<<: {seeds: [0]}"), ["5:1: unknown key '<<'"]),
    "merge loop": (b"a: &a {<<: *a}\n", ["1:4: anchor &a is not allowed"]),
    "10,000 levels of lists": (b"[" * 10_000, ["1:51: nested deeper than 50 levels"]),
    "10,000 levels of mappings": (b"{a: " * 10_000, ["1:201: nested deeper than 50 levels"]),
    "10,000 dashes": (b"- " * 10_000, ["1:101: nested deeper than 50 levels"]),
    "duplicate keys": (put("version: 1", "version: 1\nversion: 1"), ["2:1: key 'version' is given twice"]),
    "a list as key": (b"? [a, b]\n: 1\n", ["1:3: a key is a word, not a list or a mapping"]),
    "NUL": (put("suite: small", "suite: sm\0all"), ["2:10: a NUL byte: it is no text file, or it is UTF-16"]),
    "escape": (put("suite: small", "suite: sm\x1b[2Jall"), ["2:10: control character '\\x1b' is not allowed"]),
    "mark inside": (put("suite: small", "suite: sm\ufeffall"), ["2:10: control character '\\ufeff' is not allowed"]),
    "UTF-16": (GOOD.encode("utf-16"), ["1:1: it is UTF-16"]),
    "UTF-16 unmarked": (GOOD.encode("utf-16-le"), ["1:2: a NUL byte: it is no text file, or it is UTF-16"]),
    "UTF-32": (GOOD.encode("utf-32-be"), ["1:1: a NUL byte: it is no text file, or it is UTF-16"]),
    "Latin-1": (
        put("suite: small", "description: caf\u00e9").replace(b"\xc3\xa9", b"\xe9"),
        ["2:17: byte 0xe9 is not UTF-8"],
    ),
    "surrogate": (put("small", "small@").replace(b"@", b"\xed\xa0\x80"), ["2:13: byte 0xed is not UTF-8"]),
    "tab": (put("  short", "\tshort"), ["7:1: this line holds a tab"]),
    "1e999": (put(STEPS, "steps: 1e999,"), ["7:18: expected a whole number, got inf"]),
    "not a number": (put("batch_size: 4", "batch_size: 4, clip: .nan"), ["7:43: nan is not a finite number"]),
    "no": (put("tasks: [diagnosis", "compile: no\ntasks: [diagnosis"), ["4:10: expected false, got text 'no'"]),
    "on": (put("tasks: [diagnosis", "compile: on\ntasks: [diagnosis"), ["4:10: expected false, got text 'on'"]),
    "old octal": (put("seeds: [0, 1]", "seeds: [007, 7]"), ["5:14: seed 7 is given twice"]),
    "new octal": (put("seeds: [0, 1]", "seeds: [0o7, 0x7]"), ["5:14: seed 7 is given twice"]),
    "sexagesimal": (put(STEPS, "steps: 12:30:00,"), ["7:18: expected a whole number, got text '12:30:00'"]),
    "date": (put("version: 1", "version: 2026-11-21"), ["1:10: expected 1, got text '2026-11-21'"]),
    "10^30 steps": (
        put(STEPS, f"steps: {10**30},"),
        [f"7:18: {10**30} is too large: whole numbers have at most 63 bits"],
    ),
    "5,000 digits": (
        put(STEPS, f"steps: {'9' * 5_000},"),
        [f"7:18: expected a whole number, got text '{'9' * 60}'..."],
    ),
    "minus zero": (put(STEPS, "steps: -0,"), ["7:18: 0 is out of range: at least 1"]),
    "a million characters": (
        put("suite: small", f"suite: {'x' * 1_000_000}"),
        [f"2:8: '{'x' * 80}' cannot be the name of a suite"],
    ),
    "two megabytes": (b"# " + b"x" * 2_000_000, ["1:1: it has 2,000,002 bytes; at most 1,048,576 are read"]),
    "a million seeds": (
        put("[0, 1]", f"[{','.join(map(str, range(160_000)))}]"),
        ["5:288785: more than 50,000 values"],
    ),
    "too many seeds": (
        put("[0, 1]", f"[{','.join(map(str, range(40_000)))}]"),
        [f"5:1: the suite asks for 160,002 {CELLS}"],
    ),
    "seeds multiplied": (
        put("seeds: [0, 1]", f"seeds: {{generator: {list(range(200))}, classifier: {list(range(200))}}}"),
        [f"5:1: the suite asks for 80,800 {CELLS}"],
    ),
    "100,000 rows": (
        put("rows:\n  - {classifiers: cnn", "rows:\n" + "  - {classifiers: cnn}\n" * 30_000 + "  - {classifiers: cnn"),
        ["16656:19: more than 50,000 values"],
    ),
    "10^5 stages": (
        put(
            "  cnn:",
            classifiers + "  cnn:",
            put(
                "- {classifiers: cnn, train: train}",
                f"- {{classifiers: [{named}], train: train}}\n"
                f"  - {{classifiers: [{named}], train: more}}\n  - {{classifiers: [{named}], train: val}}",
            ).decode(),
        ),
        [f"5:1: the suite asks for 30,006 {CELLS}"],
    ),
    "a chain of sets": (
        put("  more:", "  s0: train\n" + chain + "  more:"),
        ["44:3: 's30' is the end of a chain of more than 30 that are made one from the other"],
    ),
    "sets that double": (
        put("  more:", drawn + wide + "  more:"),
        ["30:3: 'a8' consists of 256 splits and samples; at most 200 are allowed"],
    ),
    "a set of itself": (
        put("  more:", "  me: [me]\n  more:"),
        ["14:3: goes in a circle: image set 'me' -> image set 'me'"],
    ),
    "two sets of each other": (
        put("  more:", "  x: y\n  y: x\n  more:"),
        ["14:3: goes in a circle: image set 'x' -> image set 'y' -> image set 'x'"],
    ),
    "a generator of its own samples": (
        put("guided: {", "guided: {images: more, "),
        ["14:3: goes in a circle: image set 'more' -> generator 'guided' -> image set 'more'"],
    ),
    "a teacher of itself": (
        put("  cnn: {plugin: timm", "  cnn: {plugin: distilled, teacher: {classifier: cnn, train: train}"),
        ["18:3: goes in a circle: classifier 'cnn' -> classifier 'cnn'"],
    ),
    "unknown plugin": (put("plugin: phantom", "plugin: phantoom"), ["3:19: unknown dataset 'phantoom'"]),
    "a module as plugin": (put("plugin: phantom", "plugin: os.system"), ["3:19: unknown dataset 'os.system'"]),
    "a path as plugin": (
        put("plugin: phantom", "plugin: ../../etc/passwd"),
        ["3:19: unknown dataset '../../etc/passwd'"],
    ),
    "environment in a name": (put("suite: small", "suite: ${HOME}"), ["2:8: '${HOME}' cannot be the name of a suite"]),
    "a path as name": (put("suite: small", "suite: ../x"), ["2:8: '../x' cannot be the name of a suite"]),
    "the store's name": (put("suite: small", "suite: store"), ["2:8: 'store' cannot be the name of a suite"]),
    "emoji name": (
        put("  short:", "  \U0001f9a0: {steps: 1, batch_size: 1}\n  short:"),
        ["7:3: '\U0001f9a0' cannot be a name"],
    ),
    "formula name": (
        put("  short:", "  '=1+1': {steps: 1, batch_size: 1}\n  short:"),
        ["7:3: '=1+1' cannot be a name"],
    ),
    "markup name": (put("  short:", "  <b>: {steps: 1, batch_size: 1}\n  short:"), ["7:3: '<b>' cannot be a name"]),
    "a name of 100,000": (
        put("  short:", f"  ? {'n' * 100_000}\n  : {{steps: 1, batch_size: 1}}\n  short:"),
        [f"7:5: '{'n' * 80}' cannot be a name"],
    ),
    "image size": (
        put("image_size: 32", f"image_size: {10**9}"),
        ["3:49: 1000000000 is out of range: at least 8 and at most 1024"],
    ),
    "no document": (b"---\n...\n", ["2:1: a suite is a mapping of keys, not null"]),
    "two documents": (GOOD.encode() + b"---\nversion: 1\n", ["24:1: a second document begins here"]),
    "directive": (b"%YAML 9.9\n---\nversion: 1\n", ["1:1: not valid YAML: found incompatible YAML document"]),
    "block scalar": (put("suite: small", "suite: |\n  small"), ["2:8: 'small\\n' cannot be the name of a suite"]),
    "quoted number": (put("version: 1", "version: '1'"), ["1:10: expected 1, got text '1'"]),
    "JSON": (b'{"version": 1, "version": 2}', ["1:16: key 'version' is given twice"]),
    "a picture": (b"\x89PNG\r\n\x1a\n", ["1:1: byte 0x89 is not UTF-8"]),
    "comments alone": (b"# nothing\n", ["1:1: the file is empty"]),
}
LONG = ("a million seeds", "too many seeds", "100,000 rows", "10^5 stages")
"""Half a second each: to be refused, they have to be long."""
PLANNED: dict[str, bytes] = {
    "a mark of order, and CRLF": b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
    "10^18 samples": put("count: 10,", f"count: {10**18},"),
    "10^12 of each class": put("per_class: 5", f"per_class: {10**12}"),
    "63 bits of steps": put(STEPS, f"steps: {2**63 - 1},"),
    "environment in a text": put("suite: small", "suite: small\ndescription: ${HOME} $(id) `id` {{7*7}} %s"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in HAND])
def test_it_is_refused_exactly_so(name: str, tmp_path: Path) -> None:
    data, expected = HAND[name]
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with hostile.bounded(), pytest.raises(SuiteError) as caught:
        load(path)
    found = [f"{p.place.line}:{p.place.column}: {p.message}" for p in caught.value.problems if p.place]
    assert [one for one in expected if one not in found] == []
    assert caught.value.exit_code == 2
    record_count("inputs fuzzed: suites", 1)


@pytest.mark.parametrize("name", PLANNED)
def test_it_is_planned_all_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(PLANNED[name])
    with hostile.bounded():
        planned = plan_of(path, tmp_path)
    assert len(planned.stages) == 70
    if "text" in name:
        assert planned.loaded.suite.description.startswith("${HOME} $(id)")


def test_there_are_enough() -> None:
    assert len(HAND) >= 60
    with pytest.raises(BenchError):
        load(Path("no such file.yaml"))
