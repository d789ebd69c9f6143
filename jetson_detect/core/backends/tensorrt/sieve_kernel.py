"""The CUDA kernel that tells candidates apart where the outputs are: ``sieve.cu``."""

from __future__ import annotations

import ctypes

import numpy as np

from jetson_detect.core.backends.tensorrt.kernel import Kernel
from jetson_detect.core.tensorrt_library.driver import CudaDriver

NAME = "sieve"
MOST_TABLES = 2
"""Outputs that it reads; as ``sieve.cu: SieveTask``."""

ELEMENT_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}
"""As in ``sieve.cu: ElementType``."""

_BLOCK = (128, 1)


class SieveTable(ctypes.Structure):
    """An output with a row for each candidate; as ``sieve.cu: SieveTable``."""

    _fields_ = (
        ("source", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("picture_step", ctypes.c_longlong),
        ("candidate_step", ctypes.c_longlong),
        ("column_step", ctypes.c_longlong),
        ("columns", ctypes.c_int),
        ("element_type", ctypes.c_int),
    )


class SieveTask(ctypes.Structure):
    """The kernel's only argument; as ``sieve.cu: SieveTask``."""

    _fields_ = (
        ("tables", SieveTable * MOST_TABLES),
        ("limit", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("found", ctypes.c_void_p),
        ("table_count", ctypes.c_int),
        ("candidate_count", ctypes.c_int),
        ("capacity", ctypes.c_int),
        ("first", ctypes.c_int),
        ("compared", ctypes.c_int),
        ("subtracted", ctypes.c_int),
    )


class SieveKernel(Kernel):
    """The kernel on a GPU; all calls need its context to be current."""

    def __init__(self, driver: CudaDriver) -> None:
        """Load it; see :class:`Kernel` for errors."""
        super().__init__(driver, NAME)

    def find(self, task: SieveTask, pictures: int, stream: ctypes.c_void_p) -> None:
        """Queue the look at all candidates of some pictures; see :meth:`Kernel.launch`."""
        self.launch(task, (task.candidate_count, pictures), _BLOCK, stream)
