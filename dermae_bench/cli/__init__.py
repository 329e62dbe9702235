"""The command line: words in, calls out. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from dermae_bench import __version__, faults
from dermae_bench.cli import plugins, results, store, suites
from dermae_bench.commands.printing import echo, open_closed_streams
from dermae_bench.errors import FAILED, STORAGE, USAGE, BenchError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="dermae-bench")
def app() -> None:
    """Benchmark generators and classifiers of skin lesions: suites in, leaderboards out.

    A run that was killed goes on where it was: give the same command again.
    """


for command in (
    suites.run, suites.plan, suites.validate, suites.report,
    results.compare, results.verify, results.audit, results.export,
    store.list_, store.show, store.clean, store.import_weights, store.doctor,
    plugins.plugins,
):  # fmt: skip
    app.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and leaves with its exit code; a user's mistake never shows a traceback."""
    if sys.platform == "win32":
        print("dermae-bench needs a POSIX system; on Windows, use WSL", file=sys.stderr)  # noqa: T201
        sys.exit(USAGE)
    open_closed_streams()
    try:
        faults.lead()
        code = app.main(args=arguments, prog_name="dermae-bench", standalone_mode=False)
    except BenchError as error:
        echo(str(error), err=True)
        code = error.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        told = io.StringIO()
        error.show(told)
        # it quotes what was typed
        echo(told.getvalue().rstrip("\n"), err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # the reader of our output went away (as `head` does); nothing is wrong with the run
        sys.stderr.close()
        code = FAILED
    except OSError as error:
        echo(f"{error.filename or 'a file'} cannot be used: {error.strerror}", err=True)
        code = STORAGE
    sys.exit(code if isinstance(code, int) else 0)
