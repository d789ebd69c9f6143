"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Hardware and the libraries that matter."""

    processor: str
    cores: int
    """That this process may use."""
    python: str
    numpy: str
    opencv: str
    rclpy: str
    transport: str
    """How messages went: ``shared memory 64 MB`` or ``default``."""

    @classmethod
    def here(cls, transport: str) -> Machine:
        """Describe this machine."""
        import cv2

        return cls(
            _processor(),
            len(os.sched_getaffinity(0)),
            platform.python_version(),
            _version("numpy"),
            cv2.__version__,
            _version("rclpy"),
            transport,
        )

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores; Python {self.python}, NumPy {self.numpy}, "
            f"OpenCV {self.opencv}, rclpy {self.rclpy}; transport: {self.transport}"
        )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
