"""Memory that a CDR message is written into, seen as bytes, words and numbers at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WORD = 8
"""Bytes of a word, and of the largest type in CDR, which all padding is about."""

ENCAPSULATION = b"\x00\x01\x00\x00"
"""Plain CDR (XCDR1), little endian, no options: RTPS 2.2, 10.2.1.2."""

LEAD = bytes(WORD - len(ENCAPSULATION)) + ENCAPSULATION
"""What stands before the payload.

CDR counts alignment from the payload on; with the blank bytes the payload begins a word of the
memory too, so its numbers can be written as an aligned array.
"""


class CdrBuffer:
    """One piece of memory for messages of any size, one after the other.

    Positions are in words from the start of the memory; :data:`LEAD` is word 0.
    """

    numbers: NDArray[np.float64]
    """A ``float64`` a word."""
    rows: NDArray[np.float64]
    """The numbers as overlapping rows: row ``i`` is ``numbers[i : i + row_words]``."""
    words: NDArray[np.uint64]
    """A ``uint64`` a word."""
    halves: NDArray[np.uint32]
    """Two ``uint32`` a word."""

    def __init__(self, row_words: int, words: int = 4096) -> None:
        """Take memory for so many words, to be written in rows of numbers too."""
        self._row_words = row_words
        self._make(words)

    def fill(self, parts: Iterable[bytes]) -> int:
        """Write the parts one after the other, :data:`LEAD` first; return where they end, in bytes.

        The memory grows if it must; the views of it, and what :meth:`message` returned, are then
        those of the former one.
        """
        content = b"".join(parts)
        if len(content) > len(self._bytes):
            self._make(max(-(-len(content) // WORD), 2 * len(self.numbers)))
        self._bytes[: len(content)] = content
        return len(content)

    def message(self, end: int) -> memoryview:
        """View the message, from its encapsulation to a byte of the memory."""
        return self._bytes[len(LEAD) - len(ENCAPSULATION) : end]

    def _make(self, words: int) -> None:
        self.numbers = np.zeros(words, "<f8")
        self.rows = np.lib.stride_tricks.sliding_window_view(
            self.numbers, self._row_words, writeable=True
        )
        self.words = self.numbers.view("<u8")
        self.halves = self.numbers.view("<u4")
        self._bytes = self.numbers.view(np.uint8).data
