from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jetson_detect.core.backends import BackendError, TensorInfo
from jetson_detect.core.output_check import OutputCheck


def check(array: np.ndarray, shape: tuple[int | None, ...] | None = None) -> None:
    expected = array.shape if shape is None else shape
    OutputCheck(TensorInfo("boxes", expected, array.dtype))(array)


@given(
    st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
        lambda kind: arrays(kind, st.integers(0, 50))
    )
)
def test_what_is_not_finite_is_found_in_any_precision(array):
    if np.isfinite(array).all():
        check(array)
    else:
        with pytest.raises(BackendError, match="numbers that are not finite"):
            check(array)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_largest_and_the_smallest_numbers_are_finite(kind):
    limits = np.finfo(kind)
    check(np.array([limits.max, limits.min, limits.tiny, limits.smallest_subnormal, -0.0], kind))


def test_whole_numbers_are_always_finite():
    check(np.array([0, 2**31 - 1], np.int32))


def test_one_bad_number_after_a_good_frame_is_found_and_counted():
    checked = OutputCheck(TensorInfo("boxes", (1, 4), np.dtype(np.float32)))
    checked(np.zeros((1, 4), np.float32))
    with pytest.raises(BackendError, match="'boxes' has 1 of 4 numbers that are not finite"):
        checked(np.array([[0, 1, np.nan, 2]], np.float32))
    checked(np.zeros((1, 4), np.float32))


def test_a_size_that_is_not_fixed_may_change_from_frame_to_frame():
    checked = OutputCheck(TensorInfo("boxes", (1, None, 4), np.dtype(np.float32)))
    for count in (3, 0, 5):
        checked(np.zeros((1, count, 4), np.float32))
    with pytest.raises(BackendError, match=r"has shape \(1, 3, 5\), not \(1, None, 4\)"):
        checked(np.zeros((1, 3, 5), np.float32))


def test_an_output_whose_shape_the_file_does_not_tell_may_have_any():
    check(np.zeros((1, 10, 4), np.float32), ())


def test_another_number_of_dimensions_is_refused():
    with pytest.raises(BackendError, match=r"has shape \(4,\), not \(1, 4\) as described"):
        check(np.zeros(4, np.float32), (1, 4))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_are_finite_though_their_sum_is_not(kind):
    check(np.full((3, 4), np.finfo(kind).max, kind))


def test_infinities_that_cancel_are_found():
    with pytest.raises(BackendError, match="2 of 4 numbers"):
        check(np.array([np.inf, -np.inf, 0, 1], np.float32))


def test_memory_that_is_neither_contiguous_nor_writable_is_checked_too():
    whole = np.zeros((1, 8, 6), np.float32)
    whole[0, 3, 2] = np.nan
    for view, is_good in ((whole[..., ::2], False), (whole[..., 1::2], True), (whole, False)):
        view.flags.writeable = False
        if is_good:
            check(view)
        else:
            with pytest.raises(BackendError, match="1 of"):
                check(view)


def test_every_half_precision_number_is_told_from_what_is_not_one():
    every = np.arange(2**16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    check(every[np.isfinite(every)])
    for bad in every[~np.isfinite(every)]:
        with pytest.raises(BackendError, match="1 of 3"):
            check(np.array([-2, bad, 3], np.float16))
