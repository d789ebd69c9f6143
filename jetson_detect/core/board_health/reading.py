"""What a machine says of itself at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PowerMode:
    """What ``nvpmodel`` has set."""

    number: int
    name: str
    """Empty if ``/etc/nvpmodel.conf`` does not tell."""
    fastest: PowerMode | None = None
    """The one without a power limit (``MAXN``…), if this is another."""

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.number})"


@dataclass(frozen=True)
class ThermalZone:
    """A temperature, and those at which something happens; in degrees Celsius."""

    name: str
    celsius: float
    throttles_at: float | None = None
    """Lowest passive trip point: clocks are lowered from here on."""
    shuts_down_at: float | None = None
    """Lowest critical trip point."""


@dataclass(frozen=True)
class GpuClock:
    """The GPU's clock, in MHz."""

    now: float
    lowest: float
    highest: float
    """Both as the governor is allowed to go now."""


@dataclass(frozen=True)
class MemoryReading:
    """Memory, in MB (2**20 bytes); None where nobody tells."""

    total_mb: float | None = None
    available_mb: float | None = None
    swap_total_mb: float | None = None
    swap_used_mb: float | None = None
    swapped_in_mb: float | None = None
    """Read back from swap since the machine was started."""
    shared_total_mb: float | None = None
    """Of ``/dev/shm``, through which images come."""
    shared_free_mb: float | None = None


@dataclass(frozen=True)
class BoardReading:
    """All of it; empty where a machine has no such thing."""

    model: str = ""
    """As the device tree names the board; empty on machines without one."""
    power_mode: PowerMode | None = None
    zones: tuple[ThermalZone, ...] = ()
    alerts: tuple[str, ...] = ()
    """Names of the alerts that are on, as ``gpu-throttle-alert``."""
    over_current: Mapping[str, int] = field(default_factory=dict)
    """How often each over-current event has throttled the board since it was started."""
    gpu_clock: GpuClock | None = None
    memory: MemoryReading = MemoryReading()
