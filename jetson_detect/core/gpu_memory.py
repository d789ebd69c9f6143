"""How much of the GPUs' memory is in use, as NVIDIA's management library (NVML) tells it.

Asked of the driver and not of a library that runs networks, so that it means the same for all of
them: tensors, kernels, workspace and the CUDA context of the process.  Functions and structures:
NVML API Reference, "Device Queries".
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any

LIBRARY = "libnvidia-ml.so.1"

_MEGABYTE = 1 << 20
_MOST_PROCESSES = 1024
_NOT_AVAILABLE = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE"""


class _Memory(ctypes.Structure):
    """``nvmlMemory_t``, of its first version."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _ProcessInfo(ctypes.Structure):
    """``nvmlProcessInfo_t``, of its third version."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class _NvmlError(RuntimeError):
    """The library is missing, does not start, or does not tell what it is asked."""


def used_gpu_mb() -> float | None:
    """Return what all processes together hold on all GPUs, in megabytes.

    None where nobody tells: there is no NVML, or no GPU that it knows, as on many Jetsons, whose
    GPU uses the CPU's memory.
    """
    try:
        with _nvml() as nvml:
            return nvml.used_bytes() / _MEGABYTE
    except _NvmlError:
        return None


def process_gpu_mb(used_before_mb: float | None) -> float | None:
    """Return what this process holds on all GPUs, in megabytes; None where nobody tells.

    Parameters
    ----------
    used_before_mb:
        :func:`used_gpu_mb` from before the process started.  In a container NVML does not list the
        processes inside: then the answer is by how much the memory in use has grown since, which
        is right as long as no other process takes or gives back any meanwhile.

    """
    try:
        with _nvml() as nvml:
            listed = nvml.process_bytes(os.getpid())
            if listed is not None:
                return listed / _MEGABYTE
            if used_before_mb is None:
                return None
            return max(0.0, nvml.used_bytes() / _MEGABYTE - used_before_mb)
    except _NvmlError:
        return None


@contextlib.contextmanager
def _nvml() -> Iterator[_Nvml]:
    try:
        nvml = _Nvml(ctypes.CDLL(LIBRARY))
    except OSError as error:
        raise _NvmlError(str(error)) from error
    nvml.call("nvmlInit_v2")
    try:
        yield nvml
    finally:
        with contextlib.suppress(_NvmlError):
            nvml.call("nvmlShutdown")


class _Nvml:
    """The library between its start and its end."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def call(self, function: str, *arguments: Any) -> None:
        try:
            status = int(getattr(self._library, function)(*arguments))
        except AttributeError as error:  # an older driver
            raise _NvmlError(f"NVML has no {function}") from error
        if status:
            raise _NvmlError(f"{function}: error {status}")

    def used_bytes(self) -> int:
        used = 0
        for device in self._devices():
            memory = _Memory()
            self.call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
            used += memory.used
        return used

    def process_bytes(self, process: int) -> int | None:
        """Return None where the process is not listed: it has no GPU memory, or is not seen."""
        found: list[int] = []
        for device in self._devices():
            infos = (_ProcessInfo * _MOST_PROCESSES)()
            count = ctypes.c_uint(_MOST_PROCESSES)
            with contextlib.suppress(_NvmlError):
                self.call(
                    "nvmlDeviceGetComputeRunningProcesses_v3", device, ctypes.byref(count), infos
                )
                found += [each.used for each in infos[: count.value] if each.pid == process]
        return sum(found) if found and _NOT_AVAILABLE not in found else None

    def _devices(self) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint()
        self.call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        if not count.value:
            raise _NvmlError("NVML knows no GPU")
        devices = [ctypes.c_void_p() for _ in range(count.value)]
        for index, device in enumerate(devices):
            self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(device))
        return devices
