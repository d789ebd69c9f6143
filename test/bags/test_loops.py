from __future__ import annotations

from itertools import islice

import pytest

from jetson_detect.bags.frames import Frame
from jetson_detect.bags.loops import looped
from jetson_detect.bags.reader import BagMessage


def frames_at(*timestamps: int) -> list[Frame]:
    return [
        Frame(BagMessage("/image", "sensor_msgs/msg/Image", at, b""), number, at + 7, ())
        for number, at in enumerate(timestamps)
    ]


@pytest.mark.parametrize(
    ("timestamps", "period"),
    [
        ((1000, 1100, 1200), 300),
        ((1000, 1000, 1100, 1100, 1200, 1200), 300),  # two cameras at the same moments
        ((1000, 1040, 1200), 300),  # 200 long, 100 the mean time between two
        ((1000,), 100_000_000),
    ],
)
def test_each_pass_follows_the_last_after_the_mean_time_between_frames(timestamps, period):
    bag = frames_at(*timestamps)
    played = list(looped(lambda: iter(bag), 3))
    count = len(timestamps)
    assert [frame.loop for frame in played] == [0] * count + [1] * count + [2] * count
    assert [frame.delay_ns for frame in played[::count]] == [0, period, 2 * period]
    assert [frame.position_ns for frame in played] == [
        at + loop * period for loop in range(3) for at in timestamps
    ]
    assert [frame.stamp for frame in played] == [at + 7 for at in timestamps] * 3


def test_zero_times_never_ends_unless_the_bag_is_empty():
    bag = frames_at(0, 10)
    assert [frame.loop for frame in islice(looped(lambda: iter(bag), 0), 7)] == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
    ]
    assert list(looped(lambda: iter([]), 0)) == []
