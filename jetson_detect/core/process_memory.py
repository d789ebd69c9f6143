"""How much memory this process takes."""

from __future__ import annotations

from pathlib import Path


def resident_mb() -> float:
    """Return this process's resident memory in megabytes; 0 where Linux's /proc is missing."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return float(line.split()[1]) / 1024
