"""Items of several streams brought together by their stamps."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Any


class StampMatcher:
    """Brings together what has the same stamp, in whatever order it arrives.

    Sets that wait are bounded: the oldest makes room.  A stamp of 0 is none and matches nothing.
    """

    def __init__(
        self, required: Collection[str], optional: Collection[str] = (), capacity: int = 64
    ) -> None:
        """Make an empty one.

        Args:
            required: the kinds without which a set is worth nothing.
            optional: the kinds that are waited for, but only as long as there is room.
            capacity: sets that may wait.
        """
        self._required = frozenset(required)
        self._all = self._required | frozenset(optional)
        self._capacity = capacity
        self._waiting: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._finished: deque[int] = deque(maxlen=capacity)

    def add(self, kind: str, stamp_ns: int, item: Any) -> list[dict[str, Any]]:
        """Add an item; return the sets that are ready now, each by kind."""
        if stamp_ns == 0 or kind not in self._all or stamp_ns in self._finished:
            return []
        waiting = self._waiting.setdefault(stamp_ns, {})
        waiting[kind] = item
        ready = []
        if waiting.keys() >= self._all:
            ready.append(self._waiting.pop(stamp_ns))
            self._finished.append(stamp_ns)
        elif len(self._waiting) > self._capacity:
            evicted_stamp, evicted = self._waiting.popitem(last=False)
            if evicted.keys() >= self._required:
                ready.append(evicted)
                self._finished.append(evicted_stamp)
        return ready

    def flush(self) -> list[dict[str, Any]]:
        """Return the sets that lack something optional only, and forget all others."""
        ready = [each for each in self._waiting.values() if each.keys() >= self._required]
        self._waiting.clear()
        return ready
