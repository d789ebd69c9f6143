from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.report.chosen_frames import EvenlySpaced, Worst


def spaced(count: int, length: int) -> tuple[list[int], int]:
    """What is kept of so many numbers, and how many were made."""
    made = []
    chosen: EvenlySpaced[int] = EvenlySpaced(count)
    for number in range(length):
        chosen.offer(lambda number=number: made.append(number) or number)
    return chosen.kept, len(made)


def test_a_short_stream_is_kept_whole():
    assert spaced(3, 6) == ([0, 1, 2, 3, 4, 5], 6)


def test_every_other_item_goes_when_there_are_twice_as_many_as_wanted():
    assert spaced(3, 7)[0] == [0, 2, 4, 6]
    assert spaced(3, 100)[0] == [0, 32, 64, 96]


@given(count=st.integers(1, 20), length=st.integers(0, 500))
def test_what_is_kept_lies_evenly_and_is_between_one_and_two_times_as_many_as_wanted(count, length):
    kept, made = spaced(count, length)
    assert min(count, length) <= len(kept) <= 2 * count
    gaps = {after - before for before, after in pairwise(kept)}
    assert len(gaps) <= 1
    assert not kept or length - 1 - kept[-1] < max(gaps, default=1)
    # Each doubling of the distance makes at most as many again as are wanted.
    assert made <= 2 * count + count * max(gaps, default=1).bit_length()


@given(badness=st.lists(st.integers(0, 9), max_size=60), count=st.integers(0, 12))
def test_the_worst_are_kept_worst_first_and_of_equals_the_earlier(badness, count):
    worst: Worst[int] = Worst(count)
    for number, value in enumerate(badness):
        worst.offer((value,), lambda number=number: number)
    expected = sorted(range(len(badness)), key=lambda number: (-badness[number], number))
    assert worst.kept == expected[:count]


def test_an_item_that_is_not_among_the_worst_is_never_made():
    worst: Worst[str] = Worst(1)
    worst.offer((2.0,), lambda: "bad")
    worst.offer((1.0,), lambda: 1 // 0)
    assert worst.kept == ["bad"]
