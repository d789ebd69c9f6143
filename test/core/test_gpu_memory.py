from __future__ import annotations

import ctypes
import os
import struct
from typing import Any

import pytest

from jetson_detect.core.gpu_memory import process_gpu_mb, used_gpu_mb

MB = 1 << 20
NOT_AVAILABLE = 2**64 - 1
NO_PERMISSION = 4


class StandIn:
    """NVML on a machine with GPUs; writes its structures as nvml.h lays them out."""

    def __init__(self, used_mb: list[int], processes: list[list[tuple[int, int]]]) -> None:
        self.used_mb, self.processes = used_mb, processes
        """Of each GPU; and (pid, bytes) of what runs on each."""
        self.open = 0
        self.failing: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        function = getattr(type(self), f"do_{name}", None)
        if function is None:
            raise AttributeError(name)
        return lambda *arguments: (
            NO_PERMISSION if name in self.failing else function(self, *arguments) or 0
        )

    def do_nvmlInit_v2(self) -> None:  # noqa: N802
        self.open += 1

    def do_nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def do_nvmlDeviceGetCount_v2(self, count: Any) -> None:  # noqa: N802
        count._obj.value = len(self.used_mb)

    def do_nvmlDeviceGetHandleByIndex_v2(self, index: Any, device: Any) -> None:  # noqa: N802
        device._obj.value = 0x1000 + index.value

    def do_nvmlDeviceGetMemoryInfo(self, device: Any, memory: Any) -> None:  # noqa: N802
        used = self.used_mb[device.value - 0x1000] * MB
        packed = struct.pack("QQQ", 80000 * MB, 80000 * MB - used, used)
        ctypes.memmove(memory, packed, len(packed))

    def do_nvmlDeviceGetComputeRunningProcesses_v3(  # noqa: N802
        self, device: Any, count: Any, infos: Any
    ) -> None:
        listed = self.processes[device.value - 0x1000]
        assert count._obj.value >= len(listed)
        count._obj.value = len(listed)
        packed = b"".join(struct.pack("@IQII", *each, 0, 0) for each in listed)
        ctypes.memmove(infos, packed, len(packed))


@pytest.fixture
def nvml(monkeypatch):
    def load(name: str) -> StandIn:
        assert name == "libnvidia-ml.so.1"
        return library

    library = StandIn([700, 50], [[(1, 5 * MB), (os.getpid(), 300 * MB)], [(os.getpid(), 20 * MB)]])
    monkeypatch.setattr(ctypes, "CDLL", load)
    yield library
    assert library.open == 0


def test_what_is_in_use_is_that_of_all_gpus(nvml):
    assert used_gpu_mb() == 750


def test_a_process_that_is_listed_has_what_is_listed_on_all_gpus(nvml):
    assert process_gpu_mb(used_before_mb=0.0) == 320
    assert process_gpu_mb(used_before_mb=None) == 320


@pytest.mark.parametrize("listed", [[], [(1, 5 * MB)], [(os.getpid(), NOT_AVAILABLE)]])
def test_a_process_that_is_not_listed_has_what_came_since_it_started(nvml, listed):
    nvml.processes = [listed, []]
    assert process_gpu_mb(used_before_mb=110.0) == 640
    assert process_gpu_mb(used_before_mb=900.0) == 0  # another process gave something back
    assert process_gpu_mb(used_before_mb=None) is None


def test_a_driver_that_lists_no_processes_still_tells_what_is_in_use(nvml):
    nvml.failing = {"nvmlDeviceGetComputeRunningProcesses_v3"}
    assert process_gpu_mb(used_before_mb=110.0) == 640


def test_a_gpu_that_does_not_tell_is_not_known(nvml):
    nvml.failing = {"nvmlDeviceGetMemoryInfo"}
    assert used_gpu_mb() is None
    nvml.processes = [[], []]
    assert process_gpu_mb(used_before_mb=110.0) is None


def test_a_machine_without_gpus_is_not_known(nvml):
    nvml.used_mb, nvml.processes = [], []
    assert used_gpu_mb() is None
    assert process_gpu_mb(used_before_mb=0.0) is None


def test_a_machine_without_the_library_is_not_known(monkeypatch):
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert used_gpu_mb() is None
    assert process_gpu_mb(used_before_mb=0.0) is None


def test_a_library_that_does_not_start_is_not_known(monkeypatch):
    library = StandIn([700], [[]])
    library.failing = {"nvmlInit_v2"}
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert used_gpu_mb() is None
