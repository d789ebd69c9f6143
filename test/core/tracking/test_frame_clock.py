from __future__ import annotations

import pytest

from jetson_detect.core.tracking.frame_clock import Advance, FrameClock

MS = 1_000_000
START = 1_700_000_000_000_000_000


def fed(*times_ms: float, frame_rate: float = 0.0) -> tuple[FrameClock, list[Advance]]:
    clock = FrameClock(frame_rate)
    return clock, [clock.advance(START + round(time * MS)) for time in times_ms]


def test_the_first_frame_has_missed_nothing():
    assert fed(0)[1] == [Advance(0, False)]


def test_frames_are_counted_whose_stamp_stands_still():
    """Jitter stands still too; a step on or a jump back ends it."""
    clock = FrameClock(20.0)
    times = (0, 0, 0, 50, 50, 40, 50, 100, 100, 0, 0)
    standing = []
    for time in times:
        clock.advance(START + time * MS)
        standing.append(clock.standing)
    assert standing == [0, 1, 2, 0, 1, 2, 3, 0, 1, 0, 1]


@pytest.mark.parametrize(("gap", "missed"), [(50, 0), (74, 0), (76, 1), (100, 1), (249, 4)])
def test_with_a_given_rate_gaps_are_counted_from_the_second_frame_on(gap, missed):
    assert fed(0, gap, frame_rate=20.0)[1][-1] == Advance(missed, False)


def test_the_rate_is_learned_from_five_gaps_of_which_one_may_be_a_pause():
    clock, advances = fed(0, 5000, 5040, 5080, 5120)
    assert clock.period_ns is None
    assert [each.missed for each in advances] == [0] * 5
    clock.advance(START + 5160 * MS)
    assert clock.period_ns == 40 * MS
    assert clock.advance(START + 5280 * MS) == Advance(2, False)


def test_a_camera_that_becomes_slower_is_slower_after_a_while():
    clock, _ = fed(*(40.0 * frame for frame in range(40)))
    advances = [clock.advance(START + (1560 + 120 * frame) * MS) for frame in range(1, 32)]
    assert advances[0].missed == 2
    assert advances[-1].missed == 0
    assert clock.period_ns == 120 * MS


@pytest.mark.parametrize(
    ("back", "went_back"), [(0, False), (1, False), (39, False), (40, True), (99999, True)]
)
def test_a_step_back_by_less_than_a_frame_is_jitter_and_by_more_a_jump(back, went_back):
    clock, _ = fed(*range(0, 400, 40))
    assert clock.advance(START + (360 - back) * MS) == Advance(0, went_back)


def test_a_step_back_while_the_rate_is_unknown_is_a_jump():
    assert fed(0, 40, 39)[1][-1] == Advance(0, True)


def test_after_jitter_the_next_gap_counts_from_the_later_stamp():
    assert fed(0, 50, 25, 120, frame_rate=20.0)[1][-1] == Advance(0, False)


def test_after_a_jump_back_gaps_count_from_there():
    assert fed(0, 50, 100, 0, 100, frame_rate=20.0)[1][-2:] == [Advance(0, True), Advance(1, False)]


def test_stamps_that_do_not_move_are_frames_without_a_gap():
    clock, advances = fed(*[0] * 10)
    assert advances == [Advance(0, False)] * 10
    assert clock.period_ns is None
