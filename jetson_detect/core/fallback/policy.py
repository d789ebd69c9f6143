"""When a backend is given up, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass

_BACK_OFF = 2.0
_LONGEST_EXPONENT = 60


@dataclass(frozen=True)
class FallbackPolicy:
    """How patient a fallback chain is with its backends."""

    deadline_s: float = 1.0
    """A frame that takes longer has missed its deadline; 0 for no deadline."""
    missed_deadlines: int = 3
    """So many missed in a row, and the backend is given up; one that never comes back misses one
    for each ``deadline_s`` that it is waited for."""
    load_timeout_s: float = 120.0
    """A backend that is not ready after this long is given up."""
    retry_initial_s: float = 1.0
    """How long after its first failure a backend is tried again; doubled with each further one."""
    retry_maximum_s: float = 60.0
    """The longest wait before a retry.  One that has run this long has its failures forgotten."""

    def retry_delay(self, failures: int) -> float:
        """How many seconds to wait after so many failures in a row, at least one."""
        exponent = min(failures - 1, _LONGEST_EXPONENT)
        return min(self.retry_maximum_s, self.retry_initial_s * _BACK_OFF**exponent)
