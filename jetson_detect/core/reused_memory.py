"""Memory for pictures that is used again when nobody looks at it any more."""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_SPARE = 4
"""Pieces kept for later: as many as a pipelined backend holds, and one to fill."""


class Lease(Generic[T]):
    """What an array and its views hold on to; gives the memory back when the last one is gone.

    ``np.asarray`` makes the array.
    """

    __slots__ = ("__array_interface__", "_free", "_memory")

    def __init__(
        self,
        memory: T,
        free: deque[T],
        address: int,
        shape: tuple[int, ...],
        is_read_only: bool = False,
    ) -> None:
        """Lend the bytes from an address on.

        Parameters
        ----------
        memory:
            What keeps them.
        free:
            Where that goes when nobody looks at them any more.  At its other end a deque with a
            length drops what nobody needs.
        address:
            Of the first byte.
        shape:
            Of the array, which is of uint8 and C-contiguous.
        is_read_only:
            Whether it can be looked at only.

        """
        self._memory = memory
        self._free = free
        self.__array_interface__ = {
            "data": (address, is_read_only),
            "shape": shape,
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        # The piece used last is the next to be used, as its bytes are still in the cache.
        self._free.append(self._memory)


class ReusedMemory:
    """Gives arrays without a new page of memory for each frame.

    A large array that is made for a frame costs more than its filling: the system clears each of
    its pages.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=_SPARE)

    def array(self, *shape: int) -> NDArray[np.uint8]:
        """Return an array of uint8, C-contiguous, with any content.

        Its memory is given out again when it is gone, and with it all that was made from it without
        a copy.
        """
        size = math.prod(shape)
        memory = self._take(size)
        if memory is None:
            memory = np.empty(max(size, 1), np.uint8)
        array: NDArray[np.uint8] = np.asarray(Lease(memory, self._free, memory.ctypes.data, shape))
        return array

    def _take(self, size: int) -> NDArray[np.uint8] | None:
        """Return the piece used last of those that are large enough; any thread may."""
        for _ in range(len(self._free)):
            try:
                memory = self._free.pop()
            except IndexError:
                break
            if memory.size >= size:
                return memory
            # Of a smaller picture, which will want it again.
            self._free.appendleft(memory)
        return None
