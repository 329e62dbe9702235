"""``python -m dermae_bench``."""

from dermae_bench.cli import main

main()
