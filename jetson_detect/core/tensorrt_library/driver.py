"""The CUDA driver, asked before TensorRT is.

TensorRT's own answer to a machine without a GPU is poor: the libraries of 8.6 and the lean ones
end the process with SIGSEGV when they are to load a plan there.
"""

from __future__ import annotations

import ctypes
from typing import Any

from jetson_detect.core.backends.base import BackendUnavailableError

LIBRARY = "libcuda.so.1"


class CudaDriverError(RuntimeError):
    """A call of the driver that failed; the message names the call and CUDA's error."""


class CudaDriver:
    """The driver's library, initialised, on a machine that has a GPU."""

    def __init__(self) -> None:
        """Load and initialise the library.

        Raises
        ------
        BackendUnavailableError
            If there is no driver, it does not start, or it knows no GPU.

        """
        try:
            self._library: Any = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise BackendUnavailableError(
                f"there is no NVIDIA driver ({error}): install it, or start the container with "
                "'--gpus all' (on a Jetson '--runtime nvidia')"
            ) from error
        count, version = ctypes.c_int(), ctypes.c_int()
        try:
            self.call("cuInit", ctypes.c_uint(0))
            self.call("cuDeviceGetCount", ctypes.byref(count))
            self.call("cuDriverGetVersion", ctypes.byref(version))
        except CudaDriverError as error:
            raise BackendUnavailableError(
                f"the NVIDIA driver does not work ({error}): see what nvidia-smi says, "
                "and whether the container was given the GPU"
            ) from error
        if count.value < 1:
            raise BackendUnavailableError(
                "the NVIDIA driver knows no GPU: unset CUDA_VISIBLE_DEVICES, or give the container "
                "the GPU"
            )
        self.device_count = count.value
        # cuDriverGetVersion: 1000 * major + 10 * minor
        self.cuda_version = f"{version.value // 1000}.{version.value % 1000 // 10}"

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the driver by name; other threads run meanwhile.

        Raises
        ------
        CudaDriverError
            If the driver has no such function, or it returns an error.

        """
        try:
            called = getattr(self._library, function)
        except AttributeError as error:
            raise CudaDriverError(f"this driver has no {function}; install a newer one") from error
        status = int(called(*arguments))
        if status:
            raise CudaDriverError(f"{function}: {self._name_of(status)}")

    def _name_of(self, status: int) -> str:
        """Return CUDA's name and description of an error."""
        texts = []
        for function in ("cuGetErrorName", "cuGetErrorString"):
            text = ctypes.c_char_p()
            if getattr(self._library, function)(ctypes.c_int(status), ctypes.byref(text)) == 0:
                texts.append((text.value or b"").decode(errors="replace"))
        return ", ".join(texts) or f"error {status}"
