"""``diagnostic_msgs/DiagnosticStatus`` of the machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from diagnostic_msgs.msg import DiagnosticStatus

from jetson_detect.conversion.diagnostics import to_key_values
from jetson_detect.core.board_health import BoardHealth, BoardReading, Seriousness

_LEVELS = {
    Seriousness.HINT: DiagnosticStatus.OK,
    Seriousness.WARNING: DiagnosticStatus.WARN,
    Seriousness.ERROR: DiagnosticStatus.ERROR,
}


def to_board_status(health: BoardHealth, name: str) -> DiagnosticStatus:
    """Tell how the machine is, and what to do about it.

    Parameters
    ----------
    health:
        Of the machine.
    name:
        Of the component, as tools show it.

    Returns
    -------
    OK, also with hints, WARN or ERROR; ``hardware_id`` is the board's model, or the machine's name.
    Keys, where the machine has such a thing: ``power mode``, ``temperature: ZONE (C)``,
    ``throttled by``, ``over-current events: NAME``, ``GPU clock (MHz)``, ``memory available (MB)``,
    ``swap used (MB)``, ``shared memory free (MB)``, ``hint N``.

    """
    serious = [each for each in health.concerns if each.seriousness is not Seriousness.HINT]
    hints = [each for each in health.concerns if each.seriousness is Seriousness.HINT]
    values = dict(_values(health.reading))
    values.update({f"hint {number}": each.text for number, each in enumerate(hints, start=1)})
    return DiagnosticStatus(
        level=_LEVELS[health.worst],
        name=name,
        message="; ".join(each.text for each in serious) or "nothing holds the detector back",
        hardware_id=health.reading.model or platform.node(),
        values=to_key_values(values),
    )


def _values(reading: BoardReading) -> Iterator[tuple[str, str]]:
    if reading.power_mode is not None:
        yield "power mode", str(reading.power_mode)
    for zone in reading.zones:
        yield f"temperature: {zone.name} (C)", f"{zone.celsius:.1f}"
    if reading.alerts:
        yield "throttled by", ", ".join(reading.alerts)
    for name, count in reading.over_current.items():
        yield f"over-current events: {name}", str(count)
    if reading.gpu_clock is not None:
        clock = reading.gpu_clock
        yield "GPU clock (MHz)", f"{clock.now:.0f} ({clock.lowest:.0f} to {clock.highest:.0f})"
    memory = reading.memory
    for key, number, total in (
        ("memory available (MB)", memory.available_mb, memory.total_mb),
        ("swap used (MB)", memory.swap_used_mb, memory.swap_total_mb),
        ("shared memory free (MB)", memory.shared_free_mb, memory.shared_total_mb),
    ):
        if number is not None and total is not None:
            yield key, f"{number:.0f} of {total:.0f}"
