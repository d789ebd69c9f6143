"""How long something takes, called again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def time_runs(run: Callable[[], object], warm_up: int, runs: int) -> NDArray[np.float64]:
    """Call something ``warm_up`` times, then time it.

    Returns
    -------
    (runs,): milliseconds of each call.

    """
    for _ in range(warm_up):
        run()
    times = np.empty(runs)
    for index in range(runs):
        start = time.perf_counter()
        run()
        times[index] = time.perf_counter() - start
    return times * 1e3
