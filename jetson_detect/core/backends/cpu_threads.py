"""How many threads an inference on the CPU gets."""

from __future__ import annotations

import os

from jetson_detect.core.backends.base import BackendOptions

_MOST_BY_DEFAULT = 4
"""More gain little on the networks that boards run, and leave nothing to the rest of a robot."""


def cpu_threads(options: BackendOptions) -> int:
    """Return the number that was asked for, else one for each of up to four cores."""
    return options.threads or max(1, min(_MOST_BY_DEFAULT, os.cpu_count() or 1))
