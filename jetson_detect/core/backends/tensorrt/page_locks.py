"""Memory of others that is page-locked, so that the GPU can read it directly."""

from __future__ import annotations

import ctypes
import logging
import threading

import numpy as np
from numpy.typing import NDArray

from jetson_detect.core.backends.tensorrt.source_format import address_of
from jetson_detect.core.tensorrt_library.driver import CudaDriver, CudaDriverError

_logger = logging.getLogger(__name__)

_PORTABLE, _DEVICEMAP = 1, 2
"""CU_MEMHOSTREGISTER_PORTABLE: for all contexts; CU_MEMHOSTREGISTER_DEVICEMAP: the GPU has an
address for it."""

LIMIT = 32
"""Pieces of memory that one backend locks; locked memory cannot be swapped out or moved."""

_users: dict[tuple[int, int], int] = {}
"""How many use a piece, by address and size: the driver locks it only once for the process, and two
backends may read the same pictures while one takes the other's place."""
_users_guard = threading.Lock()


class PageLocks:
    """What one backend has locked; all calls need the GPU's context to be current."""

    def __init__(self, driver: CudaDriver) -> None:
        """Lock nothing yet."""
        self._driver = driver
        self._pieces: list[tuple[int, int, int]] = []
        """Address, end, and what has to be added to get the GPU's address."""
        self._kept: list[NDArray[np.uint8]] = []
        """So that the memory is not freed while it is locked."""

    def lock(self, memory: NDArray[np.uint8]) -> bool:
        """Lock C-contiguous memory; return whether that succeeded."""
        start, size = address_of(memory), memory.nbytes
        if self.shift_of(start, size) is not None:
            return True
        if len(self._pieces) >= LIMIT:
            _logger.warning("more than %d pieces of memory hold pictures: copied", LIMIT)
            return False
        try:
            with _users_guard:
                if (start, size) not in _users:
                    self._register(start, size)
                _users[start, size] = _users.get((start, size), 0) + 1
            self._pieces.append((start, start + size, self._device_address(start) - start))
        except CudaDriverError as error:
            if (start, size) in _users:
                self._give_up(start, size)
            _logger.warning("memory of pictures cannot be page-locked, they are copied: %s", error)
            return False
        self._kept.append(memory)
        return True

    def shift_of(self, address: int, size: int) -> int | None:
        """Return what has to be added to get the GPU's address of locked memory; else None."""
        for start, end, shift in self._pieces:
            if start <= address and address + size <= end:
                return shift
        return None

    def close(self) -> None:
        """Unlock all; may be called twice."""
        pieces, self._pieces = self._pieces, []
        for start, end, _ in pieces:
            self._give_up(start, end - start)
        self._kept.clear()

    def _register(self, start: int, size: int) -> None:
        self._driver.call(
            "cuMemHostRegister_v2",
            ctypes.c_void_p(start),
            ctypes.c_size_t(size),
            ctypes.c_uint(_PORTABLE | _DEVICEMAP),
        )

    def _device_address(self, start: int) -> int:
        address = ctypes.c_void_p()
        self._driver.call(
            "cuMemHostGetDevicePointer_v2",
            ctypes.byref(address),
            ctypes.c_void_p(start),
            ctypes.c_uint(0),
        )
        return address.value or 0

    def _give_up(self, start: int, size: int) -> None:
        with _users_guard:
            left = _users.pop((start, size), 1) - 1
            if left:
                _users[start, size] = left
                return
            try:
                self._driver.call("cuMemHostUnregister", ctypes.c_void_p(start))
            except CudaDriverError as error:
                _logger.warning("memory of pictures was not unlocked: %s", error)
