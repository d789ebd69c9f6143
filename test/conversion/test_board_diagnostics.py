from __future__ import annotations

import platform

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.board_diagnostics import to_board_status
from jetson_detect.core.board_health import (
    BoardHealth,
    BoardReading,
    Concern,
    GpuClock,
    MemoryReading,
    PowerMode,
    Seriousness,
    ThermalZone,
)

HINT = Concern(Seriousness.HINT, "more is possible")


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {each.key: each.value for each in status.values}


def test_a_board_is_told_with_all_that_it_has():
    reading = BoardReading(
        model="Orin",
        power_mode=PowerMode(1, "25W"),
        zones=(ThermalZone("cpu-thermal", 51.25, 99.0),),
        alerts=("cpu-throttle-alert", "hot-surface-alert"),
        over_current={"oc1": 3},
        gpu_clock=GpuClock(500.0, 306.0, 1020.0),
        memory=MemoryReading(8000.0, 4000.4, 4000.0, 10.0, 5.0, 1024.0, 512.0),
    )
    status = to_board_status(BoardHealth(reading, (HINT,)), "detector: machine")
    assert status.level == DiagnosticStatus.OK
    assert status.name == "detector: machine"
    assert status.hardware_id == "Orin"
    assert status.message == "nothing holds the detector back"
    assert values(status) == {
        "power mode": "25W (1)",
        "temperature: cpu-thermal (C)": "51.2",
        "throttled by": "cpu-throttle-alert, hot-surface-alert",
        "over-current events: oc1": "3",
        "GPU clock (MHz)": "500 (306 to 1020)",
        "memory available (MB)": "4000 of 8000",
        "swap used (MB)": "10 of 4000",
        "shared memory free (MB)": "512 of 1024",
        "hint 1": "more is possible",
    }


@pytest.mark.parametrize(
    ("seriousness", "level"),
    [
        (Seriousness.WARNING, DiagnosticStatus.WARN),
        (Seriousness.ERROR, DiagnosticStatus.ERROR),
    ],
)
def test_what_is_serious_is_the_message(seriousness, level):
    concerns = (Concern(seriousness, "too hot"), Concern(Seriousness.WARNING, "slow"), HINT)
    status = to_board_status(BoardHealth(BoardReading(), concerns), "machine")
    assert status.level == level
    assert status.message == "too hot; slow"
    assert status.hardware_id == platform.node()
    assert values(status) == {"hint 1": "more is possible"}
