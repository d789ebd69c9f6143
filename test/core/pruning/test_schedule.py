from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.pruning import PolynomialSchedule, PruningError


def test_sparsity_rises_along_the_cubic_of_zhu_and_gupta():
    schedule = PolynomialSchedule(initial=0.5, final=0.8, steps=4, frequency=10)
    # 0.8 - 0.3 * (1 - t / 40)**3, with 1, 27/64, 1/8, 1/64 and 0 for the cube.
    expected = {0: 0.5, 10: 0.6734375, 20: 0.7625, 30: 0.7953125, 40: 0.8}
    for batch, sparsity in expected.items():
        assert schedule.sparsity(batch) == pytest.approx(sparsity, abs=1e-12)


def test_sparsity_stays_between_two_steps_and_after_the_last():
    schedule = PolynomialSchedule(initial=0.5, final=0.8, steps=4, frequency=10)
    assert schedule.sparsity(19) == schedule.sparsity(10)
    assert schedule.sparsity(10_000) == 0.8
    assert [batch for batch in range(100) if schedule.changes_after(batch)] == [0, 10, 20, 30, 40]


def test_the_rise_takes_whole_steps_within_its_share_of_the_batches():
    # 60 % of 99 batches are 59: five steps of 11.
    schedule = PolynomialSchedule.within(99, 0.5, 0.8, ramp=0.6, frequency=11)
    assert (schedule.steps, schedule.end) == (5, 55)


def test_a_training_too_short_for_one_step_is_refused():
    with pytest.raises(PruningError, match=r"in 0\.6 of 30 batches.*frequency 20; train on more"):
        PolynomialSchedule.within(30, 0.5, 0.8, ramp=0.6, frequency=20)


@given(
    st.floats(0.0, 0.99), st.floats(0.0, 0.99), st.integers(1, 50), st.integers(1, 50), st.data()
)
def test_sparsity_never_falls_nor_leaves_its_bounds(one, other, steps, frequency, data):
    schedule = PolynomialSchedule(min(one, other), max(one, other), steps, frequency)
    batch = data.draw(st.integers(0, 3000))
    now, later = schedule.sparsity(batch), schedule.sparsity(batch + 1)
    assert schedule.initial - 1e-12 <= now <= later + 1e-12
    assert later <= schedule.final + 1e-12
