from __future__ import annotations

import time

from jetson_detect.core.timing import time_runs


def test_times_leave_out_the_warm_up():
    calls: list[None] = []
    times = time_runs(lambda: calls.append(None), warm_up=3, runs=7)
    assert len(calls) == 10
    assert times.shape == (7,)
    assert (times > 0).all()


def test_times_are_milliseconds():
    (elapsed,) = time_runs(lambda: time.sleep(0.02), warm_up=0, runs=1)
    assert 20 <= elapsed < 2000
