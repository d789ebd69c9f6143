"""How the machine is: temperatures, throttling, power mode, memory; and what to do about it."""

from __future__ import annotations

from jetson_detect.core.board_health.board_files import BoardFiles
from jetson_detect.core.board_health.board_watch import BoardHealth, BoardWatch
from jetson_detect.core.board_health.judgement import Concern, Seriousness, judge
from jetson_detect.core.board_health.reading import (
    BoardReading,
    GpuClock,
    MemoryReading,
    PowerMode,
    ThermalZone,
)

__all__ = [
    "BoardFiles",
    "BoardHealth",
    "BoardReading",
    "BoardWatch",
    "Concern",
    "GpuClock",
    "MemoryReading",
    "PowerMode",
    "Seriousness",
    "ThermalZone",
    "judge",
]
