"""Read engines from the disk and compare them with what was stored."""

from __future__ import annotations

import argparse

from jetson_detect.commands.engine_cache.chosen_entries import choose_entries
from jetson_detect.core.engines.cache import EngineCache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this verb takes."""
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="keys, or models; else all")


def run(options: argparse.Namespace, cache: EngineCache) -> int:
    """Verify them; returns the exit status: 1 if one is not what was stored."""
    if options.engines:
        entries = choose_entries(cache, options.engines)
        problems = [problem for entry in entries for problem in cache.verify(entry)]
        count = len(entries)
    else:
        problems = list(cache.verify())
        count = len(choose_entries(cache, ()))
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{count} engines are what was stored")
    return 1 if problems else 0
