from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetson_detect.core.pruning.masks import magnitude_mask, two_of_four_mask


def test_the_smallest_magnitudes_go_whatever_their_sign():
    weights = np.array([[-5.0, 1.0, 2.0], [0.0, -1.5, 4.0]], np.float32)
    assert magnitude_mask(weights, 0.5).tolist() == [[True, False, True], [False, False, True]]


@pytest.mark.parametrize(
    ("sparsity", "pruned"), [(0.0, 0), (0.06, 1), (0.5, 5), (0.76, 8), (0.99, 10)]
)
def test_the_number_of_zeros_is_exact(sparsity, pruned):
    assert (~magnitude_mask(np.arange(10.0), sparsity)).sum() == pruned


def test_equal_weights_do_not_go_all_at_once():
    assert magnitude_mask(np.ones((3, 3, 4, 5), np.float32), 0.8).sum() == 36


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.9), st.floats(0.0, 0.09))
def test_what_is_pruned_stays_pruned_as_sparsity_rises(seed, sparsity, more):
    weights = np.random.default_rng(seed).normal(size=(3, 3, 8, 5)).astype(np.float32)
    mask = magnitude_mask(weights, sparsity)
    weights = weights * mask * np.random.default_rng(seed).uniform(1e-6, 2.0, mask.shape)
    assert not (magnitude_mask(weights, sparsity + more) & ~mask).any()


def test_two_of_four_consecutive_input_channels_stay():
    # A kernel 1 × 1 × 8 × 1: the channels are the last axis but one.
    weights = np.array([0.1, -0.9, 0.5, 0.2, 3.0, -2.0, 1.0, -4.0]).reshape(1, 1, 8, 1)
    kept = [False, True, True, False, True, False, False, True]
    assert two_of_four_mask(weights, -2).ravel().tolist() == kept


@pytest.mark.parametrize("axis", [-1, -2])
def test_the_two_larger_of_each_group_stay_along_the_axis_of_the_input_channels(axis):
    weights = np.random.default_rng(0).normal(size=(3, 3, 16, 12)).astype(np.float32)
    mask = two_of_four_mask(weights, axis)
    assert mask.shape == weights.shape
    groups = np.moveaxis(mask, axis, -1).reshape(-1, 4)
    sizes = np.moveaxis(np.abs(weights), axis, -1).reshape(-1, 4)
    assert (groups.sum(axis=1) == 2).all()
    assert (
        np.where(groups, sizes, np.inf).min(axis=1) > np.where(groups, 0.0, sizes).max(axis=1)
    ).all()
