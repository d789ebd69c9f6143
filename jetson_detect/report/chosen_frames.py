"""A few items out of a stream whose length nobody knows before its end."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class EvenlySpaced(Generic[T]):
    """Keeps items that lie evenly over the stream, at most twice as many as wanted.

    When there are twice as many, every other one goes, and of those that follow every other one is
    kept, and so on.
    """

    def __init__(self, count: int) -> None:
        """Keep at least ``count`` of a stream that has so many."""
        self._limit = 2 * max(1, count)
        self._step = 1
        self._seen = 0
        self.kept: list[T] = []
        """In the order of the stream."""

    def offer(self, make: Callable[[], T]) -> None:
        """Look at the next item, which is made only if it is kept."""
        number, self._seen = self._seen, self._seen + 1
        if number % self._step:
            return
        if len(self.kept) == self._limit:
            del self.kept[1::2]
            self._step *= 2
        # The limit is even, so that the item is still due after the step has doubled.
        self.kept.append(make())


class Worst(Generic[T]):
    """Keeps the items with the largest badness; of equals, the earlier ones."""

    def __init__(self, count: int) -> None:
        """Keep at most ``count``."""
        self._count = count
        self._seen = 0
        self._heap: list[tuple[tuple[float, ...], int, T]] = []

    def offer(self, badness: tuple[float, ...], make: Callable[[], T]) -> None:
        """Look at the next item, which is made only if it is kept, for the time being."""
        self._seen -= 1
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, (badness, self._seen, make()))
        elif self._heap and badness > self._heap[0][0]:
            heapq.heapreplace(self._heap, (badness, self._seen, make()))

    @property
    def kept(self) -> list[T]:
        """The worst first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2])[::-1]]
