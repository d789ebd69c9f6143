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
    # A process that has just ended has no such line.
    return _status_mb(process, "VmRSS:") or 0.0


def peak_resident_mb() -> float | None:
    """Return the most resident memory that this process ever had, in megabytes.

    None where the kernel does not tell.  Unlike getrusage's, this starts anew with each program:
    proc_pid_status(5), VmHWM.
    """
    return _status_mb(None, "VmHWM:")


def _status_mb(process: int | None, name: str) -> float | None:
    status = Path(f"/proc/{process or 'self'}/status")
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
