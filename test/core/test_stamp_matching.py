"""Items of several streams, matched by their stamps."""

from __future__ import annotations

import pytest

from jetson_detect.core.stamp_matching import StampMatcher


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_set_is_ready_when_its_last_item_comes_in_any_order(order: str) -> None:
    matcher = StampMatcher({"a", "b"})
    assert matcher.add(order[0], 5, order[0]) == []
    assert matcher.add(order[1], 6, "of another stamp") == []
    assert matcher.add(order[1], 5, order[1]) == [{"a": "a", "b": "b"}]


def test_a_second_copy_of_a_finished_set_is_ignored() -> None:
    matcher = StampMatcher({"a", "b"})
    for _ in range(2):
        matcher.add("a", 5, 1)
        ready = matcher.add("b", 5, 2)
    assert ready == []


def test_the_oldest_makes_room_and_is_given_if_nothing_required_is_missing() -> None:
    matcher = StampMatcher({"a"}, {"b"}, capacity=2)
    assert matcher.add("b", 1, "useless alone") == []
    assert matcher.add("a", 2, "worth something") == []
    assert matcher.add("a", 3, "x") == []
    assert matcher.add("a", 4, "y") == [{"a": "worth something"}]
    assert matcher.add("b", 2, "too late") == []
    assert matcher.flush() == [{"a": "x"}, {"a": "y"}]
    assert matcher.flush() == []


def test_a_stamp_of_zero_and_an_unknown_kind_match_nothing() -> None:
    matcher = StampMatcher({"a"})
    assert matcher.add("a", 0, 1) == []
    assert matcher.add("z", 1, 1) == []
    assert matcher.flush() == []
