"""The machine that an engine is built for: a plan runs on its like and nowhere else."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jetson_detect.core.backends.base import BackendUnavailableError, TensorrtRuntime
from jetson_detect.core.tensorrt_library.access import open_library
from jetson_detect.core.tensorrt_library.driver import CudaDriver, CudaDriverError

DRIVER_FILES = (Path("/proc/driver/nvidia/version"), Path("/sys/module/nvidia/version"))
"""Where the kernel module tells its version; the first that is there."""
L4T_FILE = Path("/etc/nv_tegra_release")
"""What tells the release of Jetson's Linux (Linux for Tegra)."""

# enum CUdevice_attribute of cuda.h
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_LONGEST_NAME = 256


@dataclass(frozen=True)
class MachineIdentity:
    """What has to be the same for a plan to run, and to run as fast as it was measured."""

    tensorrt: str
    """Version, as ``8.6.1.6``."""
    gpu: str
    """Name, as the driver tells it."""
    compute_capability: str
    """As ``8.7``."""
    driver: str
    """Version of the kernel module, or ``CUDA 12.6`` where that is not told."""
    l4t: str
    """Release of Jetson's Linux, as ``35.4.1``; empty on other machines."""

    def __str__(self) -> str:
        l4t = f", L4T {self.l4t}" if self.l4t else ""
        return (
            f"{self.gpu} (compute capability {self.compute_capability}), "
            f"TensorRT {self.tensorrt}, driver {self.driver}{l4t}"
        )


def read_machine(
    device: int = 0, runtime: TensorrtRuntime = TensorrtRuntime.FULL
) -> MachineIdentity:
    """Read what an engine that is built or run here depends on; no CUDA context is made.

    Args:
        device: the GPU's index.
        runtime: whose version counts.

    Raises
    ------
    BackendUnavailableError
        If TensorRT, the driver or the GPU are missing.

    """
    library = open_library(runtime)
    name, capability = _read_gpu(library.driver, device)
    return MachineIdentity(
        tensorrt=library.version,
        gpu=name,
        compute_capability=capability,
        driver=_first_match(DRIVER_FILES, _DRIVER_VERSION) or f"CUDA {library.driver.cuda_version}",
        l4t=_first_match((L4T_FILE,), _L4T_RELEASE),
    )


def _read_gpu(driver: CudaDriver, device: int) -> tuple[str, str]:
    """Return name and compute capability."""
    if not 0 <= device < driver.device_count:
        raise BackendUnavailableError(
            f"device {device}: there is no such GPU; the driver knows {driver.device_count}, "
            "counted from 0"
        )
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(_LONGEST_NAME)
    major, minor = ctypes.c_int(), ctypes.c_int()
    try:
        driver.call("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device))
        driver.call("cuDeviceGetName", name, ctypes.c_int(_LONGEST_NAME), handle)
        for value, attribute in (
            (major, _COMPUTE_CAPABILITY_MAJOR),
            (minor, _COMPUTE_CAPABILITY_MINOR),
        ):
            driver.call(
                "cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), handle
            )
    except CudaDriverError as error:
        raise BackendUnavailableError(
            f"device {device}: the GPU does not say what it is ({error}): see what nvidia-smi says"
        ) from error
    return name.value.decode(errors="replace"), f"{major.value}.{minor.value}"


# "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (…)",
# or the version alone.
_DRIVER_VERSION = re.compile(r"(?<![\w.])(\d+(?:\.\d+)+)(?![\w.])")
# "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: …"
_L4T_RELEASE = re.compile(r"R(\d+) .*?REVISION: ?([\d.]+)")


def _first_match(files: Iterable[Path], pattern: re.Pattern[str]) -> str:
    """Return what the pattern's groups find in the first file that has it, joined; or nothing."""
    for file in files:
        try:
            found = pattern.search(file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if found:
            return ".".join(found.groups())
    return ""
