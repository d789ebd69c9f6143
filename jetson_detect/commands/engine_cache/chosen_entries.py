"""The engines that are named on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from jetson_detect.core.engines.cache import EngineCache, Entry


def choose_entries(cache: EngineCache, names: Sequence[str]) -> list[Entry]:
    """Return the engines with these keys' beginnings, or of these models; all for none.

    Raises
    ------
    ValueError
        If a name is that of none.

    """
    entries = [*cache.entries(), *cache.entries(rejected=True)]
    if not names:
        return entries
    chosen: list[Entry] = []
    for name in names:
        found = [entry for entry in entries if name == entry.identity.model]
        found = found or [entry for entry in entries if entry.key.startswith(name)]
        if not found:
            there = ", ".join(f"{entry.key[:12]} ({entry.identity.model})" for entry in entries)
            raise ValueError(f"no engine is called '{name}'; there are {there or 'none'}")
        chosen += [entry for entry in found if entry not in chosen]
    return chosen
