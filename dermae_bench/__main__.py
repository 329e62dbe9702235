"""``dermae-bench`` and ``python -m dermae_bench``: Ctrl-C ends it quietly from its first moment on."""

import signal
import sys


def main() -> None:
    """Import the command line, which a Ctrl-C simply ends, and run it with Python's own way of telling of one."""
    before = signal.getsignal(signal.SIGINT)
    # one that is ignored, as under nohup, stays ignored
    heeded = callable(before)
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # not at the top: what is imported there is imported before the line above
    from dermae_bench.cli import main as run

    try:
        if heeded:
            signal.signal(signal.SIGINT, before)
        run()
    except KeyboardInterrupt:
        # a command has its own words for it: this came just before one began, or when it was over
        sys.exit(130)


if __name__ == "__main__":
    main()
