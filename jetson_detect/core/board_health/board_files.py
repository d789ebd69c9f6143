"""The files in which Linux, on Jetson boards NVIDIA's, tells how the machine is.

Paths and meanings: "Linux Generic Thermal Sysfs driver" (docs.kernel.org/driver-api/thermal), and
"Platform Power and Performance" of the NVIDIA Jetson Linux Developer Guide, releases 35 (JetPack 5)
and 36 (JetPack 6).  All of them can be read without being root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from jetson_detect.core.board_health.reading import (
    BoardReading,
    GpuClock,
    MemoryReading,
    PowerMode,
    ThermalZone,
)

_KILOBYTE_MB = 1 / 1024
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_UNREAL_ZONES = ("PMIC-Die",)
"""On boards before Orin it says 100 °C for ever."""
_COLDEST = -50.0
"""A zone that is switched off says -256 °C."""
_OVER_CURRENT = "soctherm_oc"
"""The name of the hwmon device that counts over-current events, on Orin and later."""
_GPU_CLOCKS = ("*.gpu", "*.ga10b", "*.gv11b", "*.gp10b", "gpu-gpc-*")
"""Of Orin, Xavier, TX2 and Thor under ``/sys/class/devfreq``; of the Nano the first."""


class BoardFiles:
    """Reads how the machine is."""

    def __init__(
        self, root: Path = Path("/"), statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    ) -> None:
        """Take a note of where the files are.

        Parameters
        ----------
        root:
            The folder that holds ``sys``, ``proc``, ``etc``, ``var`` and ``dev``.
        statvfs:
            Tells the size of the file system that a path is on.

        """
        self._root = root
        self._statvfs = statvfs

    def read(self) -> BoardReading:
        """Read all of it; what is not there, or cannot be read now, is left out."""
        return BoardReading(
            model=_text(self._root / "proc/device-tree/model"),
            power_mode=self._power_mode(),
            zones=tuple(self._zones()),
            alerts=tuple(sorted(self._alerts())),
            over_current=dict(self._over_current()),
            gpu_clock=self._gpu_clock(),
            memory=self._memory(),
        )

    def _power_mode(self) -> PowerMode | None:
        # nvpmodel itself wants to be root on some releases; this is where it keeps what it set.
        match = re.search(r"pmode:(\d+)", _text(self._root / "var/lib/nvpmodel/status"))
        if match is None:
            return None
        number = int(match[1])
        names = {
            int(mode[1]): mode[2]
            for mode in re.finditer(
                r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>",
                _text(self._root / "etc/nvpmodel.conf"),
                re.MULTILINE,
            )
        }
        # By name: on some boards the fastest mode has the highest number, on others the lowest.
        fastest = [each for each in names.items() if each[1].startswith("MAXN")]
        # MAXN_SUPER where there is one: the longer name.
        best = max(fastest, key=lambda each: len(each[1]), default=None)
        return PowerMode(
            number,
            names.get(number, ""),
            PowerMode(*best) if best is not None and best[0] != number else None,
        )

    def _zones(self) -> Iterator[ThermalZone]:
        for folder in self._folders("sys/class/thermal", "thermal_zone*"):
            name, millidegrees = _text(folder / "type"), _number(folder / "temp")
            # Zones of parts that are asleep cannot be read: EAGAIN.
            if not name or millidegrees is None or name in _UNREAL_ZONES:
                continue
            if millidegrees / 1e3 < _COLDEST:
                continue
            trips: dict[str, list[float]] = {}
            for path in folder.glob("trip_point_*_type"):
                trip = _number(path.with_name(path.name.replace("_type", "_temp")))
                if trip is not None and trip > 0.0:
                    trips.setdefault(_text(path), []).append(trip / 1e3)
            yield ThermalZone(
                name,
                millidegrees / 1e3,
                min(trips.get("passive", ()), default=None),
                min(trips.get("critical", ()), default=None),
            )

    def _alerts(self) -> Iterator[str]:
        """Cooling devices that lower clocks by themselves, or warn: a state above 0 is "on"."""
        for folder in self._folders("sys/class/thermal", "cooling_device*"):
            name = _text(folder / "type")
            if name.endswith("-alert") and (_number(folder / "cur_state") or 0.0) > 0.0:
                yield name

    def _over_current(self) -> Iterator[tuple[str, int]]:
        for folder in self._folders("sys/class/hwmon", "hwmon*"):
            if _text(folder / "name") == _OVER_CURRENT:
                for path in sorted(folder.glob("oc*_event_cnt")):
                    count = _number(path)
                    if count is not None:
                        yield path.name.partition("_")[0], int(count)

    def _gpu_clock(self) -> GpuClock | None:
        folders = (
            folder
            for pattern in _GPU_CLOCKS
            for folder in self._folders("sys/class/devfreq", pattern)
        )
        for folder in folders:
            now, lowest, highest = (
                _number(folder / f"{name}_freq") for name in ("cur", "min", "max")
            )
            if now is not None and lowest is not None and highest is not None:
                return GpuClock(now / 1e6, lowest / 1e6, highest / 1e6)
        return None

    def _memory(self) -> MemoryReading:
        kilobytes = {
            match[1]: int(match[2]) * _KILOBYTE_MB
            for match in re.finditer(
                r"^(\w+):\s+(\d+) kB", _text(self._root / "proc/meminfo"), re.MULTILINE
            )
        }
        swap_total, swap_free = kilobytes.get("SwapTotal"), kilobytes.get("SwapFree")
        pages = re.search(r"^pswpin (\d+)", _text(self._root / "proc/vmstat"), re.MULTILINE)
        shared_total = shared_free = None
        try:
            shared = self._statvfs(self._root / "dev/shm")
        except OSError:
            pass
        else:
            shared_total = shared.f_blocks * shared.f_frsize / 2**20
            shared_free = shared.f_bavail * shared.f_frsize / 2**20
        return MemoryReading(
            total_mb=kilobytes.get("MemTotal"),
            available_mb=kilobytes.get("MemAvailable"),
            swap_total_mb=swap_total,
            swap_used_mb=swap_total - swap_free
            if swap_total is not None and swap_free is not None
            else None,
            swapped_in_mb=int(pages[1]) * _PAGE_MB if pages is not None else None,
            shared_total_mb=shared_total,
            shared_free_mb=shared_free,
        )

    def _folders(self, parent: str, pattern: str) -> list[Path]:
        """List what matches, by number: thermal_zone2 before thermal_zone10."""
        return sorted(
            (self._root / parent).glob(pattern), key=lambda path: (len(path.name), path.name)
        )


def _text(path: Path) -> str:
    """Return what a file says; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
