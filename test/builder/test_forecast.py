from __future__ import annotations

import pytest

from jetson_detect.builder.forecast import Forecast

KNOWN = Forecast({"convert": 10.0, "build": 80.0, "prove": 10.0})


def test_a_first_build_is_as_far_as_its_stage_says_and_nobody_knows_for_how_long():
    first = Forecast({"convert": 10.0, "build": None})
    assert first.total_s is None
    assert first.fraction("build", 0.25, 5.0) == 0.25
    assert first.fraction("build", None, 5.0) is None
    assert Forecast({}).total_s is None


def test_stages_count_by_how_long_they_took_before():
    assert KNOWN.total_s == 100.0
    assert KNOWN.fraction("convert", None, 5.0) == pytest.approx(0.05)
    assert KNOWN.fraction("build", None, 40.0) == pytest.approx(0.5)
    assert KNOWN.fraction("prove", None, 0.0) == pytest.approx(0.9)


def test_what_a_stage_says_of_itself_goes_before_the_clock():
    assert KNOWN.fraction("build", 0.75, 1.0) == pytest.approx(0.7)


def test_a_stage_that_takes_longer_than_ever_is_never_done_before_it_ends():
    assert KNOWN.fraction("build", None, 1000.0) == pytest.approx(0.1 + 0.8 * 0.99)
    assert KNOWN.fraction("build", 1.0, 0.0) == pytest.approx(0.1 + 0.8 * 0.99)


def test_what_is_no_stage_of_a_build_only_tells_of_itself():
    assert KNOWN.fraction("identify", None, 1.0) is None
