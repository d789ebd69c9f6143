"""How much CPU time another process has used."""

from __future__ import annotations

import ctypes
import os
import time


class ProcessCpu:
    """The CPU clock of a process: user and system time of all threads, ended ones included.

    Nanoseconds, where ``/proc/PID/stat`` counts ticks of 10 ms.  Source: clock_getcpuclockid(3),
    which lets any process read any other's clock.
    """

    def __init__(self, process: int) -> None:
        """Find the clock.

        Parameters
        ----------
        process:
            The process's number.

        Raises
        ------
        ProcessLookupError
            If there is no such process.

        """
        clock = ctypes.c_int()
        error = ctypes.CDLL(None).clock_getcpuclockid(process, ctypes.byref(clock))
        if error:
            raise ProcessLookupError(error, f"process {process}: {os.strerror(error)}")
        self._clock = clock.value

    def seconds(self) -> float:
        """Return the CPU time since the process started, in seconds.

        Raises
        ------
        OSError
            If the process has ended.

        """
        return time.clock_gettime(self._clock)
