"""List, show, verify and remove the engines that were built on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jetson_detect.commands.build_arguments import add_cache_arguments, open_cache
from jetson_detect.commands.engine_cache import clear_verb, list_verb, show_verb, verify_verb
from jetson_detect.core.engines.cache import CacheError

_VERBS = {
    "list": list_verb,
    "show": show_verb,
    "verify": verify_verb,
    "clear": clear_verb,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 if something is wrong with an engine, 2."""
    parser = argparse.ArgumentParser(prog="engine_cache", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in _VERBS.items():
        summary = (verb.__doc__ or "").split("\n")[0]
        verb_parser = verbs.add_parser(name, help=summary, description=summary)
        add_cache_arguments(verb_parser)
        verb.add_arguments(verb_parser)
    options = parser.parse_args(arguments)
    try:
        status: int = _VERBS[options.verb].run(options, open_cache(options))
    except (CacheError, ValueError) as error:
        print(f"engine_cache: {error}", file=sys.stderr)
        return 2
    return status
