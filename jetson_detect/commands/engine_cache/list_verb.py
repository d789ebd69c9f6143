"""List the engines, and those that failed their proof."""

from __future__ import annotations

import argparse

from rich import box
from rich.console import Console
from rich.table import Table

from jetson_detect.core.engines.cache import EngineCache, Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this verb takes."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, cache: EngineCache) -> int:
    """List them; returns the exit status."""
    promoted, rejected = cache.entries(), cache.entries(rejected=True)
    console = Console(soft_wrap=options.json)
    if options.json:
        rows = [{**each.summary(), "folder": str(each.folder)} for each in (*promoted, *rejected)]
        console.print_json(data=rows)
        return 0
    if not promoted and not rejected:
        print(f"{cache.folder}: no engine was built yet; build_engine MODEL builds one")
        return 0
    _print(console, "engines", promoted)
    _print(console, "failed their proof, not for use", rejected)
    print(f"{cache.size_bytes / (1 << 20):.0f} MB in {cache.folder}")
    return 0


def _print(console: Console, title: str, entries: tuple[Entry, ...]) -> None:
    if not entries:
        return
    rows = [entry.summary() for entry in entries]
    table = Table(*rows[0], title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
