"""What can go wrong, and how the command line leaves when it does.

Every error that a user may meet derives from `BenchError`, says what is wrong, where, and what to do,
and carries the exit code of the command line. Anything else that escapes is a defect of the harness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, FAILED, USAGE, NOTHING_MATCHED, INCONCLUSIVE, STORAGE = 0, 1, 2, 3, 4, 74


class BenchError(Exception):
    """Base of all errors of the harness.

    Args:
        message: what is wrong, in one sentence, with the offending name or path.
        hint: what to do about it.
    """

    exit_code = FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


def brief(reason: str) -> str:
    """One line of a reason that may have many: its first two, which say what and where or what to do.

    How many follow is not said: a line may itself stand for several, and a reason may say its number at the beginning.
    """
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    rest = " (and more)" if len(lines) > 2 else ""
    return "; ".join(line.rstrip(";") for line in lines[:2]) + rest


class UserError(BenchError):
    """Something is wrong in what the user wrote: a suite, a flag, a path, a plugin's name."""

    exit_code = USAGE


class DataError(UserError):
    """A dataset cannot be read as it lies there. Lists every offending name, not only the first."""

    def __init__(self, message: str, names: Sequence[str] = (), *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.names = tuple(names)

    def __str__(self) -> str:
        return "\n".join(
            [self.message, *(f"  {name}" for name in self.names), *([f"  {self.hint}"] if self.hint else [])]
        )


class DataMissing(DataError):
    """The files that a dataset or a weights parameter names are not there."""


class PluginError(UserError):
    """A plugin is unknown, cannot be imported, clashes with another or breaks its contract."""


class NothingMatched(BenchError):
    """`--only` / `--skip` left nothing to do."""

    exit_code = NOTHING_MATCHED


class StorageError(BenchError):
    """The store cannot be written or read: disk full, read-only, vanished."""

    exit_code = STORAGE


class StageFailed(BenchError):
    """A stage could not be finished; the rest of the run went on."""


class Diverged(BenchError):
    """A loss or a gradient was not finite.

    Args:
        step: the budget step (0-based) at which it was seen.
    """

    def __init__(self, step: int, what: str = "loss") -> None:
        super().__init__(f"diverged at step {step}: {what} is not finite")
        self.step = step


class InvalidOutput(BenchError):
    """A plugin returned something that its contract does not allow (type, shape, dtype, range)."""


@dataclass(frozen=True)
class Place:
    """Where in a user's file: 1-based line and column."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a suite, with its place, the offending line and a way out."""

    message: str
    place: Place | None = None
    source: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        parts = [head]
        if self.source is not None and self.place is not None:
            gutter = f"{self.place.line:>5} | "
            parts += [gutter + self.source, " " * (len(gutter) + self.place.column - 1) + "^"]
        if self.hint:
            parts.append(f"      {self.hint}")
        return "\n".join(parts)


class SuiteError(UserError):
    """Everything that is wrong in a suite, at once.

    Args:
        more: whether something could not be checked, since it depends on what is wrong.
    """

    def __init__(self, problems: Sequence[Problem], *, more: bool = False) -> None:
        count = len(problems)
        rest = "; once mended, what depends on them is checked as well" if more else ""
        super().__init__(f"{count} error{'s' if count != 1 else ''} in the suite{rest}")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1 and self.problems[0].place is None:
            # it is about the file, not in it
            return str(self.problems[0])
        return "\n".join([*(str(problem) for problem in self.problems), self.message])
