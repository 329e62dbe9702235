"""The place that a reason names: the last line of a plugin, not of the library below it or the harness above it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

import pytest

from dermae_bench.errors import Diverged, InvalidOutput
from dermae_bench.execute.telling import told
from dermae_bench.plugin.checking import check

PLUGIN = """\
import json
from io import BytesIO
from PIL import Image
from dermae_bench.plugin.checking import check
from other import helper

def itself():
    raise ValueError("no")

def in_the_standard_library():
    return (
        json.loads("{")
    )

def in_a_library():
    return Image.open(BytesIO(b'no image'))

def in_the_harness():
    return check({}, None)

def in_its_own_helper():
    helper()

def in_what_a_library_calls():
    return max([1, 2], key=lambda value: 1 / 0)

def in_text():
    exec(compile("1 / 0", "<made>", "exec"))

def leaves():
    import sys
    sys.exit(3)
"""
CASES = {
    "itself": "ValueError: no (plugin_of_mine.py:8)",
    "in_the_standard_library": "JSONDecodeError: Expecting property name .* (plugin_of_mine.py:12)",
    "in_a_library": "UnidentifiedImageError: cannot identify .* (plugin_of_mine.py:16)",
    "in_the_harness": "AttributeError: .* (plugin_of_mine.py:19)",
    "in_its_own_helper": "KeyError: 'lost' (other.py:2)",
    "in_what_a_library_calls": "ZeroDivisionError: .* (plugin_of_mine.py:25)",
    "in_text": "ZeroDivisionError: .* (plugin_of_mine.py:28)",
    "leaves": "the plugin called sys.exit(3)",
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "plugin_of_mine.py").write_text(PLUGIN)
    (folder / "other.py").write_text("def helper():\n    return {}['lost']\n")
    about = spec_from_file_location("plugin_of_mine", folder / "plugin_of_mine.py")
    assert about is not None and about.loader is not None
    module = module_from_spec(about)
    sys.path.insert(0, str(folder))
    try:
        about.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("other", None)
    return module


def raised(call: Callable[[], object]) -> BaseException:
    """What it raises, as if nobody but the harness had called it."""
    try:
        call()
    except BaseException as error:
        assert error.__traceback__ is not None
        # the frame of this function, which is no part of the harness
        return error.with_traceback(error.__traceback__.tb_next)
    pytest.fail("it raised nothing")


def reason_of(error: BaseException, root: Path) -> str:
    return str(told(error, root, {})["reason"])


@pytest.mark.parametrize("name", CASES)
def test_the_last_line_of_the_plugin_is_named(plugin: Any, tmp_path: Path, name: str) -> None:
    reason = reason_of(raised(getattr(plugin, name)), tmp_path)
    head, _, tail = CASES[name].partition(".*")
    assert reason.startswith(head) and reason.endswith(tail) and len(reason) >= len(head) + len(tail)


def test_what_no_plugin_raised_has_no_place(tmp_path: Path) -> None:
    assert reason_of(ValueError("never raised"), tmp_path) == "ValueError: never raised"
    calls: dict[str, Callable[[], object]] = {
        "JSONDecodeError: ": lambda: json.loads("{"),
        "AttributeError: ": lambda: check({}, cast("Any", None)),
    }
    for words, call in calls.items():
        error = raised(call)
        assert error.__traceback__ is not None
        # without the line of this test, which is a stranger to the harness too
        reason = reason_of(error.with_traceback(error.__traceback__.tb_next), tmp_path)
        assert reason.startswith(words) and ".py:" not in reason


def test_an_error_of_the_harness_needs_no_place(plugin: Any, tmp_path: Path) -> None:
    def reject() -> None:
        raise InvalidOutput("images are not uint8")

    assert reason_of(raised(reject), tmp_path) == "images are not uint8"
    assert reason_of(raised(lambda: (_ for _ in ()).throw(Diverged(3))), tmp_path).startswith("diverged at step 3: ")


def test_a_place_is_named_without_its_folder(plugin: Any, tmp_path: Path) -> None:
    """Reasons stand in reports that are published."""
    assert str(Path(plugin.__file__).parent) not in reason_of(raised(plugin.itself), tmp_path)


def test_a_traceback_that_cannot_be_looked_at_costs_the_place_alone(plugin: Any, tmp_path: Path) -> None:
    class Shy(Exception):
        @property
        def __traceback__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("do not look")

    assert reason_of(Shy("it broke"), tmp_path) == "Shy: it broke"
