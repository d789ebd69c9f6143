"""How much memory a process takes."""

from __future__ import annotations

from pathlib import Path


def resident_mb(process: int | None = None) -> float:
    """Return a process's resident memory in megabytes; 0 where it is gone or /proc is missing.

    Parameters
    ----------
    process:
        Its number; None for this one.

    """
    status = Path(f"/proc/{process or 'self'}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0.0
    # A process that has just ended has no such line.
    resident = next((line for line in lines if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return float(resident.split()[1]) / 1024
