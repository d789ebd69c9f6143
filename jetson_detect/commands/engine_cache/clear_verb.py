"""Remove engines; those that a process uses or builds stay."""

from __future__ import annotations

import argparse

from jetson_detect.commands.engine_cache.chosen_entries import choose_entries
from jetson_detect.core.engines.cache import EngineCache


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this verb takes."""
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="keys, or models")
    parser.add_argument("--all", action="store_true", help="all of them, broken ones too")
    parser.add_argument("--rejected", action="store_true", help="those that failed their proof")


def run(options: argparse.Namespace, cache: EngineCache) -> int:
    """Remove them; returns the exit status: 1 if one had to stay."""
    if sum((bool(options.engines), options.all, options.rejected)) != 1:
        raise ValueError("say what to remove: ENGINEs, --all or --rejected")
    keys = None
    if options.engines:
        keys = [entry.key for entry in choose_entries(cache, options.engines)]
    cleared = cache.clear(keys=keys, promoted=not options.rejected)
    for reason in cleared.kept:
        print(f"stays: {reason}")
    print(f"{cleared.count} engines removed, {cleared.freed_bytes / (1 << 20):.0f} MB freed")
    return 1 if cleared.kept else 0
