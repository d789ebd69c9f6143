"""Show all that is known of engines, as JSON."""

from __future__ import annotations

import argparse

from jetson_detect.commands.engine_cache.chosen_entries import choose_entries
from jetson_detect.core.engines.cache import EngineCache
from jetson_detect.core.engines.entry import SIDECAR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this verb takes."""
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="keys, or models; else all")


def run(options: argparse.Namespace, cache: EngineCache) -> int:
    """Show them; returns the exit status."""
    for entry in choose_entries(cache, options.engines):
        print((entry.folder / SIDECAR).read_text(encoding="utf-8"), end="")
    return 0
