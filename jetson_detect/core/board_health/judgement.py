"""What a machine's readings mean for a detector, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from jetson_detect.core.board_health.reading import BoardReading, MemoryReading

_NEAR_C = 5.0
"""A zone that has so many degrees left before clocks are lowered is worth a warning."""
_SHUTDOWN_C = 2.0
"""A zone that has so many degrees left before the board switches itself off is an error."""
_LOW_MEMORY = 0.05
"""The share of memory that should be available: less, and Linux soon ends processes."""
_SWAPPING_MB_S = 1.0
"""More than this read back from swap costs frames their deadline."""
_SHARED_MB = 67.0
"""What one process of this package takes of /dev/shm (config/fastdds_shared_memory.xml)."""
_OVER_CURRENT = {
    "oc1": "the supply's voltage fell too low",
    "oc2": "the average current was too high",
    "oc3": "the current was too high for a moment",
}
"""Meanings of Orin's events: Jetson Linux Developer Guide, "Over-Current Throttling"."""
_HOT_SURFACE = "hot-surface-alert"


class Seriousness(Enum):
    """How much a concern matters; the value orders them."""

    HINT = 0
    """It works as it was set up; more is possible."""
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True)
class Concern:
    """What is wrong and what to do, in one sentence."""

    seriousness: Seriousness
    text: str
    event: str = ""
    """What happened, for what is over at once: the next of its kind takes this one's place."""


def judge(
    reading: BoardReading, before: BoardReading | None = None, elapsed_s: float = 0.0
) -> tuple[Concern, ...]:
    """Say what a machine's state means, the most serious first.

    Parameters
    ----------
    reading:
        How it is.
    before, elapsed_s:
        How it was, so many seconds ago: what is counted from the machine's start on (over-current
        events, pages read from swap) is judged by what came since.

    """
    concerns = [*_heat(reading), *_memory(reading.memory)]
    if before is not None and elapsed_s > 0.0:
        concerns += _changes(reading, before, elapsed_s)
    concerns += _hints(reading)
    return tuple(sorted(concerns, key=lambda each: -each.seriousness.value))


def _heat(reading: BoardReading) -> Iterator[Concern]:
    cool = (
        "let the fan turn faster (FAN_DEFAULT_PROFILE cool in /etc/nvfancontrol.conf), or take a "
        "lower power mode (sudo nvpmodel -m)"
    )
    throttled = [name for name in reading.alerts if name != _HOT_SURFACE]
    if throttled:
        yield Concern(
            Seriousness.WARNING,
            f"clocks are lowered because of the temperature ({', '.join(throttled)}): {cool}",
        )
    if _HOT_SURFACE in reading.alerts:
        yield Concern(Seriousness.WARNING, "the board's surface is too hot to touch; " + cool)
    for zone in reading.zones:
        limit = zone.shuts_down_at
        if limit is not None and zone.celsius >= limit - _SHUTDOWN_C:
            yield Concern(
                Seriousness.ERROR,
                f"{zone.name} has {zone.celsius:.0f} °C and the board switches itself off at "
                f"{limit:.0f} °C: cool it now",
            )
        elif zone.throttles_at is not None and zone.celsius >= zone.throttles_at - _NEAR_C:
            yield Concern(
                Seriousness.WARNING,
                f"{zone.name} has {zone.celsius:.0f} °C, from {zone.throttles_at:.0f} °C on clocks "
                f"are lowered: {cool}",
            )


def _memory(memory: MemoryReading) -> Iterator[Concern]:
    if memory.total_mb and memory.available_mb is not None:
        share = memory.available_mb / memory.total_mb
        if share < _LOW_MEMORY:
            remedy = "end what is not needed, or run a smaller model"
            if not memory.swap_total_mb:
                remedy += "; there is no swap: add some (fallocate, mkswap, swapon)"
            yield Concern(
                Seriousness.WARNING,
                f"only {memory.available_mb:.0f} MB of memory ({share:.0%}) are left: {remedy}",
            )
    if memory.shared_free_mb is not None and memory.shared_free_mb < _SHARED_MB:
        yield Concern(
            Seriousness.WARNING,
            f"/dev/shm has {memory.shared_free_mb:.0f} MB left, and a process with images takes "
            f"{_SHARED_MB:.0f}: images may never arrive; in a container start it with "
            "--shm-size=1g or --ipc=host, else remove what killed processes left "
            "(fastdds shm clean)",
        )


def _changes(reading: BoardReading, before: BoardReading, elapsed_s: float) -> Iterator[Concern]:
    for name, count in reading.over_current.items():
        events = count - before.over_current.get(name, count)
        if events > 0:
            yield Concern(
                Seriousness.WARNING,
                f"clocks were lowered {events} times in {elapsed_s:.0f} s because "
                f"{_OVER_CURRENT.get(name, f'of the over-current event {name}')}: take a stronger "
                "power supply and cable, or a lower power mode (sudo nvpmodel -m)",
                event=name,
            )
    now, then = reading.memory.swapped_in_mb, before.memory.swapped_in_mb
    if now is not None and then is not None and (now - then) / elapsed_s > _SWAPPING_MB_S:
        yield Concern(
            Seriousness.WARNING,
            f"{(now - then) / elapsed_s:.0f} MB/s are read back from swap, and frames wait for "
            "that: end what is not needed, or run a smaller model",
            event="swap",
        )


def _hints(reading: BoardReading) -> Iterator[Concern]:
    mode, clock = reading.power_mode, reading.gpu_clock
    if mode is not None and mode.fastest is not None:
        yield Concern(
            Seriousness.HINT,
            f"power mode {mode}: sudo nvpmodel -m {mode.fastest.number} "
            f"({mode.fastest.name}) is faster and takes more power",
        )
    if clock is not None and clock.lowest < clock.highest:
        yield Concern(
            Seriousness.HINT,
            "the GPU's clock follows the load: sudo jetson_clocks keeps it at "
            f"{clock.highest:.0f} MHz, for a steadier latency",
        )
