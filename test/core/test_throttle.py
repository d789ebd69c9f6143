from __future__ import annotations

from jetson_detect.core.throttle import Throttle


def test_one_message_is_let_through_in_each_period():
    now = [5.0]
    throttle = Throttle(10.0, lambda: now[0])
    said = []
    for now[0] in (5.0, 5.1, 14.9, 15.0, 15.1, 40.0):
        if throttle.permits():
            said.append(now[0])
    assert said == [5.0, 15.0, 40.0]


def test_what_is_said_of_one_thing_keeps_nothing_silent_of_another():
    throttle = Throttle(10.0, lambda: 0.0)
    asked = ["front", "rear", "front", "rear", None]
    assert [throttle.permits(about) for about in asked] == [True, True, False, False, True]
