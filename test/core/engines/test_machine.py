from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jetson_detect.core.backends.base import BackendUnavailableError
from jetson_detect.core.engines import machine
from jetson_detect.core.engines.machine import MachineIdentity, read_machine

sys.path.insert(0, str(Path(__file__).parents[2] / "fakes" / "fixtures"))
pytest_plugins = ("gpu_fixture",)


@pytest.fixture(autouse=True)
def system(tmp_path, monkeypatch):
    """The files that tell of driver and L4T; none is there at first."""
    monkeypatch.setattr(machine, "DRIVER_FILES", (tmp_path / "proc", tmp_path / "module"))
    monkeypatch.setattr(machine, "L4T_FILE", tmp_path / "l4t")
    return tmp_path


def test_the_driver_and_tensorrt_say_what_the_machine_is(gpu):
    gpu.use("8.6.0")
    assert read_machine() == MachineIdentity("8.6.0", "Fake Orin", "8.7", "CUDA 12.6", "")
    assert gpu.machine.leaks() == []


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        (
            "proc",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC "
            "2023\nGCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)\n",
            "535.104.05",
        ),
        (
            "proc",
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  "
            "(buildbrain@mobile-u64-6519-d7000)\n",
            "540.4.0",
        ),
        ("module", "560.35.03\n", "560.35.03"),
        ("proc", "nothing of use\n", "CUDA 12.6"),
    ],
)
def test_the_kernel_module_tells_the_drivers_version(gpu, system, file, text, version):
    (system / file).write_text(text)
    assert read_machine().driver == version


def test_jetsons_linux_is_part_of_the_machine(gpu, system):
    (system / "l4t").write_text(
        "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, "
        "DATE: Tue Aug  1 19:57:35 UTC 2023\n"
    )
    assert read_machine().l4t == "35.4.1"
    assert str(read_machine()).endswith("driver CUDA 12.6, L4T 35.4.1")


@pytest.mark.parametrize("device", [1, -1])
def test_a_gpu_that_is_not_there_is_named(gpu, device):
    with pytest.raises(BackendUnavailableError, match=rf"device {device}: .* the driver knows 1"):
        read_machine(device)


def test_a_gpu_that_does_not_answer_is_named(gpu, monkeypatch):
    library = type(machine.open_library().driver._library)
    monkeypatch.setattr(library, "cuDeviceGetName", lambda *_: 100)
    with pytest.raises(BackendUnavailableError, match=r"cuDeviceGetName: CUDA_ERROR_NO_DEVICE"):
        read_machine()
